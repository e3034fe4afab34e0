"""Runs the organization through its phases. The tests check the result of each."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import state_machine
from deployment import Deployment
from organization import Account, Organization, secret_name

STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]


class DryRun:
    """Deploys the stack with `default` and runs one execution, as a careful person does first."""

    def __init__(self, deployment: Deployment) -> None:
        organization = deployment.organization
        deployment.deploy("default")
        for member in organization.members:
            deployment.deploy_member(member)
        self.output = state_machine.output(deployment.execute())
        self.secrets = secrets(organization.primary)
        self.mails = deployment.peer.mails(organization.primary.id)


class Sweep:
    """Updates the stack to `enforce` and runs the first execution that changes keys."""

    def __init__(self, deployment: Deployment) -> None:
        deployment.deploy("enforce")
        self.execution = deployment.execute()
        self.output = state_machine.output(self.execution)
        self.secrets = secrets(deployment.organization.primary)


class Rotation:
    """One rotation. This class plays Secrets Manager's part, because ministack's RotateSecret calls no function."""

    def __init__(self, deployment: Deployment, account: Account, user: str) -> None:
        self.account, self.user = account, user
        self.old_keys = account.keys(user)
        self.name = secret_name(account, user)
        self._deployment = deployment
        self._store = deployment.organization.primary.client("secretsmanager")
        if not self._pending():
            # No rotation is due, so the sweep started none. This starts the schedule's rotation before its date.
            self._store.rotate_secret(SecretId=self.name)
        [self.token] = self._pending()
        self.arn = self._store.describe_secret(SecretId=self.name)["ARN"]
        self.answers = [self._step(step) for step in STEPS]
        self._finish()

    def _pending(self) -> list[str]:
        stages = self._store.describe_secret(SecretId=self.name)["VersionIdsToStages"]
        return [version for version, labels in stages.items() if labels == ["AWSPENDING"]]

    def _step(self, step: str) -> dict[str, Any]:
        event = {
            "Step": step,
            "SecretId": self.arn,
            "ClientRequestToken": self.token,
            # AWS sends one token per rotation and checks it in PutSecretValue; ministack ignores it.
            "RotationToken": str(uuid.uuid4()),
        }
        answer = self._deployment.invoke(self._deployment.function("rotation"), event)
        assert "error" not in answer, (step, answer)
        return answer

    def _finish(self) -> None:
        """Removes AWSPENDING after the last step, as the service does."""
        stages = self._store.describe_secret(SecretId=self.name)["VersionIdsToStages"][self.token]
        if "AWSPENDING" in stages:
            self._store.update_secret_version_stage(
                SecretId=self.name, VersionStage="AWSPENDING", RemoveFromVersionId=self.token
            )

    def as_user(self, service: str) -> Any:
        """Returns a client that signs with the new key."""
        value = self.value()
        key = {"aws_access_key_id": value["AccessKeyId"], "aws_secret_access_key": value["SecretAccessKey"]}
        return self._deployment.peer.client(service, key)

    def value(self) -> dict[str, str]:
        """Returns the current value, read by the root of the stack's account."""
        return json.loads(self._store.get_secret_value(SecretId=self.arn)["SecretString"])


class Rotations:
    """Runs one rotation in the stack's account and two in a member: a due key, and a user name with a comma."""

    def __init__(self, deployment: Deployment) -> None:
        organization = deployment.organization
        member = organization.members[0]
        self.home = Rotation(deployment, organization.primary, "home-bot")
        self.member = Rotation(deployment, member, "ci-bot")
        self.comma = Rotation(deployment, member, "comma,bot")
        self.all = [self.home, self.member, self.comma]


class Retirement:
    """With no grace, one execution disables the old keys, and the next one, started by the schedule, deletes them.

    Meanwhile a user is deleted and another made exempt; that is taken back before the last execution.
    """

    def __init__(self, deployment: Deployment) -> None:
        organization = deployment.organization
        self.deleted_in, self.exempt_in = organization.members[1], organization.members[2]
        deployment.deploy(
            "enforce",
            InstallationGracePeriod="0",
            RecoveryGracePeriod="0",
            ScheduleState="ENABLED",
            ScheduleExpression=_once(datetime.now(UTC) + timedelta(seconds=45)),
        )
        # A date that was announced holds, whatever the settings become. Without the record nothing was announced.
        store = organization.primary.client("secretsmanager")
        for account, user in self._rotated(organization):
            store.untag_resource(SecretId=secret_name(account, user), TagKeys=["keywheel:notified"])
        self._delete_user(self.deleted_in, "new-bot")
        group = {"GroupName": "ASAIAMExemptionsGroup", "UserName": "new-bot"}
        self.exempt_in.iam.add_user_to_group(**group)
        self.first = state_machine.output(deployment.execute())
        self.after_the_first = {account.id: account.keys(user) for account, user in self._rotated(organization)}
        exempt = organization.primary.client("secretsmanager").describe_secret(
            SecretId=secret_name(self.exempt_in, "new-bot")
        )
        self.exempt_is_scheduled = exempt["RotationEnabled"]
        self.exempt_in.iam.remove_user_from_group(**group)
        self.scheduled = deployment.scheduled_execution(before=deployment.executions())
        self.after_the_second = {account.id: account.keys(user) for account, user in self._rotated(organization)}

    def _rotated(self, organization: Organization) -> list[tuple[Account, str]]:
        return [(organization.primary, "home-bot"), (organization.members[0], "ci-bot")]

    def _delete_user(self, account: Account, user: str) -> None:
        for key in account.keys(user):
            account.iam.delete_access_key(UserName=user, AccessKeyId=key)
        for group in account.iam.list_groups_for_user(UserName=user)["Groups"]:
            account.iam.remove_user_from_group(UserName=user, GroupName=group["GroupName"])
        account.iam.delete_user(UserName=user)


def _once(moment: datetime) -> str:
    """Returns a daily schedule for the next full minute after a moment."""
    minute = moment + timedelta(minutes=1)
    return f"cron({minute.minute} {minute.hour} * * ? *)"


def secrets(account: Account) -> list[str]:
    """Returns the names of all secrets, including those scheduled for deletion."""
    pages = account.client("secretsmanager").get_paginator("list_secrets")
    listed = [each for page in pages.paginate(IncludePlannedDeletion=True) for each in page["SecretList"]]
    return sorted(each["Name"] for each in listed)
