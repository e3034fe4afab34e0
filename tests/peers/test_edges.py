"""Rare cases: unusual names, secrets of others, concurrent sweeps, failing mail, no organization."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from conftest import Stack
from organization import PRIMARY_EMAIL, READER_GROUP, Account, Organization, secret_name
from secrets_manager import Rotation


def test_a_user_name_with_every_character_that_is_legal(
    stack: Stack, organization: Organization, account: Account
) -> None:
    user = "Jane,Doe+ci=bot@example.com_x-1.2"
    [old] = account.add_user(user)
    assert stack.sweep()["failures"] == []
    # A comma is legal in a user name and illegal in a secret name. moto accepts both.
    name = f"Account_{account.id}_User_Jane/2CDoe+ci=bot@example.com_x-1.2_AccessKey"
    assert organization.secret_names() == [name]
    Rotation(organization, stack.rotation, name).run()
    value = organization.value(name)
    assert value["UserName"] == user
    assert account.keys(user) == {old: "Active", value["AccessKeyId"]: "Active"}
    assert organization.identity_of(value).endswith(f"/{user}")


def test_users_beyond_one_page_of_iam_are_all_provisioned(
    stack: Stack, organization: Organization, member: Account
) -> None:
    # moto returns any number of users in one page, so this only shows that nothing else stops at a hundred.
    for number in range(120):
        member.add_user(f"ci-bot-{number}")
    answer = stack.sweep()
    assert answer["failures"] == []
    assert answer["actions"]["provision"] == answer["users"] == 120
    again = stack.sweep()
    assert again["users"] == 120 and sum(again["actions"].values()) == 0, again


def test_the_predecessors_secret_is_adopted_and_its_value_stays(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    name = secret_name(account, "ci-bot")
    # The predecessor's value: a list of one object of strings, no tags.
    value = json.dumps([{"AccessKey": key, "SecretKey": "of-the-predecessor"}])
    organization.store.create_secret(Name=name, SecretString=value)
    answer = stack.sweep()
    assert answer["failures"] == [], answer
    assert answer["actions"]["adopt"] == 1, answer
    stored = organization.store.get_secret_value(SecretId=name, VersionStage="AWSCURRENT")["SecretString"]
    assert stored == value
    assert organization.tags(name)["keywheel:managed"] == "1"
    assert organization.tags(name)["keywheel:current-key"] == key


def test_an_adopted_secret_is_rotated_when_its_key_is_due(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    name = secret_name(account, "ci-bot")
    value = json.dumps({"AccessKey": key, "SecretKey": "of-the-predecessor"})
    organization.store.create_secret(Name=name, SecretString=value)
    stack.sweep()
    organization.clock.advance(days=91)
    assert stack.sweep()["actions"]["rotate"] == 1
    stack.rotate(account, "ci-bot")
    new = organization.value(name)["AccessKeyId"]
    assert account.keys("ci-bot") == {key: "Active", new: "Active"}
    assert organization.tags(name)["keywheel:previous-key"] == key


def test_a_key_seen_in_the_middle_of_its_life_is_rotated_by_its_age(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    born = organization.created(account, "ci-bot", key)
    organization.clock.advance(days=50)
    stack.sweep()
    # The native schedule counts from the day on which it was set, so it would rotate on day 140.
    organization.clock.move_to(born + timedelta(days=90))
    assert stack.sweep()["actions"]["rotate"] == 1
    stack.rotate(account, "ci-bot")
    assert len(account.keys("ci-bot")) == 2


def test_two_sweeps_at_once_make_one_secret_each(stack: Stack, organization: Organization, member: Account) -> None:
    names = [f"ci-bot-{number}" for number in range(10)]
    for name in names:
        member.add_user(name)
    sweepers = [stack.start("sweeper"), stack.start("sweeper")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda sweeper: sweeper.call({}), sweepers))
    assert organization.secret_names() == sorted(secret_name(member, name) for name in names)
    answer = stack.sweep()
    assert answer["failures"] == []
    assert sum(answer["actions"].values()) == 0, "nothing is left half done"


def test_two_first_steps_at_once_leave_one_new_key_at_most(
    stack: Stack, organization: Organization, member: Account
) -> None:
    [old] = member.add_user("ci-bot")
    stack.sweep()
    rotation = Rotation(organization, stack.rotation, secret_name(member, "ci-bot"))
    functions = [stack.start("rotation"), stack.start("rotation")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda function: function.invoke(rotation.event("createSecret")), functions))
    rotation.run()
    new = organization.value(rotation.arn)["AccessKeyId"]
    assert member.keys("ci-bot") == {old: "Active", new: "Active"}
    assert organization.identity_of(organization.value(rotation.arn)).endswith("/ci-bot")


def test_a_mail_that_fails_is_reported_and_sent_by_the_next_sweep(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    stack.sweep()
    mail = organization.primary.client("sesv2")
    mail.delete_email_identity(EmailIdentity="example.com")
    organization.clock.move_to(organization.created(account, "ci-bot", key) + timedelta(days=83))
    answer = stack.sweep()
    assert [failure["action"] for failure in answer["failures"]] == ["mail"], answer
    assert organization.mails() == []
    mail.create_email_identity(EmailIdentity="example.com")
    assert stack.sweep()["failures"] == []
    assert [mail["to"] for mail in organization.mails()] == [[account.email]]


def test_mail_that_fails_does_not_hold_keys_up(stack: Stack, organization: Organization, account: Account) -> None:
    [old] = account.add_user("ci-bot")
    stack.sweep()
    organization.primary.client("sesv2").delete_email_identity(EmailIdentity="example.com")
    organization.clock.advance(days=91)
    stack.sweep()
    stack.rotate(account, "ci-bot")
    organization.clock.advance(days=11)
    stack.sweep()
    assert account.keys("ci-bot")[old] == "Inactive"


def test_an_owner_tag_that_is_no_address_is_reported_and_the_account_is_told(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot", owner="Jane Doe")
    stack.sweep()
    organization.clock.move_to(organization.created(account, "ci-bot", key) + timedelta(days=83))
    answer = stack.sweep()
    assert any("Jane" in failure["error"] for failure in answer["failures"]), answer
    assert [mail["to"] for mail in organization.mails()] == [[account.email]]


def test_without_an_organization_the_own_account_is_swept_and_the_recipient_told(
    stack: Stack, organization: Organization, primary: Account, member: Account
) -> None:
    [key] = primary.add_user("backup")
    member.add_user("ci-bot")
    sweeper = stack.start("sweeper", RECIPIENT_EMAIL="security@example.com")
    organization.organizations.remove_account_from_organization(AccountId=member.id)
    organization.organizations.delete_organization()
    answer = sweeper.call({})
    assert answer["accounts"] == 1, answer
    assert organization.secret_names() == [secret_name(primary, "backup")]
    organization.clock.move_to(organization.created(primary, "backup", key) + timedelta(days=83))
    sweeper.call({})
    assert [mail["to"] for mail in organization.mails()] == [["security@example.com"]]


def test_the_management_account_needs_no_member_role(stack: Stack, organization: Organization, primary: Account) -> None:
    assert primary.email == PRIMARY_EMAIL
    assert stack.sweep()["failures"] == []


def test_a_user_deleted_and_made_again_gets_its_secret_back(
    stack: Stack, organization: Organization, account: Account
) -> None:
    def remove() -> None:
        for group in account.groups_of("ci-bot"):
            account.iam.remove_user_from_group(GroupName=group, UserName="ci-bot")
        for key in account.keys("ci-bot"):
            account.iam.delete_access_key(UserName="ci-bot", AccessKeyId=key)
        account.iam.delete_user(UserName="ci-bot")

    account.add_user("ci-bot")
    stack.sweep()
    remove()
    stack.sweep()
    organization.clock.advance(days=1)
    [key] = account.add_user("ci-bot")
    for _ in range(3):
        assert stack.sweep()["failures"] == []
    secret = organization.describe(secret_name(account, "ci-bot"))
    assert "DeletedDate" not in secret
    assert secret["RotationEnabled"] is True
    stack.rotate(account, "ci-bot")
    new = organization.value(secret["Name"])["AccessKeyId"]
    assert account.keys("ci-bot") == {key: "Active", new: "Active"}
    organization.clock.advance(days=11)
    stack.sweep()
    assert account.keys("ci-bot") == {key: "Inactive", new: "Active"}


def test_a_user_whose_keys_all_became_inactive_is_not_rotated_any_more(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    stack.sweep()
    account.iam.update_access_key(UserName="ci-bot", AccessKeyId=key, Status="Inactive")
    organization.clock.advance(days=200)
    assert stack.sweep()["failures"] == []
    assert organization.describe(secret_name(account, "ci-bot"))["RotationEnabled"] is False
    assert account.keys("ci-bot") == {key: "Inactive"}


def test_a_reader_group_that_is_switched_off_is_not_asked_for(
    stack: Stack, organization: Organization, member: Account
) -> None:
    member.iam.delete_group(GroupName=READER_GROUP)
    member.add_user("ci-bot")
    assert stack.start("sweeper", READER_GROUP="").call({})["failures"] == []
    assert organization.secret_names() == [secret_name(member, "ci-bot")]


def test_a_dry_run_says_the_same_every_day_and_changes_nothing(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [key] = account.add_user("ci-bot")
    organization.clock.advance(days=200)
    first, second = (stack.sweep({"dry_run": True}) for _ in range(2))
    assert first["plan"] == second["plan"]
    assert first["actions"]["rotate"] == 1
    assert organization.secret_names() == []
    assert account.keys("ci-bot") == {key: "Active"}
