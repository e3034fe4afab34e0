"""Makes the organization in moto, by boto3: a management account that has the stack, and member accounts."""

import io
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import boto3

from clock import Clock

REGION = "eu-central-1"
# moto's own account, which has the address below.
PRIMARY_ACCOUNT = "123456789012"
PRIMARY_EMAIL = "master@example.com"
MEMBER_EMAIL = "member@example.com"
SENDER = "keywheel@example.com"

MEMBER_ROLE = "aws-iam-access-key-auto-rotation-lambda-assumed-role"
EXECUTION_ROLE = "aws-iam-access-key-auto-rotation-lambda-execution-role"
EXEMPTION_GROUP = "ASAIAMExemptionsGroup"
READER_GROUP = "keywheel-secret-readers"
OWNER_TAG = "owner"
ROTATION_FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{PRIMARY_ACCOUNT}:function:keywheel-rotation"
SWEEPER_FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{PRIMARY_ACCOUNT}:function:keywheel-sweeper"

Credentials = dict[str, str]


class Moto:
    """moto in its own process, on the movable clock. `server` is the program that starts it."""

    def __init__(self, clock: Clock, log: Path, server: Path = Path(__file__).with_name("moto_server.py")) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        self._clock = clock
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, server, str(port)],
                env={"PATH": "/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            assert self._process.poll() is None, f"moto did not start:\n{self._log.read_text()}"
            try:
                self.reset()
                self._clock.follow(self._shift)
                return self
            except urllib.error.URLError:
                time.sleep(0.2)
        raise TimeoutError(f"moto does not answer:\n{self._log.read_text()}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)

    def reset(self) -> None:
        """Removes all resources."""
        self._ask("moto-api/reset", b"")
        # RotateSecret calls its function. Without Docker, moto's stand-in answers and runs nothing.
        self._ask("moto-api/config", json.dumps({"lambda": {"use_docker": False}}).encode())

    def _shift(self, offset: timedelta) -> None:
        self._ask("clock", str(int(offset.total_seconds())).encode())

    def inside(self) -> Any:
        """Returns the mails and secret keys, which no API returns."""
        return self._ask("inside", None)

    def _ask(self, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(f"{self.url}/{path}", data=body)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


class Account:
    """One account. Its administrator makes the calls."""

    def __init__(self, account_id: str, name: str, email: str, url: str, credentials: Credentials) -> None:
        self.id = account_id
        self.name = name
        self.email = email
        self._url = url
        self._credentials = credentials
        self.iam = self.client("iam")

    def client(self, service: str) -> Any:
        return client(self._url, service, self._credentials)

    def add_group(self, name: str) -> None:
        self.iam.create_group(GroupName=name)

    def add_role(self, name: str) -> None:
        # moto does not check who may assume a role, so these tests cover neither trust nor permissions.
        trust = {"Version": "2012-10-17", "Statement": []}
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))

    def add_user(self, name: str, *, keys: int = 1, groups: tuple[str, ...] = (), owner: str | None = None) -> list[str]:
        """Makes a user with this number of active keys. Returns their ids."""
        tags = [{"Key": OWNER_TAG, "Value": owner}] if owner else []
        self.iam.create_user(UserName=name, Path="/robots/", Tags=tags)
        for group in groups:
            self.iam.add_user_to_group(GroupName=group, UserName=name)
        made = [self.iam.create_access_key(UserName=name) for _ in range(keys)]
        return [answer["AccessKey"]["AccessKeyId"] for answer in made]

    def keys(self, user: str) -> dict[str, str]:
        """Returns the status of each of the user's keys, by id."""
        listed = self.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
        return {key["AccessKeyId"]: key["Status"] for key in listed}

    def groups_of(self, user: str) -> list[str]:
        return [group["GroupName"] for group in self.iam.list_groups_for_user(UserName=user)["Groups"]]


class Organization:
    """The management account, which has the stack, and its members."""

    def __init__(self, moto: Moto, clock: Clock) -> None:
        self.moto = moto
        self.clock = clock
        # moto treats unknown credentials as the management account's.
        root = {"aws_access_key_id": "administrator", "aws_secret_access_key": "administrator"}
        self.primary = Account(PRIMARY_ACCOUNT, "primary", PRIMARY_EMAIL, moto.url, root)
        self.organizations = self.primary.client("organizations")
        self.organizations.create_organization(FeatureSet="ALL")
        self._set_up_stack()
        self.member = self.add_member("member", MEMBER_EMAIL)

    def _set_up_stack(self) -> None:
        self.primary.add_role(EXECUTION_ROLE)
        self.primary.add_group(EXEMPTION_GROUP)
        self.primary.client("sesv2").create_email_identity(EmailIdentity="example.com")
        self.kms_key = self.primary.client("kms").create_key()["KeyMetadata"]["Arn"]
        self.store = self.primary.client("secretsmanager")
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("bootstrap", "")
        self.primary.client("lambda").create_function(
            FunctionName=ROTATION_FUNCTION_ARN.rsplit(":", 1)[1],
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role=f"arn:aws:iam::{PRIMARY_ACCOUNT}:role/{EXECUTION_ROLE}",
            Code={"ZipFile": code.getvalue()},
        )

    def add_member(self, name: str, email: str, *, roles: bool = True) -> Account:
        """Makes a member account, with keywheel's roles and groups as the StackSet makes them, or without."""
        status = self.organizations.create_account(AccountName=name, Email=email)["CreateAccountStatus"]
        account_id = status["AccountId"]
        session = self._assume(f"arn:aws:iam::{account_id}:role/OrganizationAccountAccessRole", "administrator")
        account = Account(account_id, name, email, self.moto.url, session)
        if roles:
            account.add_role(MEMBER_ROLE)
            account.add_role(f"{MEMBER_ROLE}-rotation")
            account.add_group(EXEMPTION_GROUP)
            account.add_group(READER_GROUP)
        return account

    def execution_environment(self) -> dict[str, str]:
        """Returns a function's environment: Region, endpoint and the execution role's credentials."""
        session = self._assume(f"arn:aws:iam::{PRIMARY_ACCOUNT}:role/{EXECUTION_ROLE}", "keywheel")
        return {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.moto.url,
            **{name.upper(): value for name, value in session.items()},
        }

    def _assume(self, role: str, session_name: str) -> Credentials:
        answer = self.primary.client("sts").assume_role(RoleArn=role, RoleSessionName=session_name)["Credentials"]
        return {
            "aws_access_key_id": answer["AccessKeyId"],
            "aws_secret_access_key": answer["SecretAccessKey"],
            "aws_session_token": answer["SessionToken"],
        }

    # --- reads for the tests ---

    def secret_names(self) -> list[str]:
        listed = self.store.list_secrets(IncludePlannedDeletion=True)["SecretList"]
        return sorted(secret["Name"] for secret in listed)

    def describe(self, secret: str) -> Any:
        return self.store.describe_secret(SecretId=secret)

    def tags(self, secret: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.describe(secret).get("Tags", [])}

    def value(self, secret: str, stage: str = "AWSCURRENT") -> Any:
        # Always names the stage: without one, AWS reads AWSCURRENT, but moto reads the last version put or rotated.
        answer = self.store.get_secret_value(SecretId=secret, VersionStage=stage)
        return json.loads(answer["SecretString"])

    def identity_of(self, value: dict[str, str]) -> str:
        """Returns the identity of the key in a secret's value, by using the key. Fails if it does not work."""
        key = {"aws_access_key_id": value["AccessKeyId"], "aws_secret_access_key": value["SecretAccessKey"]}
        return client(self.moto.url, "sts", key).get_caller_identity()["Arn"]

    def created(self, account: Account, user: str, key: str) -> datetime:
        listed = account.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
        return next(each["CreateDate"] for each in listed if each["AccessKeyId"] == key)

    def mails(self) -> list[dict[str, Any]]:
        """All mails, oldest first: subject, body, from, to.

        SES sends both parts of a message; moto keeps the HTML part alone.
        """
        return self.moto.inside()["mails"]

    def mails_to(self, address: str) -> list[dict[str, Any]]:
        return [mail for mail in self.mails() if mail["to"] == [address]]

    def secret_keys(self) -> list[str]:
        """Returns the secret half of every key that was ever made."""
        return self.moto.inside()["secret_keys"]


def client(url: str, service: str, credentials: Credentials) -> Any:
    return boto3.client(service, region_name=REGION, endpoint_url=url, **credentials)


def secret_name(account: Account, user: str) -> str:
    return f"Account_{account.id}_User_{user}_AccessKey"


def wire_time(moment: datetime) -> str:
    """Returns a time in the format of keywheel's tags and values."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
