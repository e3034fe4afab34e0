"""keywheel, deployed: the templates as they stand in `sam/`, by the SAM CLI, with executables that were built before."""

import io
import json
import os
import shutil
import subprocess
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from organization import Account, Organization
from peer import REGION, Credentials, Peer, root_of

REPOSITORY = Path(__file__).resolve().parents[2]
SAM_CLI = REPOSITORY / ".tools/sam-cli/bin/sam"
STACK = "keywheel"
MEMBER_STACK = "keywheel-member"


class Deployment:
    """The main stack in the management account, and the member stack in every member."""

    def __init__(self, peer: Peer, organization: Organization, executables: Path, folder: Path) -> None:
        self._peer = peer
        self._organization = organization
        self._folder = folder
        self._primary = organization.primary
        # Executable → logical id of its function.
        self._functions: dict[str, str] = {}
        self._machine = ""
        self._template = self._build(executables)

    # --- the main stack ---

    def _build(self, executables: Path) -> Path:
        """Leaves what `sam build` leaves: the artifacts, and a template that names their folders.

        `sam build` compiles for ten minutes and more; it is checked where the release build is.
        """
        source = REPOSITORY / "sam/template.yaml"
        template = yaml_parse(source.read_text())
        for logical_id, resource in template["Resources"].items():
            properties = resource.get("Properties", {})
            if resource["Type"] == "AWS::Serverless::Function":
                binary = resource.pop("Metadata")["BuildProperties"]["Binary"]
                properties["CodeUri"] = str(self._artifact(executables / binary))
                self._functions[binary] = logical_id
            if resource["Type"] == "AWS::Serverless::StateMachine":
                properties["DefinitionUri"] = str(source.parent / properties["DefinitionUri"])
                self._machine = logical_id
        built = self._folder / "template.json"
        built.write_text(json.dumps(template))
        return built

    def _artifact(self, executable: Path) -> Path:
        artifact = self._folder / executable.name
        artifact.mkdir()
        shutil.copy(executable, artifact / "bootstrap")
        shutil.copytree(REPOSITORY / "templates", artifact / "templates")
        return artifact

    def deploy(self, **parameters: str) -> None:
        """`sam deploy`, as a person would call it. A second call updates the stack; parameters not given stay."""
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        command = [
            *(SAM_CLI, "deploy", "--stack-name", STACK, "--template-file", self._template, "--resolve-s3"),
            *("--capabilities", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND", "--no-confirm-changeset"),
            *("--no-fail-on-empty-changeset", "--region", REGION, "--parameter-overrides", *overrides),
        ]
        environment = {
            "PATH": os.environ["PATH"],
            # Neither the person's configuration nor the person's credentials.
            "HOME": str(self._folder),
            "AWS_ENDPOINT_URL": self._peer.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            **{name.upper(): value for name, value in root_of(self._primary.id).items()},
        }
        run = subprocess.run(
            command, env=environment, cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{run.stdout}\n{run.stderr}\n{self._events()}"

    def _events(self) -> str:
        """What CloudFormation says about a failed deployment."""
        events = self._primary.client("cloudformation").describe_stack_events(StackName=STACK)["StackEvents"]
        said = [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}" for each in events]
        return "\n".join(line for line in said if not line.endswith(": "))

    @cached_property
    def resources(self) -> dict[str, str]:
        """Logical id → physical id."""
        pages = self._primary.client("cloudformation").get_paginator("list_stack_resources")
        listed = [each for page in pages.paginate(StackName=STACK) for each in page["StackResourceSummaries"]]
        return {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}

    def function(self, executable: str) -> str:
        """The name of the function that an executable is deployed as."""
        return self.resources[self._functions[executable]]

    def role_of(self, executable: str) -> str:
        """The ARN of the function's execution role."""
        described = self._primary.client("lambda").get_function_configuration(FunctionName=self.function(executable))
        return described["Role"]

    @property
    def machine(self) -> str:
        """The ARN of the state machine."""
        return self.resources[self._machine]

    # --- the members ---

    def deploy_member(self, account: Account, **parameters: str) -> None:
        """What the stack set does in a member account."""
        cloudformation = account.client("cloudformation")
        cloudformation.create_stack(
            StackName=MEMBER_STACK,
            TemplateBody=(REPOSITORY / "sam/member-account.yaml").read_text(),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
        )
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=MEMBER_STACK, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        [stack] = cloudformation.describe_stacks(StackName=MEMBER_STACK)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", stack

    # --- what runs in it ---

    def invoke(self, function: str, event: Any) -> dict[str, Any]:
        """Lambda's Invoke: the answer under `answer`, or the error under `error`."""
        answer = self._primary.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read() or b"null")
        return {"error": payload} if "FunctionError" in answer else {"answer": payload}

    def session_of(self, executable: str) -> Credentials:
        """A session of a function's role: a second function, with the same role, tells its own credentials."""
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


TELLER = "teller"
TELLERS_CODE = """
import os
NAMES = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"]
def tell(event, context):
    return {name: os.environ[name.upper()] for name in NAMES}
"""


def zipped(name: str, text: str) -> bytes:
    """A zip with one file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, text)
    return content.getvalue()
