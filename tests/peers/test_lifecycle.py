"""The life of a key with the default periods: 83 warn, 90 rotate, 93 warn, 100 disable, 103 warn, 110 delete."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conftest import Stack
from organization import EXEMPTION_GROUP, Account, Organization, secret_name, wire_time

OWNER = "jane.doe@example.com"
A_MINUTE = timedelta(minutes=1)


def last_minute_before(moment: datetime) -> datetime:
    """Returns the last minute of the day before, in UTC. keywheel counts days of the calendar."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) - A_MINUTE


@dataclass
class Life:
    """One user's keys, day by day."""

    stack: Stack
    organization: Organization
    account: Account
    old: str
    born: datetime
    old_value: dict[str, str]
    new: str = ""
    rotated_at: datetime | None = None
    disabled_at: datetime | None = None

    @property
    def secret(self) -> str:
        return secret_name(self.account, "ci-bot")

    @property
    def keys(self) -> dict[str, str]:
        return self.account.keys("ci-bot")

    def sweep_at(self, moment: datetime, event: dict[str, Any] | None = None) -> Any:
        self.organization.clock.move_to(moment)
        answer = self.stack.sweep(event)
        assert answer["failures"] == [], answer
        return answer

    def rotate(self) -> None:
        """Day 90: a rotation that the schedule or the sweeper starts, and the sweep that observes its result."""
        self.sweep_at(self.born + timedelta(days=90))
        self.stack.rotate(self.account, "ci-bot")
        tags = self.organization.tags(self.secret)
        self.new = tags["keywheel:current-key"]
        self.rotated_at = datetime.fromisoformat(tags["keywheel:rotated-at"])
        self.sweep_at(self.rotated_at + A_MINUTE)

    def disable(self) -> None:
        assert self.rotated_at
        self.sweep_at(self.rotated_at + timedelta(days=10))
        self.disabled_at = datetime.fromisoformat(self.organization.tags(self.secret)["keywheel:disabled-at"])

    def told(self, address: str) -> list[str]:
        """Returns the subjects of the mails to an address, oldest first."""
        return [mail["subject"] for mail in self.organization.mails_to(address)]


@pytest.fixture
def life(stack: Stack, organization: Organization, account: Account) -> Life:
    """Day 0: the user's key exists, and a sweep has made its secret."""
    account.add_user("ci-bot", keys=0, owner=OWNER)
    value = account.iam.create_access_key(UserName="ci-bot")["AccessKey"]
    old = value["AccessKeyId"]
    life = Life(stack, organization, account, old, organization.created(account, "ci-bot", old), value)
    assert stack.sweep()["failures"] == []
    return life


def test_day_83_warns_the_account_and_the_owner_once(life: Life) -> None:
    before = life.sweep_at(last_minute_before(life.born + timedelta(days=83)))
    assert life.organization.mails() == [], before
    life.sweep_at(life.born + timedelta(days=83))
    assert {tuple(mail["to"]) for mail in life.organization.mails()} == {(life.account.email,), (OWNER,)}
    for mail in life.organization.mails():
        assert mail["from"] == "keywheel@example.com"
        assert life.old in mail["body"], mail
        assert "ci-bot" in mail["body"], mail
        assert "Violation" not in mail["subject"], mail
    life.sweep_at(life.born + timedelta(days=84))
    assert len(life.organization.mails()) == 2, "the same warning is told once"
    assert life.keys == {life.old: "Active"}


def test_day_90_rotates_and_both_keys_work(life: Life) -> None:
    life.sweep_at(last_minute_before(life.born + timedelta(days=90)))
    assert life.keys == {life.old: "Active"}
    life.rotate()
    assert life.keys == {life.old: "Active", life.new: "Active"}
    assert life.organization.identity_of(life.old_value).endswith("/ci-bot")
    assert life.organization.identity_of(life.organization.value(life.secret)).endswith("/ci-bot")
    assert any(life.new in mail["body"] for mail in life.organization.mails_to(OWNER))


def test_a_key_older_than_the_period_is_rotated_at_first_sight(
    stack: Stack, organization: Organization, account: Account
) -> None:
    [old] = account.add_user("ci-bot")
    organization.clock.advance(days=200)
    answer = stack.sweep()
    assert answer["failures"] == [], answer
    assert answer["actions"]["rotate"] == 1, answer
    # The sweeper has called RotateSecret, so an empty version exists. On AWS the four steps follow by themselves.
    stages = organization.describe(secret_name(account, "ci-bot"))["VersionIdsToStages"]
    assert ["AWSPENDING"] in stages.values()
    stack.rotate(account, "ci-bot")
    new = organization.value(secret_name(account, "ci-bot"))["AccessKeyId"]
    assert account.keys("ci-bot") == {old: "Active", new: "Active"}


def test_day_100_disables_the_old_key_and_not_before(life: Life) -> None:
    life.rotate()
    assert life.rotated_at
    life.sweep_at(last_minute_before(life.rotated_at + timedelta(days=10)))
    assert life.keys == {life.old: "Active", life.new: "Active"}
    life.disable()
    assert life.keys == {life.old: "Inactive", life.new: "Active"}
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        life.organization.identity_of(life.old_value)
    assert life.organization.identity_of(life.organization.value(life.secret)).endswith("/ci-bot")


def test_day_110_deletes_the_old_key_and_not_before(life: Life) -> None:
    life.rotate()
    life.disable()
    assert life.disabled_at
    life.sweep_at(last_minute_before(life.disabled_at + timedelta(days=10)))
    assert life.keys == {life.old: "Inactive", life.new: "Active"}
    life.sweep_at(life.disabled_at + timedelta(days=10))
    assert life.keys == {life.new: "Active"}
    assert life.organization.identity_of(life.organization.value(life.secret)).endswith("/ci-bot")


def test_every_phase_is_told_to_the_account_and_to_the_owner(life: Life) -> None:
    life.sweep_at(life.born + timedelta(days=83))
    life.rotate()
    assert life.rotated_at
    life.sweep_at(life.rotated_at + timedelta(days=3))
    life.disable()
    assert life.disabled_at
    life.sweep_at(life.disabled_at + timedelta(days=3))
    life.sweep_at(life.disabled_at + timedelta(days=10))
    for address in (life.account.email, OWNER):
        bodies = [mail["body"] for mail in life.organization.mails_to(address)]
        # Warn, rotated, warn, disabled, warn, deleted.
        assert len(bodies) == 6, life.told(address)
        assert all(life.old in body for body in bodies), life.told(address)
        assert len(set(life.told(address))) >= 4, life.told(address)


def test_a_sweeper_that_was_down_for_a_month_gives_the_whole_recovery_period(life: Life) -> None:
    life.rotate()
    assert life.rotated_at
    life.sweep_at(life.rotated_at + timedelta(days=40))
    assert life.keys == {life.old: "Inactive", life.new: "Active"}
    disabled_at = datetime.fromisoformat(life.organization.tags(life.secret)["keywheel:disabled-at"])
    assert disabled_at >= life.rotated_at + timedelta(days=40)
    life.sweep_at(last_minute_before(disabled_at + timedelta(days=10)))
    assert life.keys == {life.old: "Inactive", life.new: "Active"}
    life.sweep_at(disabled_at + timedelta(days=10))
    assert life.keys == {life.new: "Active"}


def test_use_of_the_old_key_after_the_rotation_is_told(life: Life) -> None:
    life.rotate()
    assert life.rotated_at
    # In the first three days the owner may still be installing the new key; after that, use of the old key is a notice.
    life.sweep_at(life.rotated_at + timedelta(days=3))
    sent = len(life.organization.mails())
    life.organization.clock.move_to(life.rotated_at + timedelta(days=4))
    life.organization.identity_of(life.old_value)
    life.sweep_at(life.rotated_at + timedelta(days=5))
    told = life.organization.mails()[sent:]
    assert {tuple(mail["to"]) for mail in told} == {(life.account.email,), (OWNER,)}
    for mail in told:
        assert life.old in mail["body"] and "sts" in mail["body"], mail


def test_a_person_who_enables_the_old_key_again_is_heeded(life: Life) -> None:
    life.rotate()
    life.disable()
    assert life.disabled_at
    life.account.iam.update_access_key(UserName="ci-bot", AccessKeyId=life.old, Status="Active")
    seen = life.disabled_at + timedelta(days=1)
    life.sweep_at(seen)
    life.sweep_at(last_minute_before(seen + timedelta(days=10)))
    assert life.keys == {life.old: "Active", life.new: "Active"}
    life.sweep_at(seen + timedelta(days=10) + A_MINUTE)
    assert life.keys == {life.old: "Inactive", life.new: "Active"}


def test_a_dry_run_disables_nothing_and_says_that_it_would(life: Life) -> None:
    life.rotate()
    assert life.rotated_at
    tags = life.organization.tags(life.secret)
    answer = life.sweep_at(life.rotated_at + timedelta(days=10), {"dry_run": True})
    assert answer["actions"]["disable"] == 1, answer
    assert life.old in json.dumps(answer["plan"])
    assert life.keys == {life.old: "Active", life.new: "Active"}
    assert life.organization.tags(life.secret) == tags


def test_facts_that_describe_another_version_disable_nothing(life: Life) -> None:
    life.rotate()
    assert life.rotated_at
    stale = {"Key": "keywheel:version", "Value": "5f0d9a52-0c1d-4e0f-9a57-1c2f3d4e5f60"}
    life.organization.store.tag_resource(SecretId=life.secret, Tags=[stale])
    life.organization.clock.move_to(life.rotated_at + timedelta(days=30))
    life.stack.sweep()
    assert life.keys == {life.old: "Active", life.new: "Active"}
    current = life.organization.store.get_secret_value(SecretId=life.secret, VersionStage="AWSCURRENT")["VersionId"]
    assert life.organization.tags(life.secret)["keywheel:version"] == current


def test_a_user_who_became_exempt_keeps_both_keys_and_the_schedule_ends(life: Life) -> None:
    life.rotate()
    assert life.rotated_at
    life.account.iam.add_user_to_group(GroupName=EXEMPTION_GROUP, UserName="ci-bot")
    life.sweep_at(life.rotated_at + timedelta(days=30))
    assert life.keys == {life.old: "Active", life.new: "Active"}
    assert life.organization.describe(life.secret)["RotationEnabled"] is False


def test_a_second_key_that_a_person_made_is_left_alone(life: Life) -> None:
    life.rotate()
    life.disable()
    assert life.disabled_at
    life.sweep_at(life.disabled_at + timedelta(days=10))
    own = life.account.iam.create_access_key(UserName="ci-bot")["AccessKey"]["AccessKeyId"]
    life.sweep_at(life.disabled_at + timedelta(days=30))
    assert life.keys == {life.new: "Active", own: "Active"}


def test_the_second_turn_of_the_wheel(life: Life) -> None:
    life.rotate()
    life.disable()
    assert life.disabled_at
    life.sweep_at(life.disabled_at + timedelta(days=10))
    first_value = life.organization.value(life.secret)
    born = life.organization.created(life.account, "ci-bot", life.new)
    life.sweep_at(born + timedelta(days=90))
    life.stack.rotate(life.account, "ci-bot")
    third = life.organization.value(life.secret)["AccessKeyId"]
    assert life.keys == {life.new: "Active", third: "Active"}
    tags = life.organization.tags(life.secret)
    assert tags["keywheel:previous-key"] == life.new
    life.sweep_at(datetime.fromisoformat(tags["keywheel:rotated-at"]) + timedelta(days=10))
    assert life.keys == {life.new: "Inactive", third: "Active"}
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        life.organization.identity_of(first_value)


def test_mails_say_when(life: Life) -> None:
    life.sweep_at(life.born + timedelta(days=83))
    day = wire_time(life.born + timedelta(days=90))[:10]
    [mail] = life.organization.mails_to(OWNER)
    assert day in mail["body"], mail
