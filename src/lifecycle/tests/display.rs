//! A plan prints itself: every kind of action, notice, problem and wait.

use super::*;
use crate::lifecycle::{
    Action, ActionName, CancelReason, Notice, NoticeDate, NoticeKind, Problem, ReadObstacle, RestoredFacts, UserPlan,
    Wait, Waiting,
};
use crate::state::{FailedStep, FailureCause, Step};

fn actions() -> Vec<Action> {
    let (key, created) = (id(1), now() - days(95));
    let restored = |current_key| RestoredFacts { version: version(2), current_key, created: None, previous_key: None };
    vec![
        Action::Provision { key: key.clone(), created, then_rotate: false },
        Action::Restore,
        Action::Adopt { version: Some(version(1)), key: key.clone() },
        Action::RestoreMark,
        Action::RestoreFacts(restored(Some(id(2)))),
        Action::RestoreFacts(restored(None)),
        Action::DropIntent,
        Action::Repair(Drift::KmsKey),
        Action::Repair(Drift::Policy),
        Action::Repair(Drift::Schedule),
        Action::Repair(Drift::Tags),
        Action::Repair(Drift::ReaderGroup),
        Action::AbandonRotation { version: version(2) },
        Action::Rotate { key: key.clone(), created, configure: true },
        Action::Retire { key: key.clone(), inactive: false },
        Action::Retire { key: key.clone(), inactive: true },
        Action::StopRetiring { key: key.clone() },
        Action::RecordDisabled { key: key.clone() },
        Action::RecordDeleted { key: key.clone() },
        Action::RestartGrace { key: key.clone() },
        Action::Disable { key: key.clone() },
        Action::Delete { key },
        Action::CancelSchedule(CancelReason::Exempt),
        Action::CancelSchedule(CancelReason::NoActiveKey),
        Action::CancelSchedule(CancelReason::UserGone),
        Action::LeaveScheduleOff { key: id(1), until: now() + days(80) },
        Action::DeleteSecret,
    ]
}

fn kinds() -> Vec<NoticeKind> {
    let (at, later) = (NoticeDate::On(now() + days(7)), NoticeDate::From(now() + days(17)));
    let LastUse::At(last_use) = used_at(now() - days(1)) else { panic!("a use") };
    let used = Some(last_use.clone());
    let failed = FailedStep::new(FailureCause::NoFreeSlot, Step::CreateSecret, &version(2), now());
    vec![
        NoticeKind::RotationAhead { at },
        NoticeKind::RotationDue { since: now() },
        NoticeKind::RotationUnfinished { since: now() },
        NoticeKind::RotationFailed { failed: Some(failed.clone()), keys: Vec::new() },
        NoticeKind::RotationFailed { failed: None, keys: Vec::new() },
        NoticeKind::RotationAbandoned,
        NoticeKind::RotationTestFailed { failed: Some(failed) },
        NoticeKind::RotationTestFailed { failed: None },
        NoticeKind::Rotated { old_key: Some(id(2)), disable_at: Some(at), forced: None },
        NoticeKind::Rotated { old_key: Some(id(2)), disable_at: Some(at), forced: Some(id(3)) },
        NoticeKind::Rotated { old_key: None, disable_at: None, forced: None },
        NoticeKind::Forced,
        NoticeKind::StillInUse { last_use, disable_at: at },
        NoticeKind::DisableAhead { at, last_use: used.clone() },
        NoticeKind::Disabled { delete_at: at, last_use: used },
        NoticeKind::DeleteAhead { at },
        NoticeKind::DeleteAhead { at: later },
        NoticeKind::LastCall { at },
        NoticeKind::LastCall { at: later },
        NoticeKind::Deleted,
        NoticeKind::Retiring { disable_at: Some(at), delete_at: later },
        NoticeKind::Retiring { disable_at: None, delete_at: at },
        NoticeKind::Reactivated { disable_at: at },
        NoticeKind::ScheduleCancelled(CancelReason::Exempt),
        NoticeKind::ScheduleCancelled(CancelReason::Unreadable(ReadObstacle::ManagedKey)),
        NoticeKind::SecretDeleted,
    ]
}

fn waits() -> Vec<Waiting> {
    let (key, until) = (Some(id(1)), Some(now() + days(7)));
    let (slot, none) = (Wait::Slot(id(2)), None);
    vec![
        Waiting { action: ActionName::Rotate, key: key.clone(), wait: slot.clone(), until },
        Waiting { action: ActionName::Rotate, key: None, wait: slot, until: None },
        Waiting { action: ActionName::Disable, key: key.clone(), wait: Wait::InstallationGrace, until },
        Waiting { action: ActionName::Delete, key, wait: Wait::RecoveryGrace, until },
        Waiting { action: ActionName::Repair, key: None, wait: Wait::KeyList, until },
        Waiting { action: ActionName::Rotate, key: None, wait: Wait::Rotation(version(2)), until: none },
        Waiting { action: ActionName::Rotate, key: None, wait: Wait::Tags, until: none },
    ]
}

#[test]
fn a_plan_prints_all_of_its_parts() {
    let user = user([]).user().clone();
    let notice = |kind| Notice {
        user: user.clone(),
        owner: None,
        secret_arn: None,
        key: id(1),
        created: None,
        kind,
        tells_of: None,
    };
    let plan = UserPlan {
        changes: Vec::new(),
        user: user.clone(),
        actions: actions(),
        notices: kinds().into_iter().map(notice).collect(),
        problems: vec![Problem { action: ActionName::Delete, error: "the key's last use is not known".to_owned() }],
        waiting: waits(),
    };
    insta::assert_snapshot!(plan, @"
    user `ci-bot` in account 111122223333:
      provision a secret for AKIA0000000000000001, made 2026-08-19
      restore the secret, which is scheduled for deletion
      adopt the secret that is there, with AKIA0000000000000001 as its key
      set keywheel:managed again, since the other tags are of this version
      record that version 00000000000000000000000000000002 holds AKIA0000000000000002
      record that version 00000000000000000000000000000002 is not keywheel's
      remove the intent of a rotation that is finished
      repair the KMS key
      repair the resource policy
      repair the rotation schedule
      set the tags of SECRET_TAGS
      add the user to the reader group
      abandon the unfinished rotation of version 00000000000000000000000000000002
      rotate AKIA0000000000000001, made 2026-08-19
      announce that AKIA0000000000000001 has to give way
      announce that AKIA0000000000000001, inactive, has to give way
      withdraw that AKIA0000000000000001 has to give way
      record that AKIA0000000000000001 is disabled
      record that AKIA0000000000000001 is gone
      start the grace of AKIA0000000000000001 again
      disable AKIA0000000000000001
      delete AKIA0000000000000001
      cancel the schedule: the user is exempt
      cancel the schedule: the user has no active key
      cancel the schedule: the user was deleted
      leave the schedule off until AKIA0000000000000001 is due on 2027-02-10
      schedule the secret for deletion
      notify: AKIA0000000000000001: will be rotated on 2026-11-29
      notify: AKIA0000000000000001: is due for rotation since 2026-11-22
      notify: AKIA0000000000000001: is due since 2026-11-22 and its rotation is not finished
      notify: AKIA0000000000000001: its rotation failed: NoFreeSlot in createSecret
      notify: AKIA0000000000000001: its rotation failed
      notify: AKIA0000000000000001: its rotation was abandoned: a version was put by hand
      notify: AKIA0000000000000001: the test of its rotation failed: NoFreeSlot
      notify: AKIA0000000000000001: the test of its rotation failed
      notify: AKIA0000000000000001: is the new key and replaces AKIA0000000000000002
      notify: AKIA0000000000000001: is the new key and replaces AKIA0000000000000002; AKIA0000000000000003 was deleted by force
      notify: AKIA0000000000000001: is the new key
      notify: AKIA0000000000000001: is deleted by a forced rotation
      notify: AKIA0000000000000001: was used after its rotation: s3 in eu-west-1, 2026-11-21T09:00:00Z
      notify: AKIA0000000000000001: will be disabled on 2026-11-29
      notify: AKIA0000000000000001: is disabled and will be deleted on 2026-11-29
      notify: AKIA0000000000000001: will be deleted on 2026-11-29
      notify: AKIA0000000000000001: will be deleted from 2026-12-09 on
      notify: AKIA0000000000000001: will be deleted tomorrow, on 2026-11-29
      notify: AKIA0000000000000001: will be deleted tomorrow or later, from 2026-12-09 on
      notify: AKIA0000000000000001: is deleted
      notify: AKIA0000000000000001: has to give way and will be disabled on 2026-11-29
      notify: AKIA0000000000000001: has to give way and will be deleted on 2026-11-29
      notify: AKIA0000000000000001: was enabled again and will be disabled on 2026-11-29
      notify: AKIA0000000000000001: is not rotated any more: the user is exempt
      notify: AKIA0000000000000001: is not rotated any more: the user cannot read its secret
      notify: AKIA0000000000000001: belonged to a deleted user, and its secret is scheduled for deletion
      problem: delete: the key's last use is not known
      wait: rotate AKIA0000000000000001 waits until 2026-11-29 for the slot of AKIA0000000000000002
      wait: rotate waits for the slot of AKIA0000000000000002
      wait: disable AKIA0000000000000001 waits until 2026-11-29 for the installation grace to end
      wait: delete AKIA0000000000000001 waits until 2026-11-29 for the recovery grace to end
      wait: repair waits until 2026-11-29T09:00:00Z for IAM to list the key that a rotation has just made
      wait: rotate waits for the rotation of version 00000000000000000000000000000002 to finish
      wait: rotate waits for the tags to describe the current version
    ");
    assert!(!plan.is_empty() && UserPlan::nothing(&user).is_empty());
}

#[test]
fn every_kind_of_notice_has_a_phase_of_its_own() {
    let mut phases: Vec<Phase> = kinds().iter().map(NoticeKind::phase).collect();
    phases.dedup();
    let count = phases.len();
    phases.sort_unstable();
    phases.dedup();
    assert_eq!(phases.len(), count, "a phase that two kinds share: {phases:?}");
}
