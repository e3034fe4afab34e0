"""Makes each forbidden call with real credentials; a policy must refuse it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from deployment import Deployment
from organization import PRIMARY_ACCOUNT, Client, Organization, assume, secret_name
from peer import Peer
from phases import Rotations, Sweep

MEMBER_ROLE = "aws-iam-access-key-auto-rotation-lambda-assumed-role"
# SNS uses the last spelling.
REFUSED = ["AccessDenied", "AccessDeniedException", "AuthorizationError"]


def refused(call: Callable[..., Any], **request: Any) -> str:
    """Makes a call that must be refused. Returns the refusal's text."""
    with pytest.raises(ClientError) as raised:
        call(**request)
    error = raised.value.response["Error"]
    assert error["Code"] in REFUSED, error
    return error["Message"]


@pytest.fixture(scope="session")
def sweeper(peer: Peer, deployment: Deployment, swept: Sweep) -> Client:
    """Returns clients that sign as the sweeper's role."""
    session = deployment.session_of("sweeper")
    return lambda service: peer.client(service, session)


@pytest.fixture(scope="session")
def rotation(peer: Peer, deployment: Deployment, swept: Sweep) -> Client:
    """Returns clients that sign as the rotation function's role."""
    session = deployment.session_of("rotation")
    return lambda service: peer.client(service, session)


@pytest.fixture(scope="session")
def in_member(peer: Peer, sweeper: Client, organization: Organization) -> Client:
    """Returns clients that sign as the sweeper's role in a member account."""
    session = assume(sweeper("sts"), f"arn:aws:iam::{organization.members[0].id}:role/{MEMBER_ROLE}")
    return lambda service: peer.client(service, session)


@pytest.fixture(scope="session")
def open_key(organization: Organization) -> str:
    """Makes a key that everybody in the account may use through Secrets Manager, as the key that AWS manages for it."""
    statement = {
        "Sid": "ThroughSecretsManager",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant"],
        "Resource": "*",
        "Condition": {"StringEquals": {"kms:CallerAccount": PRIMARY_ACCOUNT}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return organization.primary.client("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"]


def test_the_rotation_function_puts_no_value_under_another_key(
    rotation: Client, deployment: Deployment, organization: Organization, open_key: str
) -> None:
    """A secret with a victim's name and keywheel's function, made by somebody who may write secrets."""
    attacker = organization.primary.role_that_may_everything("writer-of-secrets")("secretsmanager")
    name = secret_name(organization.members[0], "victim")
    secret = attacker.create_secret(Name=name, KmsKeyId=open_key, SecretString="{}")["ARN"]
    function = organization.primary.client("lambda").get_function(FunctionName=deployment.function("rotation"))
    attacker.rotate_secret(
        SecretId=secret,
        RotationLambdaARN=function["Configuration"]["FunctionArn"],
        RotationRules={"AutomaticallyAfterDays": 90},
        RotateImmediately=False,
    )
    # It may read what another key encrypted, so that such a secret can be rotated, and writes nothing there.
    assert rotation("secretsmanager").get_secret_value(SecretId=secret)["SecretString"] == "{}"
    assert "KMS" in refused(rotation("secretsmanager").put_secret_value, SecretId=secret, SecretString="{}")
    assert attacker.put_secret_value(SecretId=secret, SecretString="{}")["ARN"]
    attacker.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)


def test_the_sweeper_takes_no_detour_to_a_value(
    sweeper: Client, deployment: Deployment, organization: Organization, rotated: Rotations, open_key: str
) -> None:
    store, secret = sweeper("secretsmanager"), rotated.member.arn
    assert store.update_secret(SecretId=secret, KmsKeyId=deployment.kms_key)["ARN"] == secret
    refused(store.update_secret, SecretId=secret, KmsKeyId=open_key)
    refused(store.update_secret, SecretId=secret, SecretString="{}")
    refused(store.replicate_secret_to_regions, SecretId=secret, AddReplicaRegions=[{"Region": "eu-west-1"}])
    new = {"Name": secret_name(organization.members[0], "nobody"), "SecretString": "{}"}
    refused(store.create_secret, **new)
    refused(store.create_secret, **new, KmsKeyId=open_key)
    replicas = [{"Region": "eu-west-1"}]
    refused(store.create_secret, **new, KmsKeyId=deployment.kms_key, AddReplicaRegions=replicas)


def test_the_sweeper_reads_no_value(sweeper: Client, rotated: Rotations) -> None:
    for each in rotated.all:
        assert sweeper("secretsmanager").describe_secret(SecretId=each.arn)["Name"] == each.name
        said = refused(sweeper("secretsmanager").get_secret_value, SecretId=each.arn)
        assert "secretsmanager:GetSecretValue" in said
        said = refused(sweeper("secretsmanager").batch_get_secret_value, SecretIdList=[each.arn])
        assert "secretsmanager:BatchGetSecretValue" in said


def test_the_sweeper_makes_no_key(sweeper: Client, in_member: Client, organization: Organization) -> None:
    assert "iam:CreateAccessKey" in refused(sweeper("iam").create_access_key, UserName="home-bot")
    assert in_member("iam").list_access_keys(UserName="new-bot")["AccessKeyMetadata"]
    assert "iam:CreateAccessKey" in refused(in_member("iam").create_access_key, UserName="new-bot")


def test_the_sweeper_alone_tells_and_sees_no_other_sender(
    sweeper: Client, rotation: Client, deployment: Deployment
) -> None:
    notice = {"TopicArn": deployment.resources["NoticeTopic"], "Message": "{}"}
    assert sweeper("sns").publish(**notice)["MessageId"]
    assert "sns:Publish" in refused(rotation("sns").publish, **notice)
    assert sweeper("sesv2").get_email_identity(EmailIdentity="example.com")["VerifiedForSendingStatus"]
    refused(sweeper("sesv2").get_email_identity, EmailIdentity="other.example")
    refused(sweeper("sesv2").list_email_identities)
    refused(rotation("sesv2").get_account)


def test_each_function_assumes_its_own_member_role_alone(
    sweeper: Client, rotation: Client, organization: Organization
) -> None:
    member = organization.members[0]
    own = f"arn:aws:iam::{member.id}:role/{MEMBER_ROLE}"
    assert assume(sweeper("sts"), own)
    assert assume(rotation("sts"), f"{own}-rotation")
    refused(sweeper("sts").assume_role, RoleArn=f"{own}-rotation", RoleSessionName="check")
    refused(rotation("sts").assume_role, RoleArn=own, RoleSessionName="check")


def test_the_rotation_function_touches_no_other_secret(rotation: Client, organization: Organization) -> None:
    other = organization.primary.client("secretsmanager").create_secret(Name="prod/database", SecretString="…")["ARN"]
    refused(rotation("secretsmanager").get_secret_value, SecretId=other)
    refused(rotation("secretsmanager").put_secret_value, SecretId=other, SecretString="…")


def test_the_functions_make_no_users_and_change_no_policies(
    sweeper: Client, rotation: Client, in_member: Client
) -> None:
    everything = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
    for clients in (sweeper, rotation, in_member):
        refused(clients("iam").create_user, UserName="intruder")
        refused(clients("iam").put_user_policy, UserName="home-bot", PolicyName="all", PolicyDocument=everything)


def test_a_user_reads_no_secret_but_its_own(organization: Organization, rotated: Rotations) -> None:
    store = organization.primary.client("secretsmanager")
    first, second = organization.members[:2]

    def arn(account: Any, user: str) -> str:
        return store.describe_secret(SecretId=secret_name(account, user))["ARN"]

    foreign = [arn(first, "new-bot"), arn(second, "ci-bot"), arn(organization.primary, "home-bot")]
    reader = rotated.member.as_user("secretsmanager")
    assert reader.get_secret_value(SecretId=rotated.member.arn)["SecretString"]
    for secret in foreign:
        refused(reader.get_secret_value, SecretId=secret)
    # The second statement of the managed policy covers every encoded name, so the secret's own policy has to refuse.
    refused(reader.get_secret_value, SecretId=rotated.comma.arn)
    # The same holds in the secret's own account, where its policy alone decides.
    home = rotated.home.as_user("secretsmanager")
    assert home.get_secret_value(SecretId=rotated.home.arn)["SecretString"]
    for secret in foreign[:2]:
        refused(home.get_secret_value, SecretId=secret)


def test_a_user_changes_not_even_its_own_secret(rotated: Rotations) -> None:
    reader = rotated.member.as_user("secretsmanager")
    refused(reader.put_secret_value, SecretId=rotated.member.arn, SecretString="{}")
    refused(reader.delete_secret, SecretId=rotated.member.arn)


def test_another_role_of_the_stacks_account_gets_into_no_member(organization: Organization, swept: Sweep) -> None:
    other = organization.primary.role_that_may_everything("another-role")("sts")
    for suffix in ("", "-rotation"):
        role = f"arn:aws:iam::{organization.members[0].id}:role/{MEMBER_ROLE}{suffix}"
        refused(other.assume_role, RoleArn=role, RoleSessionName="check")


def test_a_foreign_organization_gets_in_nowhere(
    peer: Peer, deployment: Deployment, organization: Organization, rotated: Rotations
) -> None:
    # These roles and users have the same names as keywheel's.
    foreign = organization.foreign.role_that_may_everything(deployment.role_of("sweeper").rsplit("/", 1)[-1])
    for suffix in ("", "-rotation"):
        role = f"arn:aws:iam::{organization.members[0].id}:role/{MEMBER_ROLE}{suffix}"
        refused(foreign("sts").assume_role, RoleArn=role, RoleSessionName="check")
    refused(foreign("secretsmanager").get_secret_value, SecretId=rotated.member.arn)
    refused(foreign("kms").describe_key, KeyId=deployment.kms_key)


def test_a_member_role_trusts_no_other_organization(
    peer: Peer, deployment: Deployment, organization: Organization, swept: Sweep
) -> None:
    """The right role of the right account, but in another organization than the member role trusts."""
    deployment.deploy_member(organization.bare, OrganizationId=organization.foreign_id)
    role = f"arn:aws:iam::{organization.bare.id}:role/{MEMBER_ROLE}"
    refused(peer.client("sts", deployment.session_of("sweeper")).assume_role, RoleArn=role, RoleSessionName="check")
