"""Plays Secrets Manager's part of a rotation, which moto lacks: it calls the function, step by step."""

import uuid
from typing import Any

from function_process import FunctionProcess
from organization import Organization

STEPS = ["createSecret", "setSecret", "testSecret", "finishSecret"]


class Rotation:
    """One rotation of one secret, started by RotateSecret or by the native schedule."""

    def __init__(self, organization: Organization, function: FunctionProcess, secret: str) -> None:
        self._organization = organization
        self._function = function
        self._secret = secret
        if self._pending() is None:
            # moto has no schedule, so the test starts the rotation.
            organization.store.rotate_secret(SecretId=secret)
        described = organization.describe(secret)
        self.arn = described["ARN"]
        self.token = self._pending()
        assert self.token, "RotateSecret registers an empty version labelled AWSPENDING"
        # AWS sends the function one token per rotation and expects it in PutSecretValue; moto ignores it.
        self.rotation_token = str(uuid.uuid4())

    def event(self, step: str) -> dict[str, str]:
        """https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html"""
        return {
            "Step": step,
            # moto's own event has the name here; AWS sends the ARN.
            "SecretId": self.arn,
            "ClientRequestToken": self.token,
            "RotationToken": self.rotation_token,
        }

    def step(self, step: str) -> Any:
        if step == "testSecret":
            self.let_the_key_age()
        return self._function.call(self.event(step))

    def let_the_key_age(self) -> None:
        """keywheel makes no key current that is younger than 30 s. Moving the clock is faster than waiting."""
        self._organization.clock.advance(seconds=31)

    def run(self) -> None:
        """Runs all four steps."""
        for step in STEPS:
            self.step(step)
        self.finish()

    def finish(self) -> None:
        """AWS removes AWSPENDING after the last step; moto does nothing after RotateSecret."""
        stages = self._organization.describe(self._secret)["VersionIdsToStages"]
        assert "AWSCURRENT" in stages[self.token], "finishSecret makes the new version current"
        if "AWSPENDING" in stages[self.token]:
            self._organization.store.update_secret_version_stage(
                SecretId=self._secret, VersionStage="AWSPENDING", RemoveFromVersionId=self.token
            )

    def _pending(self) -> str | None:
        stages = self._organization.describe(self._secret)["VersionIdsToStages"]
        pending = [version for version, labels in stages.items() if "AWSPENDING" in labels and "AWSCURRENT" not in labels]
        return pending[0] if pending else None
