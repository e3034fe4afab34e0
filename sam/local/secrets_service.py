"""Corrects ministack where it departs from the documented Secrets Manager. `correct` applies all corrections."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, request_scope
from ministack.core.router import extract_access_key_id
from ministack.services import kms
from ministack.services import secretsmanager as service

import policy_evaluation

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[dict[str, Any]], Answer]


def _account_and_region(arn: str) -> tuple[str, str]:
    fields = arn.split(":")
    return fields[4], fields[3]


def _look_where_the_arn_points() -> None:
    """Other accounts find a secret and a key, with their policies, too. ministack searches only the caller's."""

    def looking(lookup: Callable[[str], Any]) -> Callable[[str], Any]:
        def corrected(arn: str) -> Any:
            if not arn.startswith("arn:"):
                return lookup(arn)
            with request_scope(*_account_and_region(arn)):
                return lookup(arn)

        return corrected

    service.secret_policy_for_arn = looking(service.secret_policy_for_arn)
    kms.key_policy_for_arn = looking(kms.key_policy_for_arn)


# The KMS calls that Secrets Manager makes as the caller, by call.
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
KEY_ACTIONS = {
    "CreateSecret": ["kms:GenerateDataKey", "kms:Decrypt"],
    "PutSecretValue": ["kms:GenerateDataKey", "kms:Decrypt"],
    "UpdateSecret": ["kms:GenerateDataKey", "kms:Decrypt"],
    "GetSecretValue": ["kms:Decrypt"],
}


def _key_and_secret(action: str, request: dict[str, Any]) -> tuple[str | None, str]:
    if action == "CreateSecret":
        # The service chooses the six characters after the name; for a policy any six are right.
        arn = f"arn:aws:secretsmanager:{get_region()}:{get_account_id()}:secret:{request.get('Name')}-a1b2c3"
        return request.get("KmsKeyId"), arn
    _, secret = service._resolve(request.get("SecretId"))
    if not secret:
        return None, ""
    return request.get("KmsKeyId") or secret.get("KmsKeyId"), secret["ARN"]


def _refused_by_key(action: str, request: dict[str, Any], access_key: str, caller: str) -> Answer | None:
    """AWS encrypts and decrypts as the caller, with the secret's ARN as the context. ministack never checks the key."""
    key, secret = _key_and_secret(action, request)
    if not key:
        return None
    owner, region = get_account_id(), get_region()
    record = kms._resolve_key(key)
    if not record:
        return error_response_json("InvalidRequestException", f"KMS key {key} does not exist.", 400)
    context = {
        "kms:ViaService": f"secretsmanager.{region}.amazonaws.com",
        "kms:CallerAccount": caller,
        "kms:EncryptionContext:SecretARN": secret,
        "kms:EncryptionContextKeys": ["SecretARN", "SecretVersionId"],
    }
    arn = f"arn:aws:kms:{region}:{owner}:key/{record['KeyId']}"
    with request_scope(caller, region):
        for key_action in KEY_ACTIONS[action]:
            named = {"resource_arn": arn, "service_context": context}
            if iam_evaluator.enforce(access_key, key_action, "kms", region, **named):
                return error_response_json("AccessDeniedException", "Access to KMS is not allowed", 400)
    return None


def _answer_other_accounts() -> None:
    """The account in a secret's ARN answers the call, after all policies are checked.

    ministack answers that there is no such secret. The policies are asked before, by the code around this.
    """
    handle_request = service.handle_request

    async def corrected(method: str, path: str, headers: Any, body: Any, query: Any) -> Answer:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        request = json.loads(body or b"{}")
        identifier = request.get("SecretId") or ""
        caller = get_account_id()
        owner, region = _account_and_region(identifier) if identifier.startswith("arn:") else (caller, get_region())
        access_key = extract_access_key_id(headers, query) or ""
        with request_scope(owner, region):
            if action in KEY_ACTIONS:
                refused = _refused_by_key(action, request, access_key, caller)
                if refused:
                    return refused
            if action == "RotateSecret" and (refused := _refused_by_function(request, access_key)):
                return refused
            if action == "CancelRotateSecret":
                return _cancel_rotation(request)
            return await handle_request(method, path, headers, body, query)

    service.handle_request = corrected


def _refused_by_function(request: dict[str, Any], access_key: str) -> Answer | None:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-required-permissions-function.html

    RotateSecret wants the caller to be allowed to invoke the function, and the function's own policy to let
    Secrets Manager in, for this account. ministack asks neither.
    """
    function = request.get("RotationLambdaARN")
    if not function:
        return None
    if iam_evaluator.enforce(access_key, "lambda:InvokeFunction", "lambda", get_region(), resource_arn=function):
        return error_response_json("AccessDeniedException", f"You may not invoke {function}.", 400)
    if not policy_evaluation.admits(function, "secretsmanager.amazonaws.com"):
        message = f"Secrets Manager cannot invoke the specified Lambda function {function}."
        return error_response_json("AccessDeniedException", message, 400)
    return None


def _name_the_first_version_by_the_token() -> None:
    """The ClientRequestToken of CreateSecret becomes the version's id. ministack invents an id."""
    create = service._create_secret

    def corrected(request: dict[str, Any]) -> Answer:
        status, headers, body = create(request)
        token = request.get("ClientRequestToken")
        if status != 200 or not token:
            return status, headers, body
        answer = json.loads(body)
        versions = service._secrets[request["Name"]]["Versions"]
        versions[token] = versions.pop(answer["VersionId"])
        return json_response(answer | {"VersionId": token})

    service._create_secret = corrected


def _have_no_value_in_an_empty_version() -> None:
    """AWS answers ResourceNotFoundException for a version without a value. ministack answers without a value."""
    get_value = service._get_secret_value

    def corrected(request: dict[str, Any]) -> Answer:
        status, headers, body = get_value(request)
        if status == 200 and not json.loads(body).keys() & {"SecretString", "SecretBinary"}:
            message = "Secrets Manager can't find the specified secret value."
            return error_response_json("ResourceNotFoundException", message, 400)
        return status, headers, body

    service._get_secret_value = corrected


def _rotation(request: dict[str, Any]) -> Answer:
    """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html

    AWS registers an empty version labelled AWSPENDING and calls the function, step by step; with
    RotateImmediately=false it only tests. ministack copies the value and makes the copy current. Here the version is
    registered as on AWS; the steps are sent by the checks, through Lambda.
    """
    _, secret = service._resolve(request.get("SecretId"))
    if not secret:
        return error_response_json("ResourceNotFoundException", "Secrets Manager can't find the secret.", 400)
    if secret.get("DeletedDate"):
        return error_response_json("InvalidRequestException", "The secret was marked for deletion.", 400)
    for version in secret["Versions"].values():
        if "AWSPENDING" in version["Stages"] and "AWSCURRENT" not in version["Stages"]:
            message = "A previous rotation isn't complete. That rotation will be reattempted."
            return error_response_json("InvalidRequestException", message, 400)
    secret["RotationLambdaARN"] = request.get("RotationLambdaARN") or secret.get("RotationLambdaARN")
    secret["RotationRules"] = request.get("RotationRules") or secret.get("RotationRules")
    secret["RotationEnabled"] = True
    token = request.get("ClientRequestToken") or str(uuid.uuid4())
    if request.get("RotateImmediately", True):
        empty = {"SecretString": None, "SecretBinary": None, "CreatedDate": secret["CreatedDate"]}
        secret["Versions"][token] = empty | {"Stages": ["AWSPENDING"]}
    return json_response({"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": token})


def _cancel_rotation(request: dict[str, Any]) -> Answer:
    """Adds CancelRotateSecret, which switches the schedule off; ministack lacks it."""
    _, secret = service._resolve(request.get("SecretId"))
    if not secret:
        return error_response_json("ResourceNotFoundException", "Secrets Manager can't find the secret.", 400)
    secret["RotationEnabled"] = False
    return json_response({"ARN": secret["ARN"], "Name": secret["Name"]})


def _filtered_by_prefixes(names: list[str], filters: list[dict[str, Any]]) -> list[str]:
    """https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_Filter.html

    A filter's values are prefixes, with their case. ministack finds them anywhere in a name, and takes tags as a whole.
    """

    def texts(name: str, key: str) -> list[str]:
        tags = service._secrets[name].get("Tags", [])
        looked_at = {
            "name": [name],
            "tag-key": [tag["Key"] for tag in tags],
            "tag-value": [tag.get("Value", "") for tag in tags],
        }
        return looked_at[key]

    def passes(name: str, wanted: dict[str, Any]) -> bool:
        return any(text.startswith(tuple(wanted["Values"])) for text in texts(name, wanted["Key"]))

    return [name for name in names if all(passes(name, wanted) for wanted in filters)]


def correct() -> None:
    """Applies all of these corrections."""
    _look_where_the_arn_points()
    _answer_other_accounts()
    _name_the_first_version_by_the_token()
    _have_no_value_in_an_empty_version()
    service._rotate_secret = _rotation
    service._filter_secret_names = _filtered_by_prefixes
