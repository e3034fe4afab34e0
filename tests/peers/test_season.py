"""Two turns of the wheel, with Secrets Manager's schedule and all kinds of users at once.

What must hold at all times holds whatever the sweeper and the schedule make of one another.
"""

import itertools
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from conftest import Stack
from organization import EXEMPTION_GROUP, Account, Organization, secret_name
from secrets_manager import STEPS, Rotation

# Sweeps happen at irregular times, and sometimes one is missing.
STEPS_IN_DAYS = [1, 1, 3]
DAYS = 205
LONGEST_STEP = timedelta(days=max(STEPS_IN_DAYS))
RECOVERY = timedelta(days=10)


@dataclass
class Watch:
    """One user's keys from sweep to sweep."""

    account: Account
    user: str
    seen: dict[str, str] = field(default_factory=dict)
    inactive_since: dict[str, datetime] = field(default_factory=dict)
    disabled_by_keywheel: set[str] = field(default_factory=set)

    def look(self, now: datetime) -> None:
        keys = self.account.keys(self.user)
        who = f"{self.user} in {self.account.name} at {now}: {self.seen} → {keys}"
        assert len(keys) <= 2, who
        assert "Active" in keys.values(), who
        for gone in self.seen.keys() - keys.keys():
            assert self.seen[gone] == "Inactive", f"an active key was deleted: {who}"
            assert now - self.inactive_since[gone] >= RECOVERY, f"the recovery period was cut short: {who}"
        for key, status in keys.items():
            if status == "Inactive" and self.seen.get(key) != "Inactive":
                self.inactive_since[key] = now
                if key in self.seen:
                    self.disabled_by_keywheel.add(key)
        self.seen = keys


def schedule(organization: Organization, stack: Stack, failed: dict[str, list[str]]) -> None:
    """Runs due and unfinished rotations, as Secrets Manager does by itself and moto does not."""
    for listed in organization.store.list_secrets()["SecretList"]:
        stages = listed["SecretVersionsToStages"].values()
        unfinished = any("AWSPENDING" in labels and "AWSCURRENT" not in labels for labels in stages)
        if not listed.get("RotationEnabled") and not unfinished:
            continue
        due = listed["LastRotatedDate"] + timedelta(days=listed["RotationRules"]["AutomaticallyAfterDays"])
        if not unfinished and organization.clock.now() < due:
            continue
        rotation = Rotation(organization, stack.rotation, listed["Name"])
        for step in STEPS:
            if step == "testSecret":
                rotation.let_the_key_age()
            answer = stack.rotation.invoke(rotation.event(step))
            if answer.kind == "error":
                failed[listed["Name"]].append(answer.text)
                break
        else:
            rotation.finish()


def test_two_turns_of_the_wheel_for_all_kinds_of_users(stack: Stack, organization: Organization) -> None:
    watches = []
    for account in (organization.primary, organization.member):
        account.add_user("one-key", owner="jane.doe@example.com")
        account.add_user("two-keys", keys=2, owner="jane.doe@example.com")
        [_, spare] = account.add_user("one-and-a-spare", keys=2)
        account.iam.update_access_key(UserName="one-and-a-spare", AccessKeyId=spare, Status="Inactive")
        account.add_user("exempt", groups=(EXEMPTION_GROUP,))
        watches += [Watch(account, user) for user in ("one-key", "two-keys", "one-and-a-spare", "exempt")]
    for watch in watches:
        watch.look(organization.clock.now())
    failed: dict[str, list[str]] = defaultdict(list)
    began = organization.clock.now()
    current_keys: dict[str, set[str]] = defaultdict(set)
    day, steps = 0, itertools.cycle(STEPS_IN_DAYS)
    while (day := day + next(steps)) <= DAYS:
        organization.clock.move_to(began + timedelta(days=day, minutes=15 * day))
        answer = stack.sweep()
        assert answer["failures"] == [], (day, answer)
        schedule(organization, stack, failed)
        for watch in watches:
            watch.look(organization.clock.now())
            name = secret_name(watch.account, watch.user)
            if watch.user != "exempt":
                current_keys[name].add(organization.value(name)["AccessKeyId"])
    for watch in watches:
        name = secret_name(watch.account, watch.user)
        if watch.user == "exempt":
            assert set(watch.seen.values()) == {"Active"} and not watch.disabled_by_keywheel
            continue
        # The placeholder's key, and one for each turn.
        assert len(current_keys[name]) == 3, (name, current_keys[name], failed[name])
        assert organization.identity_of(organization.value(name)).endswith(f"/{watch.user}")
        born = organization.created(watch.account, watch.user, organization.value(name)["AccessKeyId"])
        assert organization.clock.now() - born <= timedelta(days=90) + LONGEST_STEP, name
    # A second key gets whole periods, counted from the observed actions. With days between the sweeps they add up, and
    # the schedule may start first. Then the rotation is refused with a reason and tried again.
    for name, errors in failed.items():
        assert "two-keys" in name and len(errors) <= 2, json.dumps(failed, indent=1)
        assert all("NoFreeSlot" in error and "can be recovered until" in error for error in errors), errors
