"""A sweep makes a secret, its policy and its schedule for every new user, and for nobody else."""

import json

from conftest import Stack
from organization import (
    EXEMPTION_GROUP,
    MEMBER_ROLE,
    PRIMARY_ACCOUNT,
    READER_GROUP,
    ROTATION_FUNCTION_ARN,
    Account,
    Organization,
    secret_name,
    wire_time,
)


def test_a_user_gets_a_secret_with_a_placeholder_that_names_the_key(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    answer = stack.sweep()
    assert answer["actions"]["provision"] == 1, answer
    assert answer["failures"] == []
    assert organization.secret_names() == [f"Account_{account.id}_User_ci-bot_AccessKey"]
    value = organization.value(secret_name(account, "ci-bot"))
    assert value == {
        "Version": 1,
        "AccessKeyId": key,
        "UserName": "ci-bot",
        "AccountId": account.id,
        "UserArn": f"arn:aws:iam::{account.id}:user/robots/ci-bot",
        "CreateDate": wire_time(organization.created(account, "ci-bot", key)),
        "Status": "AwaitingFirstRotation",
    }
    assert account.keys("ci-bot") == {key: "Active"}


def test_the_secret_has_its_schedule_its_kms_key_and_its_tags(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    stack.sweep()
    secret = organization.describe(secret_name(account, "ci-bot"))
    assert secret["RotationEnabled"] is True
    assert secret["RotationLambdaARN"] == ROTATION_FUNCTION_ARN
    assert secret["RotationRules"] == {"AutomaticallyAfterDays": 90}
    assert secret["KmsKeyId"] == organization.kms_key
    tags = organization.tags(secret["Name"])
    assert tags["keywheel:managed"] == "1"
    assert tags["keywheel:current-key"] == key
    [version] = secret["VersionIdsToStages"]
    assert tags["keywheel:version"] == version


def test_the_secret_can_be_read_by_its_user_and_by_nobody_else(
    stack: Stack, organization: Organization, account: Account
) -> None:
    account.add_user("ci-bot")
    stack.sweep()
    # moto enforces no resource policy and accepts public ones, so the test reads the policy's text.
    text = organization.store.get_resource_policy(SecretId=secret_name(account, "ci-bot"))["ResourcePolicy"]
    allows = [each for each in json.loads(text)["Statement"] if each["Effect"] == "Allow"]
    user = f"arn:aws:iam::{account.id}:user/robots/ci-bot"
    assert allows
    for statement in allows:
        assert user in json.dumps(statement["Principal"]), text
        assert user in json.dumps(statement["Condition"]), text
        assert "*" not in json.dumps(statement["Principal"]), text
        assert "secretsmanager:GetSecretValue" in json.dumps(statement["Action"]), text


def test_a_user_of_a_member_account_joins_the_reader_group(stack: Stack, member: Account) -> None:
    member.add_user("ci-bot")
    stack.sweep()
    assert member.groups_of("ci-bot") == [READER_GROUP]


def test_a_second_sweep_finds_nothing_to_do(stack: Stack, organization: Organization, account: Account) -> None:
    account.add_user("ci-bot")
    stack.sweep()
    before = organization.describe(secret_name(account, "ci-bot"))
    answer = stack.sweep()
    after = organization.describe(secret_name(account, "ci-bot"))
    assert sum(answer["actions"].values()) == 0, answer
    assert answer["failures"] == []
    del before["ResponseMetadata"], after["ResponseMetadata"]
    assert before == after


def test_the_answer_counts_accounts_and_users(
    stack: Stack, primary: Account, member: Account
) -> None:
    for name in ("ci-bot", "deployer"):
        member.add_user(name)
    primary.add_user("backup")
    answer = stack.sweep()
    assert (answer["accounts"], answer["users"], answer["dry_run"]) == (2, 3, False)
    assert answer["actions"]["provision"] == 3, answer


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    answer = stack.sweep({"dry_run": True})
    assert answer["dry_run"] is True
    assert answer["actions"]["provision"] == 1, answer
    assert key in json.dumps(answer["plan"]), answer
    assert organization.secret_names() == []
    assert account.groups_of("ci-bot") == []
    assert account.keys("ci-bot") == {key: "Active"}


def test_a_dry_run_by_setting_cannot_be_overruled_by_an_event(
    stack: Stack, organization: Organization, member: Account
) -> None:
    member.add_user("ci-bot")
    stack.start("sweeper", DRY_RUN_FLAG="true")
    assert stack.sweep({"dry_run": False})["dry_run"] is True
    assert organization.secret_names() == []


def test_the_plan_of_a_dry_run_is_the_plan_that_is_enforced(stack: Stack, primary: Account, member: Account) -> None:
    member.add_user("ci-bot")
    primary.add_user("backup")
    dry = stack.sweep({"dry_run": True})
    enforced = stack.sweep()
    assert dry["actions"] == enforced["actions"]
    assert [entry for entry in dry["plan"] if entry["action"] != "wait"] == enforced["plan"]


def test_an_exempt_user_is_left_alone(stack: Stack, organization: Organization, account: Account) -> None:
    [key] = account.add_user("break-glass", groups=(EXEMPTION_GROUP,))
    organization.clock.advance(days=400)
    answer = stack.sweep()
    assert sum(answer["actions"].values()) == 0, answer
    assert organization.secret_names() == []
    assert account.keys("break-glass") == {key: "Active"}


def test_a_user_without_an_active_key_gets_no_secret_and_no_key(
    stack: Stack, organization: Organization, account: Account
) -> None:
    account.add_user("person", keys=0)
    [key] = account.add_user("retired")
    account.iam.update_access_key(UserName="retired", AccessKeyId=key, Status="Inactive")
    organization.clock.advance(days=400)
    answer = stack.sweep()
    assert sum(answer["actions"].values()) == 0, answer
    assert organization.secret_names() == []
    assert account.keys("person") == {}
    assert account.keys("retired") == {key: "Inactive"}


def test_an_account_without_the_role_is_reported_and_stops_no_other(
    stack: Stack, organization: Organization, member: Account
) -> None:
    closed = organization.add_member("no-roles", "no-roles@example.com", roles=False)
    member.add_user("ci-bot")
    answer = stack.sweep()
    assert organization.secret_names() == [secret_name(member, "ci-bot")]
    [failure] = answer["failures"]
    assert failure["account"] == closed.id
    assert MEMBER_ROLE in failure["error"], failure


def test_a_group_that_is_missing_is_reported_and_the_secret_is_made_all_the_same(
    stack: Stack, organization: Organization, member: Account
) -> None:
    member.iam.delete_group(GroupName=READER_GROUP)
    member.add_user("ci-bot")
    answer = stack.sweep()
    assert organization.secret_names() == [secret_name(member, "ci-bot")]
    assert any(READER_GROUP in failure["error"] for failure in answer["failures"]), answer


def test_a_deleted_users_secret_is_scheduled_for_deletion(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    stack.sweep()
    for group in account.groups_of("ci-bot"):
        account.iam.remove_user_from_group(GroupName=group, UserName="ci-bot")
    account.iam.delete_access_key(UserName="ci-bot", AccessKeyId=key)
    account.iam.delete_user(UserName="ci-bot")
    answer = stack.sweep()
    assert answer["failures"] == [], answer
    secret = organization.describe(secret_name(account, "ci-bot"))
    days = (secret["DeletedDate"] - organization.clock.now()).days
    # moto's date is the end of the recovery window; AWS's date is the day of the request.
    assert days in (29, 30)


def test_drift_is_repaired(stack: Stack, organization: Organization, member: Account) -> None:
    member.add_user("ci-bot")
    stack.sweep()
    name = secret_name(member, "ci-bot")
    policy = organization.store.get_resource_policy(SecretId=name)["ResourcePolicy"]
    organization.store.cancel_rotate_secret(SecretId=name)
    organization.store.delete_resource_policy(SecretId=name)
    member.iam.remove_user_from_group(GroupName=READER_GROUP, UserName="ci-bot")
    assert stack.sweep()["failures"] == []
    assert organization.describe(name)["RotationEnabled"] is True
    assert json.loads(organization.store.get_resource_policy(SecretId=name)["ResourcePolicy"]) == json.loads(policy)
    assert member.groups_of("ci-bot") == [READER_GROUP]


def test_the_member_accounts_own_secrets_are_not_used(
    stack: Stack, organization: Organization, member: Account
) -> None:
    member.add_user("ci-bot")
    stack.sweep()
    assert member.client("secretsmanager").list_secrets()["SecretList"] == []
    arn = organization.describe(secret_name(member, "ci-bot"))["ARN"]
    assert arn.split(":")[4] == PRIMARY_ACCOUNT
