"""The compiled functions do their work with the roles of the templates, and no call is refused."""

import json
import time
from collections.abc import Callable

import state_machine
from deployment import RECIPIENT, REPOSITORY, SESSION_NAME, Deployment
from organization import Organization, secret_name
from peer import Peer
from phases import DryRun, Retirement, Rotations, Sweep

MEMBER_ROLE = "aws-iam-access-key-auto-rotation-lambda-assumed-role"


def test_a_dry_run_plans_and_changes_nothing(organization: Organization, dry_run: DryRun) -> None:
    assert dry_run.secrets == []
    for account in organization.swept:
        for user in account.users:
            assert list(account.keys(user).values()) == ["Active"], (account.name, user)
    assert dry_run.output["actions"] > 0, "the report counts what would be done"
    assert dry_run.output["dry_run"] is True, "and says that it was not"


def test_a_run_sends_one_message_per_recipient_over_all_accounts(organization: Organization, dry_run: DryRun) -> None:
    recipients = [address for mail in dry_run.mails for address in mail["To"]]
    assert sorted(recipients) == sorted(set(recipients))
    [digest] = [mail for mail in dry_run.mails if RECIPIENT in mail["To"]]
    for member in organization.members:
        assert member.id in digest["BodyText"], member.name
    assert "#iam-keys" in digest["BodyText"]
    assert dry_run.output["mails"] == len(dry_run.mails), "the totals count what the digest sent"
    assert dry_run.output["digest_failed"] is False


def test_every_user_with_a_key_gets_a_secret_and_nobody_else(organization: Organization, swept: Sweep) -> None:
    wanted = [secret_name(account, user) for account in organization.swept for user in account.users]
    assert swept.secrets == sorted(wanted)


def test_the_sweeper_works_as_its_role_in_every_account(
    peer: Peer, deployment: Deployment, organization: Organization, swept: Sweep
) -> None:
    allowed = [each for each in peer.decisions() if each["decision"] == "Allow"]
    role = deployment.role_of("sweeper").rsplit("/", 1)[-1]
    session = f"arn:aws:sts::{organization.primary.id}:assumed-role/{role}/{deployment.function('sweeper')}"
    sweeper = [(each["action"], each["resource"]) for each in allowed if each["principal"] == session]
    for member in organization.members:
        member_role = f"arn:aws:iam::{member.id}:role/{MEMBER_ROLE}"
        assert ("sts:AssumeRole", member_role) in sweeper, member.name
        in_member = f"arn:aws:sts::{member.id}:assumed-role/{MEMBER_ROLE}/{SESSION_NAME}"
        assert any(each["principal"] == in_member and each["action"] == "iam:ListAccessKeys" for each in allowed)
    # In the stack's own account the functions assume no role.
    assert ("iam:GetAccountAuthorizationDetails", "*") in sweeper
    assert swept.secrets, "otherwise the sweeper ran and did nothing"


def test_an_account_without_the_member_roles_is_reported(
    deployment: Deployment, organization: Organization, swept: Sweep
) -> None:
    failed = deployment.failed_accounts(swept.execution)
    assert list(failed) == [organization.bare.id]
    assert "sts:AssumeRole" in failed[organization.bare.id]
    assert swept.output["accounts"] == len(organization.swept)
    assert (swept.output["accounts_not_swept"], swept.output["complete"]) == (1, False)


def test_the_secrets_stand_with_key_schedule_and_policy(
    deployment: Deployment, organization: Organization, swept: Sweep
) -> None:
    store = organization.primary.client("secretsmanager")
    function = organization.primary.client("lambda").get_function(FunctionName=deployment.function("rotation"))
    for account in organization.swept:
        for user in account.users:
            secret = store.describe_secret(SecretId=secret_name(account, user))
            assert secret["RotationEnabled"] is True
            assert secret["RotationLambdaARN"] == function["Configuration"]["FunctionArn"]
            assert secret["RotationRules"] == {"AutomaticallyAfterDays": 90}
            assert secret["KmsKeyId"] == deployment.kms_key
            policy = store.get_resource_policy(SecretId=secret["ARN"])["ResourcePolicy"]
            statement, *denials = json.loads(policy)["Statement"]
            assert statement["Principal"] == {"AWS": f"arn:aws:iam::{account.id}:user/robots/{user}"}
            # Users with such names share the permission for the KMS key.
            assert [it["Effect"] for it in denials] == (["Deny"] if "," in user else [])
            is_due = user in ("ci-bot", "home-bot")
            stages = list(secret["VersionIdsToStages"].values())
            assert (["AWSPENDING"] in stages) == is_due, "a rotation is started where a key is older than the period"


def test_a_rotation_makes_a_key_that_works_and_is_the_users(rotated: Rotations) -> None:
    for rotation in rotated.all:
        value = rotation.value()
        [old_key] = rotation.old_keys
        assert rotation.account.keys(rotation.user) == {old_key: "Active", value["AccessKeyId"]: "Active"}
        arn = f"arn:aws:iam::{rotation.account.id}:user/robots/{rotation.user}"
        assert rotation.as_user("sts").get_caller_identity()["Arn"] == arn


def test_the_rotation_works_as_its_own_member_role(
    peer: Peer, deployment: Deployment, organization: Organization, rotated: Rotations
) -> None:
    made = [each for each in peer.decisions() if each["action"] == "iam:CreateAccessKey"]
    role = deployment.role_of("rotation").rsplit("/", 1)[-1]
    home = f"arn:aws:sts::{organization.primary.id}:assumed-role/{role}/{deployment.function('rotation')}"
    member = f"arn:aws:sts::{rotated.member.account.id}:assumed-role/{MEMBER_ROLE}-rotation/{SESSION_NAME}"
    assert [(each["principal"], each["decision"]) for each in made] == [
        (home, "Allow"),
        (member, "Allow"),
        (member, "Allow"),
    ]


def test_a_user_reads_its_own_secret_with_the_old_and_with_the_new_key(rotated: Rotations) -> None:
    for rotation in rotated.all:
        with_old_key = rotation.account.as_user(rotation.user)("secretsmanager")
        for secretsmanager in (with_old_key, rotation.as_user("secretsmanager")):
            read = secretsmanager.get_secret_value(SecretId=rotation.arn)["SecretString"]
            assert json.loads(read) == rotation.value()


def test_the_account_is_told_of_rotations_by_mail(peer: Peer, organization: Organization, rotated: Rotations) -> None:
    """The service's event calls the sweeper, which sends the notice without a sweep."""
    address, new_key = f"{rotated.member.account.name}@example.com", rotated.member.value()["AccessKeyId"]

    def told() -> list[str]:
        mails = [mail for mail in peer.mails(organization.primary.id) if address in mail["To"]]
        return [mail["Subject"] for mail in mails if new_key in mail["BodyText"]]

    assert soon(told)


def test_without_grace_old_keys_are_disabled_and_then_deleted(rotated: Rotations, retired: Retirement) -> None:
    for rotation in (rotated.home, rotated.member):
        [old_key] = rotation.old_keys
        new_key = rotation.value()["AccessKeyId"]
        assert retired.after_the_first[rotation.account.id] == {old_key: "Inactive", new_key: "Active"}
        assert retired.after_the_second[rotation.account.id] == {new_key: "Active"}


def test_the_daily_schedule_starts_the_run(retired: Retirement) -> None:
    output = state_machine.output(retired.scheduled)
    assert (output["accounts"], output["dry_run"]) == (retired.first["accounts"], False)


def test_the_secret_of_a_deleted_user_is_scheduled_for_deletion(
    organization: Organization, retired: Retirement
) -> None:
    store = organization.primary.client("secretsmanager")
    assert "DeletedDate" in store.describe_secret(SecretId=secret_name(retired.deleted_in, "new-bot"))


def test_an_exempt_user_has_no_schedule_until_the_exemption_ends(
    organization: Organization, retired: Retirement
) -> None:
    store = organization.primary.client("secretsmanager")
    assert retired.exempt_is_scheduled is False
    secret = store.describe_secret(SecretId=secret_name(retired.exempt_in, "new-bot"))
    assert secret["RotationEnabled"] is True


def test_notices_are_published_to_the_topic_too(peer: Peer, deployment: Deployment, retired: Retirement) -> None:
    topic, sweeper = deployment.resources["NoticeTopic"], deployment.function("sweeper")
    ours = [each for each in peer.decisions() if each["principal"].endswith(f"/{sweeper}")]
    published = [each for each in ours if each["action"] == "sns:Publish"]
    assert {(each["resource"], each["decision"]) for each in published} == {(topic, "Allow")}
    assert retired.first, "everything has been done"


def test_no_secret_is_told(peer: Peer, organization: Organization, rotated: Rotations, retired: Retirement) -> None:
    told = peer.log.read_text() + json.dumps(peer.mails(organization.primary.id)) + json.dumps(retired.first)
    assert rotated.member.value()["AccessKeyId"] in told, "keys are named by their id"
    for rotation in rotated.all:
        assert rotation.value()["SecretAccessKey"] not in told


def test_nothing_was_refused_that_the_functions_need(peer: Peer, deployment: Deployment, retired: Retirement) -> None:
    sessions = {SESSION_NAME, deployment.function("rotation"), deployment.function("sweeper")}
    services = {"events.amazonaws.com", deployment.schedules_role}
    ours = [
        each
        for each in peer.decisions()
        if each["principal"].rsplit("/", 1)[-1] in sessions or each["principal"] in services
    ]
    refused = [each for each in ours if each["decision"] != "Allow"]
    assert refused == []
    assert len(ours) > 1000, "the log of decisions is complete"
    assert services <= {each["principal"] for each in ours}
    assert retired.first, "everything has been done"


def test_a_failed_rotation_is_told_at_once(peer: Peer, deployment: Deployment, rotated: Rotations) -> None:
    rotation = rotated.member
    event = json.loads((REPOSITORY / "sam/events/rotation-failed.json").read_text())
    event["detail"]["additionalEventData"]["SecretId"] = rotation.arn
    region, account = rotation.arn.split(":")[3:5]
    event |= {"account": account, "region": region}
    event["detail"] |= {"recipientAccountId": account, "awsRegion": region}
    # The test invokes the function: only AWS sends events of aws.secretsmanager, and ministack fails no rotation.
    answer = deployment.invoke(deployment.function("sweeper"), event)["answer"]
    assert (answer["mails"], answer["failures"]) == (2, [])
    last = peer.mails(deployment.organization.primary.id)[-2:]
    assert sorted(mail["To"] for mail in last) == [[f"{rotation.account.name}@example.com"], [RECIPIENT]]
    assert all("rotation failed" in mail["BodyText"] for mail in last)
    assert not any(event["detail"]["errorMessage"] in mail["BodyText"] for mail in last)


def soon(look: Callable[[], list[str]], timeout_seconds: float = 30) -> list[str]:
    """Repeats a read until it returns something."""
    until = time.monotonic() + timeout_seconds
    while not (seen := look()) and time.monotonic() < until:
        time.sleep(0.2)
    return seen
