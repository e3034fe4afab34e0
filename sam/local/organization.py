"""Makes the organization: a management account that has the stack, members with users, and a foreign organization."""

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any

from peer import Credentials, Peer, root_of

PRIMARY_ACCOUNT = "999988887777"
FOREIGN_ACCOUNT = "666655554444"
DAY_OF_OLD_KEYS = 200
DAY_OF_YOUNG_KEYS = 30

Client = Callable[[str], Any]


class Account:
    """One account. Its root makes the calls."""

    def __init__(self, peer: Peer, account_id: str, name: str) -> None:
        self.id = account_id
        self.name = name
        self._peer = peer
        self.secret_keys: dict[str, str] = {}
        # The users that were made with keys.
        self.users: list[str] = []

    def client(self, service: str) -> Any:
        return self._peer.client(service, root_of(self.id))

    @cached_property
    def iam(self) -> Any:
        return self.client("iam")

    def add_user(self, name: str, *ages: float) -> None:
        """Makes a user with keys of these ages, in days."""
        self._peer.born(max(ages, default=0.0) + 1)
        self.iam.create_user(UserName=name, Path="/robots/")
        for age in ages:
            self._peer.born(age)
            key = self.iam.create_access_key(UserName=name)["AccessKey"]
            self.secret_keys[key["AccessKeyId"]] = key["SecretAccessKey"]
        self._peer.born(0)
        self.users.append(name)

    def keys(self, user: str) -> dict[str, str]:
        """Returns the status of each of the user's keys, by id."""
        listed = self.iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
        return {key["AccessKeyId"]: key["Status"] for key in listed}

    def as_user(self, user: str) -> Client:
        """Returns clients that sign with the user's key, whose secret this script knows."""
        key = next(key for key in self.keys(user) if key in self.secret_keys)
        credentials = {"aws_access_key_id": key, "aws_secret_access_key": self.secret_keys[key]}
        return lambda service: self._peer.client(service, credentials)

    def role_that_may_everything(self, name: str) -> Client:
        """Makes a role whose own policy allows everything, and returns clients of its session."""
        trust = _statement("sts:AssumeRole", Principal={"AWS": f"arn:aws:iam::{self.id}:user/{name}-user"})
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        everything = json.dumps(_statement("*", Resource="*"))
        self.iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=everything)
        # A user assumes the role, because AWS lets no root assume one.
        self.iam.create_user(UserName=f"{name}-user")
        self.iam.put_user_policy(UserName=f"{name}-user", PolicyName="everything", PolicyDocument=everything)
        key = self.iam.create_access_key(UserName=f"{name}-user")["AccessKey"]
        user = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
        session = assume(self._peer.client("sts", user), role)
        self.iam.delete_access_key(UserName=f"{name}-user", AccessKeyId=key["AccessKeyId"])
        return lambda service: self._peer.client(service, session)

    def role_of_state_machines(self, name: str) -> str:
        """Makes a role for the state machines of this name that call the functions of this name. Returns its ARN."""
        trust = _statement("sts:AssumeRole", Principal={"Service": "states.amazonaws.com"})
        role = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
        for action in ("lambda:InvokeFunction", "states:StartExecution"):
            document = json.dumps(_statement(action, Resource=f"arn:aws:*:*:{self.id}:*:{name}"))
            self.iam.put_role_policy(RoleName=name, PolicyName=action.replace(":", "-"), PolicyDocument=document)
        return role


def assume(sts: Any, role: str) -> Credentials:
    """Assumes a role and returns the session."""
    answer = sts.assume_role(RoleArn=role, RoleSessionName="check")["Credentials"]
    return {
        "aws_access_key_id": answer["AccessKeyId"],
        "aws_secret_access_key": answer["SecretAccessKey"],
        "aws_session_token": answer["SessionToken"],
    }


def _statement(action: str, **parts: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action} | parts]}


class Organization:
    """The accounts and their users. Every member has an old and a young key, so each sweep has something to do."""

    def __init__(self, peer: Peer, member_count: int) -> None:
        self._peer = peer
        self.primary = Account(peer, PRIMARY_ACCOUNT, "primary")
        self._organizations = self.primary.client("organizations")
        self.id = self._organizations.describe_organization()["Organization"]["Id"]
        self.members = [self._add_member(f"member-{number:02}") for number in range(member_count)]
        # An account without the member template.
        self.bare = self._add_member("bare")
        self.primary.add_user("home-bot", DAY_OF_OLD_KEYS)
        for member in [*self.members, self.bare]:
            member.add_user("ci-bot", DAY_OF_OLD_KEYS)
            member.add_user("new-bot", DAY_OF_YOUNG_KEYS)
        # A secret's name cannot hold a comma, so the comma is encoded there.
        self.members[0].add_user("comma,bot", DAY_OF_YOUNG_KEYS)
        self.foreign = Account(peer, FOREIGN_ACCOUNT, "foreign")
        # This call makes the foreign account the management account of its own organization.
        self.foreign_id = self.foreign.client("organizations").describe_organization()["Organization"]["Id"]

    def _add_member(self, name: str) -> Account:
        made = self._organizations.create_account(AccountName=name, Email=f"{name}@example.com")
        return Account(self._peer, made["CreateAccountStatus"]["AccountId"], name)

    @property
    def swept(self) -> list[Account]:
        """Returns the accounts that a sweep reaches."""
        return [self.primary, *self.members]


def secret_name(account: Account, user: str) -> str:
    """Returns the name of the user's secret."""
    return f"Account_{account.id}_User_{user.replace(',', '/2C')}_AccessKey"
