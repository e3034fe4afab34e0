"""Starts moto on 127.0.0.1 and corrects the departures from AWS that would hide a defect of keywheel.

    python moto_server.py PORT

Each function below is one departure: what AWS does, and what moto 5.2.5 does instead. Departures that the tests can
live with stand as comments where a test meets them.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import time_machine
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.iam.models import AccessKey, iam_backends
from moto.iam.responses import IamResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.organizations.exceptions import AWSOrganizationsNotInUseException
from moto.organizations.models import OrganizationsBackend
from moto.secretsmanager.exceptions import InvalidRequestException, ResourceExistsException
from moto.secretsmanager.models import SecretsManagerBackend
from moto.ses.models import EmailIdentity, Message
from moto.sts.exceptions import STSClientError
from moto.sts.models import STSBackend
from werkzeug.serving import run_simple

Application = Callable[..., Iterable[bytes]]


def refuse_roles_that_do_not_exist() -> None:
    """AWS answers AccessDenied for a role that does not exist. moto lets anybody assume it and invents a session."""
    assume_role = STSBackend.assume_role

    def corrected(self: STSBackend, **request: Any) -> Any:
        account = request["role_arn"].split(":")[4]
        roles = iam_backends[account]["global"].roles.values()
        if request["role_arn"] not in [role.arn for role in roles]:
            message = f"User is not authorized to perform: sts:AssumeRole on resource: {request['role_arn']}"
            raise STSClientError("AccessDenied", message)
        return assume_role(self, **request)

    STSBackend.assume_role = corrected


def refuse_keys_that_are_disabled_or_deleted() -> None:
    """AWS answers InvalidClientTokenId to a disabled and to a deleted key.

    moto takes a disabled key for a good one, and answers an unknown key with the made-up user `moto`.
    """
    get_caller_identity = STSBackend.get_caller_identity

    def corrected(self: STSBackend, access_key_id: str, region: str) -> Any:
        accounts = list(iam_backends.values())
        keys = [key for account in accounts for key in list(account["global"].access_keys.values())]
        usable = [key.access_key_id for key in keys if key.status == "Active"]
        if access_key_id.startswith("AKIA") and access_key_id not in usable:
            raise STSClientError("InvalidClientTokenId", "The security token included in the request is invalid")
        return get_caller_identity(self, access_key_id, region)

    STSBackend.get_caller_identity = corrected


def refuse_to_list_the_accounts_of_no_organization() -> None:
    """https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html

    AWS answers AWSOrganizationsNotInUseException to an account that is in no organization. moto lists no accounts.
    """
    list_accounts = OrganizationsBackend.list_accounts

    def corrected(self: OrganizationsBackend, **request: Any) -> Any:
        if self.org is None:
            raise AWSOrganizationsNotInUseException
        return list_accounts(self, **request)

    OrganizationsBackend.list_accounts = corrected


def rotate_secrets_as_documented() -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html

    - Without a function or rules in the request, AWS keeps those that are set. moto forgets the function and makes
      an empty version current.
    - While AWSPENDING is on another version than AWSCURRENT, AWS refuses; when both are on the same one it goes on.
      moto has it the other way round.
    - With RotateImmediately=false, AWS removes the version that it tested. moto leaves it, labelled AWSPENDING, as if
      a rotation were under way; and it makes that version a copy of the *first* value the secret ever had.
    - moto takes the new version for the one to be read, and replaced, by default before it is current.

    What stays moto's own: the version with AWSPENDING is registered empty, as on AWS; the function is looked up and
    the four steps are sent to moto's stand-in for Lambda, which runs nothing. The tests send the real steps.
    """
    rotate_secret = SecretsManagerBackend.rotate_secret

    def corrected(
        self: SecretsManagerBackend,
        secret_id: str,
        client_request_token: str | None = None,
        rotation_lambda_arn: str | None = None,
        rotation_rules: dict[str, Any] | None = None,
        rotate_immediately: bool = True,
    ) -> str:
        secret = self.describe_secret(secret_id)
        for version in secret.versions.values():
            stages = version["version_stages"]
            if "AWSPENDING" in stages and "AWSCURRENT" not in stages:
                raise InvalidRequestException(
                    "A previous rotation isn't complete. That rotation will be reattempted."
                )
            if "AWSPENDING" in stages:
                stages.remove("AWSPENDING")
        before = set(secret.versions)
        days = secret.auto_rotate_after_days
        answer = rotate_secret(
            self,
            secret_id,
            client_request_token,
            rotation_lambda_arn or secret.rotation_lambda_arn or None,
            rotation_rules or ({"AutomaticallyAfterDays": days} if days else None),
            rotate_immediately,
        )
        if not rotate_immediately:
            for made in set(secret.versions) - before:
                del secret.versions[made]
        current = [name for name, version in secret.versions.items() if "AWSCURRENT" in version["version_stages"]]
        secret.set_default_version_id(current[0] if current else None)
        return answer

    SecretsManagerBackend.rotate_secret = corrected


def refuse_a_second_value_for_one_token() -> None:
    """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html

    AWS answers ResourceExistsException to a token that was used with another value. moto overwrites the value as long
    as the version is labelled AWSPENDING.
    """
    put_secret_value = SecretsManagerBackend.put_secret_value

    def corrected(self: SecretsManagerBackend, **request: Any) -> str:
        version = self.describe_secret(request["secret_id"]).versions.get(request["client_request_token"] or "", {})
        if version.get("secret_string") not in (None, request["secret_string"]):
            raise ResourceExistsException("You can't use a ClientRequestToken that is in use with another value.")
        return put_secret_value(self, **request)

    SecretsManagerBackend.put_secret_value = corrected


def verify_every_identity() -> None:
    """AWS verifies an identity once its owner has shown to have it, and signs for it if it is a domain with Easy DKIM. moto
    sends from any that was made, and calls none of them verified or signed for.
    """
    make = EmailIdentity.__init__

    def corrected(self: EmailIdentity, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        self.verified_for_sending_status = True
        self.dkim_attributes |= {"SigningEnabled": True, "Status": "SUCCESS"}

    EmailIdentity.__init__ = corrected


def date_credential_reports() -> None:
    """https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetCredentialReport.html

    AWS makes a report at most every four hours and says when. moto makes it anew whenever it is fetched, and dates all of
    them 2 February 2015.
    """
    get_credential_report = IamResponse.get_credential_report

    def corrected(self: IamResponse) -> ActionResult:
        report = get_credential_report(self).result
        return ActionResult({**report, "GeneratedTime": utcnow()})

    IamResponse.get_credential_report = corrected


def inside() -> dict[str, Any]:
    """Returns the facts that no API shows: the mails that were sent, and the secret half of every key ever made.

    moto's own view of its inside, /moto-api/data.json, fails on some of its models.
    """
    # moto's base class of all models fills this list, and a reset empties it.
    messages, keys = Message.instances_tracked, AccessKey.instances_tracked
    return {
        "mails": [
            {"subject": mail.subject, "body": mail.body, "from": mail.source, "to": mail.destinations["ToAddresses"]}
            for mail in messages
        ],
        "secret_keys": [key.secret_access_key for key in keys],
    }


def with_inside(application: Application, clock: time_machine.Traveller) -> Application:
    """moto's application, with four more paths: its inside, its clock, which is set ahead by a number of seconds, and what
    SES says of the account and of its suppression list, which moto does not have: an account in production, and nobody
    on the list.
    """

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body: Any = None
        if environ["PATH_INFO"] == "/inside":
            body = inside()
        elif environ["PATH_INFO"] == "/clock":
            seconds = int(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            clock.move_to(time_machine.escape_hatch.time.time() + seconds)
        elif environ["PATH_INFO"] == "/v2/email/account":
            body = {
                "ProductionAccessEnabled": True,
                "SendingEnabled": True,
                "EnforcementStatus": "HEALTHY",
                "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 0.0},
            }
        elif environ["PATH_INFO"] == "/v2/email/suppression/addresses":
            body = {"SuppressedDestinationSummaries": []}
        else:
            return application(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    return answer


def main() -> None:
    refuse_roles_that_do_not_exist()
    refuse_keys_that_are_disabled_or_deleted()
    refuse_to_list_the_accounts_of_no_organization()
    refuse_a_second_value_for_one_token()
    rotate_secrets_as_documented()
    verify_every_identity()
    date_credential_reports()
    with time_machine.travel(time.time(), tick=True) as clock:
        application = with_inside(DomainDispatcherApplication(create_backend_app), clock)
        run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
