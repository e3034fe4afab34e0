"""The sweeper's other events: one account, one page of accounts, and what EventBridge sends."""

from typing import Any

import pytest

from conftest import Stack
from organization import PRIMARY_ACCOUNT, REGION, Account, Organization, secret_name
from secrets_manager import Rotation


def test_one_account_is_swept_alone(stack: Stack, organization: Organization, primary: Account, member: Account) -> None:
    primary.add_user("backup")
    member.add_user("ci-bot")
    answer = stack.sweep({"account": member.id, "name": "member", "email": member.email})
    assert (answer["accounts"], answer["users"]) == (1, 1)
    assert organization.secret_names() == [secret_name(member, "ci-bot")]


def test_the_inventory_comes_in_pages(stack: Stack, organization: Organization, primary: Account, member: Account) -> None:
    for number in range(25):
        organization.add_member(f"empty-{number}", f"empty-{number}@example.com", roles=False)
    accounts: list[dict[str, Any]] = []
    token, pages = None, 0
    while pages == 0 or token is not None:
        page = stack.sweep({"inventory": {"next_token": token, "limit": 10}})
        # AWS returns at most 20 accounts per page; moto returns all of them, unless a number is requested.
        assert len(page["accounts"]) <= 10, "the limit is a limit"
        accounts += page["accounts"]
        token, pages = page["next_token"], pages + 1
        assert pages < 30
    ids = [account["account"] for account in accounts]
    assert len(ids) == len(set(ids)) == 27
    assert {primary.id, member.id} <= set(ids)
    [listed] = [account for account in accounts if account["account"] == member.id]
    assert (listed["name"], listed["email"]) == ("member", member.email)


def test_an_entry_of_the_inventory_is_an_event_of_its_own(
    stack: Stack, organization: Organization, member: Account
) -> None:
    member.add_user("ci-bot")
    page = stack.sweep({"inventory": {"next_token": None, "limit": 1000}})
    for entry in page["accounts"]:
        assert stack.sweep(entry)["failures"] == []
    assert organization.secret_names() == [secret_name(member, "ci-bot")]


def test_a_suspended_account_is_not_swept_and_not_failed_silently(
    stack: Stack, organization: Organization, member: Account
) -> None:
    closed = organization.add_member("closed", "closed@example.com")
    closed.add_user("ci-bot")
    organization.organizations.close_account(AccountId=closed.id)
    answer = stack.sweep()
    assert organization.secret_names() == []
    assert closed.id in str(answer), "the answer says which account was not scanned"
    assert member.id not in str(answer["failures"])


def test_what_sweeps_of_single_accounts_hold_is_told_by_one_digest(
    stack: Stack, organization: Organization, primary: Account, member: Account
) -> None:
    for account in (primary, member):
        account.add_user("ci-bot", owner="jane.doe@example.com")
    organization.clock.advance(days=83, hours=1)
    for account in (primary, member):
        answer = stack.sweep({"account": account.id, "notices": "later"})
        assert answer["failures"] == []
        assert organization.tags(secret_name(account, "ci-bot"))["keywheel:untold"].startswith("untold:20")
    assert organization.mails() == []
    assert stack.sweep({"digest": {}})["failures"] == []
    told = sorted(mail["to"] for mail in organization.mails())
    assert told == sorted([[primary.email], [member.email], ["jane.doe@example.com"]]), "one message each"
    [to_owner] = organization.mails_to("jane.doe@example.com")
    assert all(account.id in to_owner["body"] for account in (primary, member))
    for account in (primary, member):
        assert not organization.tags(secret_name(account, "ci-bot")).get("keywheel:untold")
    assert stack.sweep({"digest": {}})["mails"] == 0, "the same is told once"


def label_updated(secret: Any) -> dict[str, Any]:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/monitoring-eventbridge.html"""
    [current] = [name for name, stages in secret["VersionIdsToStages"].items() if "AWSCURRENT" in stages]
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": "Secret Label Updated",
        "source": "aws.secretsmanager",
        "account": PRIMARY_ACCOUNT,
        "time": "2026-11-22T09:00:00Z",
        "region": REGION,
        "resources": [secret["ARN"]],
        "detail": {"name": secret["Name"], "labelUpdated": "AWSCURRENT", "versionId": current},
    }


def test_a_finished_rotation_is_told_at_once(stack: Stack, organization: Organization, account: Account) -> None:
    account.add_user("ci-bot", owner="jane.doe@example.com")
    stack.sweep()
    stack.rotate(account, "ci-bot")
    secret = organization.describe(secret_name(account, "ci-bot"))
    # moto does not send this event, so the test does.
    stack.sweep(label_updated(secret))
    new = organization.value(secret["Name"])["AccessKeyId"]
    [mail] = organization.mails_to("jane.doe@example.com")
    assert new in mail["body"], mail
    stack.sweep(label_updated(secret))
    assert len(organization.mails()) == 1, "the same news is told once"
    stack.sweep()
    [mail] = organization.mails_to(account.email)
    assert new in mail["body"], "the account finds the rotations of a day in one mail"
    stack.sweep()
    assert len(organization.mails()) == 2, "the same news is told once"


def test_a_failed_rotation_is_told_at_once(stack: Stack, organization: Organization, account: Account) -> None:
    account.add_user("ci-bot", keys=2, owner="jane.doe@example.com")
    stack.sweep()
    secret = secret_name(account, "ci-bot")
    rotation = Rotation(organization, stack.rotation, secret)
    stack.rotation.failure(rotation.event("createSecret"))
    sent = len(organization.mails())
    stack.sweep(rotation_failed(rotation.arn))
    mails = organization.mails()[sent:]
    assert {tuple(mail["to"]) for mail in mails} == {(account.email,), ("jane.doe@example.com",)}


FUNCTION = f"arn:aws:lambda:{REGION}:{PRIMARY_ACCOUNT}:function:keywheel-rotation"


def rotation_failed(arn: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html"""
    return {
        "version": "0",
        "id": "f2a1c398-40ff-a850-213b-158f73e60176",
        "detail-type": "AWS Service Event via CloudTrail",
        "source": "aws.secretsmanager",
        "account": PRIMARY_ACCOUNT,
        "time": "2026-11-22T09:00:00Z",
        "region": REGION,
        "resources": [],
        "detail": {
            "eventVersion": "1.08",
            "userIdentity": {"accountId": PRIMARY_ACCOUNT, "invokedBy": "secretsmanager.amazonaws.com"},
            "eventTime": "2026-11-22T09:00:00Z",
            "eventSource": "secretsmanager.amazonaws.com",
            "eventName": "RotationFailed",
            "awsRegion": REGION,
            "eventType": "AwsServiceEvent",
            "errorMessage": f"Error when executing lambda {FUNCTION} during createSecret step",
            "readOnly": False,
            "additionalEventData": {"SecretId": arn},
            "recipientAccountId": PRIMARY_ACCOUNT,
        },
    }


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ({"accounts": "111122223333"}, "accounts"),
        ({"account": "12345"}, "12345"),
        ({"inventory": {"limit": "many"}}, "limit"),
        ({"source": "aws.secretsmanager", "detail-type": "Something Else", "detail": {}}, "Something Else"),
    ],
)
def test_a_malformed_event_is_an_error_that_names_what_is_wrong(
    stack: Stack, organization: Organization, member: Account, event: object, named: str
) -> None:
    member.add_user("ci-bot")
    assert named in stack.sweeper.failure(event)
    assert organization.secret_names() == []
