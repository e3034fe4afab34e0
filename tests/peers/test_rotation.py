"""The four steps with Secrets Manager's own event, in the stack's account and in a member account."""

from datetime import datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from conftest import Stack
from organization import PRIMARY_ACCOUNT, REGION, Account, Organization, secret_name, wire_time
from secrets_manager import STEPS, Rotation


@pytest.fixture
def rotation(stack: Stack, organization: Organization, account: Account) -> Rotation:
    """A rotation of ci-bot's secret that is about to begin."""
    account.add_user("ci-bot")
    stack.sweep()
    return Rotation(organization, stack.rotation, secret_name(account, "ci-bot"))


def test_four_steps_make_a_new_key_that_works(
    rotation: Rotation, organization: Organization, account: Account
) -> None:
    [old] = account.keys("ci-bot")
    rotation.run()
    value = organization.value(rotation.arn)
    new = value["AccessKeyId"]
    assert account.keys("ci-bot") == {old: "Active", new: "Active"}
    assert new != old
    secret_key = value.pop("SecretAccessKey")
    assert value == {
        "Version": 1,
        "AccessKeyId": new,
        "UserName": "ci-bot",
        "AccountId": account.id,
        "UserArn": f"arn:aws:iam::{account.id}:user/robots/ci-bot",
        "CreateDate": wire_time(organization.created(account, "ci-bot", new)),
        "Status": "Active",
    }
    identity = organization.identity_of(value | {"SecretAccessKey": secret_key})
    assert identity == f"arn:aws:iam::{account.id}:user/robots/ci-bot"


def test_the_facts_of_a_rotation_are_written_into_tags(
    rotation: Rotation, organization: Organization, account: Account
) -> None:
    [old] = account.keys("ci-bot")
    before = organization.clock.now()
    rotation.run()
    tags = organization.tags(rotation.arn)
    assert tags["keywheel:version"] == rotation.token
    assert tags["keywheel:current-key"] == organization.value(rotation.arn)["AccessKeyId"]
    assert tags["keywheel:previous-key"] == old
    assert wire_time(before) <= tags["keywheel:rotated-at"] <= wire_time(organization.clock.now())
    assert "keywheel:disabled-at" not in tags


def test_nothing_is_current_before_the_last_step(rotation: Rotation, organization: Organization) -> None:
    before = organization.value(rotation.arn)
    for step in STEPS[:3]:
        rotation.step(step)
        assert organization.value(rotation.arn) == before
    pending = organization.value(rotation.arn, "AWSPENDING")
    rotation.step("finishSecret")
    assert organization.value(rotation.arn) == pending
    assert organization.value(rotation.arn, "AWSPREVIOUS") == before


def test_every_step_can_be_repeated_and_makes_no_second_key(
    rotation: Rotation, organization: Organization, account: Account
) -> None:
    for step in STEPS:
        rotation.step(step)
        keys = account.keys("ci-bot")
        rotation.step(step)
        assert account.keys("ci-bot") == keys
        assert len(keys) == 2
    tags = organization.tags(rotation.arn)
    # If an answer was lost, the service begins with the first step again.
    for step in STEPS:
        rotation.step(step)
    assert account.keys("ci-bot") == keys
    assert organization.tags(rotation.arn) == tags


def test_a_second_rotation_goes_on_from_the_first(
    stack: Stack, rotation: Rotation, organization: Organization, account: Account
) -> None:
    [first] = account.keys("ci-bot")
    rotation.run()
    second = organization.value(rotation.arn)["AccessKeyId"]
    account.iam.update_access_key(UserName="ci-bot", AccessKeyId=first, Status="Inactive")
    account.iam.delete_access_key(UserName="ci-bot", AccessKeyId=first)
    organization.clock.advance(days=90)
    stack.rotate(account, "ci-bot")
    third = organization.value(rotation.arn)["AccessKeyId"]
    assert account.keys("ci-bot") == {second: "Active", third: "Active"}
    assert organization.tags(rotation.arn)["keywheel:previous-key"] == second


def test_a_user_with_two_active_keys_is_refused_and_both_are_named(
    stack: Stack, organization: Organization, account: Account
) -> None:
    both = account.add_user("ci-bot", keys=2)
    stack.sweep()
    rotation = Rotation(organization, stack.rotation, secret_name(account, "ci-bot"))
    said = stack.rotation.failure(rotation.event("createSecret"))
    assert "NoFreeSlot" in said
    assert all(key in said for key in both), said
    assert account.keys("ci-bot") == dict.fromkeys(both, "Active")


def test_a_person_s_second_key_is_retired_at_once_only_by_force(
    stack: Stack, organization: Organization, account: Account
) -> None:
    both = account.add_user("ci-bot", keys=2)
    stack.sweep()
    secret = secret_name(account, "ci-bot")
    current = organization.tags(secret)["keywheel:current-key"]
    organization.store.tag_resource(SecretId=secret, Tags=[{"Key": "keywheel:force", "Value": "true"}])
    stack.rotate(account, "ci-bot")
    new = organization.value(secret)["AccessKeyId"]
    assert new not in both
    assert account.keys("ci-bot") == {current: "Active", new: "Active"}


def test_an_orphan_of_a_lost_answer_is_replaced_and_not_added_to(
    rotation: Rotation, organization: Organization, account: Account
) -> None:
    [old] = account.keys("ci-bot")
    # The state after a crash between CreateAccessKey and PutSecretValue: intent and key exist, the value does not.
    intent = f"{rotation.token} {wire_time(organization.clock.now())}"
    organization.store.tag_resource(SecretId=rotation.arn, Tags=[{"Key": "keywheel:intent", "Value": intent}])
    orphan = account.iam.create_access_key(UserName="ci-bot")["AccessKey"]["AccessKeyId"]
    rotation.run()
    new = organization.value(rotation.arn)["AccessKeyId"]
    assert account.keys("ci-bot") == {old: "Active", new: "Active"}
    assert new != orphan


def announce(organization: Organization, rotation: Rotation, at: datetime, key: str = "") -> None:
    """Writes the intent of a rotation that stopped before its value, with the key's id if it is known."""
    intent = f"{rotation.token} {wire_time(at)} {key}".strip()
    organization.store.tag_resource(SecretId=rotation.arn, Tags=[{"Key": "keywheel:intent", "Value": intent}])


@pytest.mark.parametrize("seconds", [-60, -30, -5, 15, 30, 60])
def test_a_key_that_a_person_makes_in_the_same_minute_is_not_taken_for_an_orphan(
    rotation: Rotation, stack: Stack, organization: Organization, account: Account, seconds: int
) -> None:
    [old] = account.keys("ci-bot")
    own = account.iam.create_access_key(UserName="ci-bot")["AccessKey"]["AccessKeyId"]
    made = organization.created(account, "ci-bot", own)
    announce(organization, rotation, made - timedelta(seconds=seconds))
    assert "NoFreeSlot" in stack.rotation.failure(rotation.event("createSecret"))
    assert account.keys("ci-bot") == {old: "Active", own: "Active"}


def test_the_key_that_the_intent_names_is_the_orphan_whatever_the_time(
    rotation: Rotation, organization: Organization, account: Account
) -> None:
    [old] = account.keys("ci-bot")
    orphan = account.iam.create_access_key(UserName="ci-bot")["AccessKey"]["AccessKeyId"]
    made = organization.created(account, "ci-bot", orphan)
    announce(organization, rotation, made - timedelta(minutes=10), orphan)
    rotation.run()
    new = organization.value(rotation.arn)["AccessKeyId"]
    assert new != orphan
    assert account.keys("ci-bot") == {old: "Active", new: "Active"}


def test_no_other_key_is_taken_for_the_one_that_the_intent_names(
    rotation: Rotation, stack: Stack, organization: Organization, account: Account
) -> None:
    [old] = account.keys("ci-bot")
    own = account.iam.create_access_key(UserName="ci-bot")["AccessKey"]["AccessKeyId"]
    announce(organization, rotation, organization.created(account, "ci-bot", own), "AKIAIOSFODNN7EXAMPLE")
    assert "NoFreeSlot" in stack.rotation.failure(rotation.event("createSecret"))
    assert account.keys("ci-bot") == {old: "Active", own: "Active"}


def test_the_intent_has_the_time_of_iam_and_not_of_a_wrong_clock(
    rotation: Rotation, organization: Organization, account: Account
) -> None:
    # From here on the function's clock is ten minutes ahead of moto's, which changes only by `follow`.
    organization.clock.lead_followers(minutes=10)
    rotation.step("createSecret")
    new = organization.value(rotation.arn, "AWSPENDING")["AccessKeyId"]
    announced = organization.tags(rotation.arn)["keywheel:intent"].split(" ")[1]
    made = organization.created(account, "ci-bot", new)
    assert abs(datetime.fromisoformat(announced) - made) <= timedelta(seconds=2)


def test_a_copy_of_the_value_passes_all_steps_and_changes_no_fact(
    rotation: Rotation, stack: Stack, organization: Organization, account: Account
) -> None:
    rotation.run()
    keys, facts = account.keys("ci-bot"), organization.tags(rotation.arn)
    current = organization.store.get_secret_value(SecretId=rotation.arn, VersionStage="AWSCURRENT")
    token = "5f0d9a52-0c1d-4e0f-9a57-1c2f3d4e5f60"
    organization.store.put_secret_value(
        SecretId=rotation.arn,
        ClientRequestToken=token,
        SecretString=current["SecretString"],
        VersionStages=["AWSPENDING"],
    )
    for step in STEPS:
        stack.rotation.call({"Step": step, "SecretId": rotation.arn, "ClientRequestToken": token})
    assert account.keys("ci-bot") == keys
    assert organization.tags(rotation.arn) == facts | {"keywheel:version": token}


def test_a_pending_key_that_does_not_work_is_not_made_current(
    stack: Stack, rotation: Rotation, organization: Organization, account: Account
) -> None:
    rotation.step("createSecret")
    before = organization.value(rotation.arn)
    pending = organization.value(rotation.arn, "AWSPENDING")["AccessKeyId"]
    account.iam.update_access_key(UserName="ci-bot", AccessKeyId=pending, Status="Inactive")
    assert pending in stack.rotation.failure(rotation.event("setSecret"))
    assert organization.value(rotation.arn) == before


def test_the_test_of_the_configuration_passes_on_a_placeholder_and_makes_no_key(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    stack.sweep()
    secret = organization.describe(secret_name(account, "ci-bot"))
    # RotateImmediately=false: AWS makes a pending copy of the current value, calls only testSecret, and removes it.
    token = "5f0d9a52-0c1d-4e0f-9a57-1c2f3d4e5f60"
    current = organization.store.get_secret_value(SecretId=secret["ARN"], VersionStage="AWSCURRENT")
    organization.store.put_secret_value(
        SecretId=secret["ARN"],
        ClientRequestToken=token,
        SecretString=current["SecretString"],
        VersionStages=["AWSPENDING"],
    )
    event = {"Step": "testSecret", "SecretId": secret["ARN"], "ClientRequestToken": token}
    stack.rotation.call(event)
    assert account.keys("ci-bot") == {key: "Active"}


def test_a_dry_run_refuses_to_make_a_key(stack: Stack, organization: Organization, account: Account) -> None:
    [key] = account.add_user("ci-bot")
    stack.sweep()
    dry = stack.start("rotation", DRY_RUN_FLAG="true")
    rotation = Rotation(organization, dry, secret_name(account, "ci-bot"))
    assert "DRY_RUN_FLAG" in dry.failure(rotation.event("createSecret"))
    assert account.keys("ci-bot") == {key: "Active"}


def test_an_unknown_step_is_an_error_that_names_it(stack: Stack, rotation: Rotation, account: Account) -> None:
    said = stack.rotation.failure(rotation.event("rotateSecret"))
    assert "rotateSecret" in said
    assert len(account.keys("ci-bot")) == 1


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({}, ["Step", "SecretId", "ClientRequestToken"]),
        ({"Step": "createSecret", "SecretId": 7, "ClientRequestToken": "5f0d9a52-0c1d-4e0f-9a57-1c2f3d4e5f60"}, ["SecretId"]),
        (["createSecret"], ["object"]),
    ],
)
def test_a_malformed_event_is_an_error_that_names_what_is_wrong(stack: Stack, event: object, named: list[str]) -> None:
    said = stack.rotation.failure(event)
    assert all(name in said for name in named), said


def test_a_secret_with_a_foreign_name_is_refused(stack: Stack) -> None:
    event = {
        "Step": "createSecret",
        "SecretId": f"arn:aws:secretsmanager:{REGION}:{PRIMARY_ACCOUNT}:secret:prod/database-a1B2c3",
        "ClientRequestToken": "5f0d9a52-0c1d-4e0f-9a57-1c2f3d4e5f60",
    }
    assert "SecretId" in stack.rotation.failure(event)


def test_the_function_goes_on_after_an_error(stack: Stack, rotation: Rotation) -> None:
    stack.rotation.failure({})
    rotation.run()


def test_without_the_role_in_the_member_account_no_key_is_made(
    stack: Stack, organization: Organization, member: Account
) -> None:
    [key] = member.add_user("ci-bot")
    stack.sweep()
    role = "aws-iam-access-key-auto-rotation-lambda-assumed-role-rotation"
    member.iam.delete_role(RoleName=role)
    rotation = Rotation(organization, stack.rotation, secret_name(member, "ci-bot"))
    assert role in stack.rotation.failure(rotation.event("createSecret"))
    assert member.keys("ci-bot") == {key: "Active"}


def test_a_disabled_key_is_refused_by_this_peer(organization: Organization, member: Account) -> None:
    """Checks a correction that the tests rely on: unchanged moto accepts a disabled key."""
    member.add_user("ci-bot", keys=0)
    key = member.iam.create_access_key(UserName="ci-bot")["AccessKey"]
    assert organization.identity_of(key).endswith("ci-bot")
    member.iam.update_access_key(UserName="ci-bot", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        organization.identity_of(key)
