"""Deploys keywheel: the templates in `sam/`, by the SAM CLI, with executables that were built before."""

import io
import json
import os
import platform
import re
import shutil
import subprocess
import tomllib
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

import state_machine
from organization import Account, Organization
from peer import REGION, Credentials, Peer, root_of

REPOSITORY = Path(__file__).resolve().parents[2]
SAM_CLI = REPOSITORY / ".tools/sam-cli/bin/sam"
SAM_CONFIGURATION = REPOSITORY / "sam/samconfig.toml"
STACK = "keywheel"
MEMBER_STACK = "keywheel-member"
SENDER = "keys@example.com"
# Gets a copy of every account's notices.
RECIPIENT = "security@example.com"
# RoleSessionName. Its default is the predecessor's name.
SESSION_NAME = "aws-iam-access-key-auto-rotation-dev-AccessKeyRotate"
# Executable → logical id of its function, as in `sam/build/Makefile`.
FUNCTIONS = {"rotation": "RotationFunction", "sweeper": "SweeperFunction"}
# ministack runs the given executables and ignores the architecture. Lambda gets the architecture that `sam build` got.
ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]


class Deployment:
    """The main stack in the management account, and the member stack in every member."""

    def __init__(self, peer: Peer, organization: Organization, executables: Path, folder: Path) -> None:
        self.organization = organization
        self.peer = peer
        self._folder = folder
        self._primary = organization.primary
        self._template = self._build(executables)
        # The stack's own identity is not checked: its outputs are DKIM records, which ministack does not know.
        self._primary.client("sesv2").create_email_identity(EmailIdentity="example.com")
        self._parameters = {
            "OrganizationId": organization.id,
            "SenderEmail": SENDER,
            "SesDomain": "example.com",
            "RecipientEmail": RECIPIENT,
            "RecipientEmailInCopy": "true",
            "NoticeContact": "the security team, #iam-keys",
            "CreateNoticeTopic": "true",
            "Architecture": ARCHITECTURE,
            # The checks start every run except the last.
            "ScheduleState": "DISABLED",
        }

    # --- the main stack ---

    def _build(self, executables: Path) -> Path:
        """Leaves what `sam build` leaves: the artifacts, and a template that names their folders.

        `sam build` compiles for ten minutes and more; it is checked where the release build is.
        """
        source = REPOSITORY / "sam/template.yaml"
        template = yaml_parse(source.read_text())
        resources = template["Resources"]
        for executable, function in FUNCTIONS.items():
            resources[function]["Properties"]["CodeUri"] = str(self._artifact(executables / executable))
            del resources[function]["Metadata"]
        for resource, path in [("StateMachine", "DefinitionUri"), ("MemberAccounts", "TemplateURL")]:
            properties = resources[resource]["Properties"]
            properties[path] = str(source.parent / properties[path])
        for name in [name for name, resource in resources.items() if _is_unknown_to_ministack(resource)]:
            del resources[name]
        built = self._folder / "template.json"
        built.write_text(json.dumps(template))
        return built

    def _artifact(self, executable: Path) -> Path:
        artifact = self._folder / executable.name
        artifact.mkdir()
        shutil.copy(executable, artifact / "bootstrap")
        shutil.copytree(REPOSITORY / "templates", artifact / "templates")
        return artifact

    def deploy(self, environment: str, **parameters: str) -> None:
        """`sam deploy` with an environment of samconfig.toml, as a person would call it. A second call updates."""
        configured = tomllib.loads(SAM_CONFIGURATION.read_text())[environment]["deploy"]["parameters"]
        # On the command line they replace those of the environment. The quotes are for schedules, which have spaces.
        overrides = [f'{name}="{value}"' for name, value in (self._parameters | parameters).items()]
        command = [
            *(SAM_CLI, "deploy", "--config-file", SAM_CONFIGURATION, "--config-env", environment),
            *("--template-file", self._template, "--no-confirm-changeset", "--region", REGION),
            *("--parameter-overrides", *configured["parameter_overrides"], *overrides),
        ]
        process_environment = {
            "PATH": os.environ["PATH"],
            # Uses neither the configuration nor the credentials of the person who runs the checks.
            "HOME": str(self._folder),
            "AWS_ENDPOINT_URL": self.peer.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            **{name.upper(): value for name, value in root_of(self._primary.id).items()},
        }
        run = subprocess.run(
            command, env=process_environment, cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        said = re.sub(r"(?m)^\s*(Uploading to .*)?$\n", "", run.stdout + run.stderr)
        assert run.returncode == 0, f"{said}\n{self._events()}"

    def _events(self) -> str:
        """Returns CloudFormation's events of a failed deployment."""
        events = self._primary.client("cloudformation").describe_stack_events(StackName=STACK)["StackEvents"]
        said = [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}" for each in events]
        return "\n".join(line for line in said if not line.endswith(": "))

    @cached_property
    def resources(self) -> dict[str, str]:
        """Returns the physical id of each logical id."""
        pages = self._primary.client("cloudformation").get_paginator("list_stack_resources")
        listed = [each for page in pages.paginate(StackName=STACK) for each in page["StackResourceSummaries"]]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}

    def function(self, executable: str) -> str:
        """Returns the name of the function that runs an executable."""
        return self.resources[FUNCTIONS[executable]]

    def role_of(self, executable: str) -> str:
        """Returns the ARN of the function's execution role."""
        described = self._primary.client("lambda").get_function_configuration(FunctionName=self.function(executable))
        return described["Role"]

    @property
    def machine(self) -> str:
        """Returns the ARN of the state machine."""
        return self.resources["StateMachine"]

    @property
    def schedules_role(self) -> str:
        """Returns the ARN of the role with which the schedule starts runs."""
        return self._primary.iam.get_role(RoleName=self.resources["ScheduleRole"])["Role"]["Arn"]

    @cached_property
    def kms_key(self) -> str:
        """Returns the ARN of the key that encrypts secrets."""
        described = self._primary.client("kms").describe_key(KeyId=self.resources["SecretsKey"])
        return described["KeyMetadata"]["Arn"]

    # --- the members ---

    def deploy_member(self, account: Account, **parameters: str) -> None:
        """Deploys the member template to an account, as the StackSet does."""
        # The output is for people who deploy by hand: `name=value name=value …`.
        [stack] = self._primary.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        wanted = dict(each.split("=", 1) for each in outputs["MemberParameters"].split()) | parameters
        cloudformation = account.client("cloudformation")
        cloudformation.create_stack(
            StackName=MEMBER_STACK,
            TemplateBody=(REPOSITORY / "sam/member-account.yaml").read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in wanted.items()],
        )
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=MEMBER_STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60})

    # --- what runs in it ---

    def execute(self, event: Any = None) -> dict[str, Any]:
        """Starts the state machine and waits until the execution ends."""
        return state_machine.run(self._primary.client("stepfunctions"), self.machine, event or {})

    def executions(self) -> set[str]:
        """Returns the ARNs of all executions of the state machine."""
        return state_machine.executions(self._primary.client("stepfunctions"), self.machine)

    def scheduled_execution(self, before: set[str]) -> dict[str, Any]:
        """Waits until the schedule has started a new execution and the execution has ended."""
        return state_machine.started_by_others(self._primary.client("stepfunctions"), self.machine, before)

    def failed_accounts(self, execution: dict[str, Any]) -> dict[str, str]:
        """Returns the accounts that failed in an execution, with the cause of each."""
        return state_machine.failed_items(self._primary.client("stepfunctions"), execution["executionArn"])

    def invoke(self, function: str, event: Any) -> dict[str, Any]:
        """Invokes a function. Returns its answer as `answer`, or its error as `error`."""
        answer = self._primary.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read() or b"null")
        return {"error": payload} if "FunctionError" in answer else {"answer": payload}

    def session_of(self, executable: str) -> Credentials:
        """Returns a session of a function's role: a second function with the same role returns its own credentials."""
        client = self._primary.client("lambda")
        name = f"{executable}-{TELLER}"
        client.create_function(
            FunctionName=name,
            Runtime="python3.12",
            Handler="index.tell",
            Role=self.role_of(executable),
            Code={"ZipFile": zipped("index.py", TELLERS_CODE)},
        )
        told = self.invoke(name, {})["answer"]
        client.delete_function(FunctionName=name)
        return told


def _is_unknown_to_ministack(resource: dict[str, Any]) -> bool:
    """Resources that ministack refuses; what they are for is checked without it, or not at all.

    - A StackSet, also one that a condition leaves out: the checks make the member stacks, as it would.
    - An alarm over metric math.

    It takes a function's dead-letter queue and forgets it: that is not checked here.
    """
    kind = resource["Type"]
    return kind == "AWS::CloudFormation::StackSet" or (
        kind == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]
    )


TELLER = "teller"
TELLERS_CODE = """
import os
NAMES = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"]
def tell(event, context):
    return {name: os.environ[name.upper()] for name in NAMES}
"""


def zipped(name: str, text: str) -> bytes:
    """Returns a zip with one file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, text)
    return content.getvalue()
