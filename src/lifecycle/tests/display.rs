//! A plan prints itself: every kind of action, notice and problem.

use super::*;
use crate::lifecycle::{Action, ActionName, CancelReason, Notice, NoticeKind, Problem, RestoredFacts, UserPlan};

fn actions() -> Vec<Action> {
    let (key, created) = (id(1), now() - days(95));
    let restored = |current_key| RestoredFacts { version: version(2), current_key, created: None, previous_key: None };
    vec![
        Action::Provision { key: key.clone(), created, then_rotate: false },
        Action::Restore,
        Action::Adopt { version: version(1), key: key.clone() },
        Action::RestoreFacts(restored(Some(id(2)))),
        Action::RestoreFacts(restored(None)),
        Action::DropIntent,
        Action::Repair(Drift::KmsKey),
        Action::Repair(Drift::Policy),
        Action::Repair(Drift::Schedule),
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
        Action::DeleteSecret,
    ]
}

fn kinds() -> Vec<NoticeKind> {
    let at = now() + days(7);
    let LastUse::At(last_use) = used_at(now() - days(1)) else { panic!("a use") };
    let used = Some(last_use.clone());
    vec![
        NoticeKind::RotationAhead { at },
        NoticeKind::RotationDue { since: now() },
        NoticeKind::RotationUnfinished { since: now() },
        NoticeKind::RotationFailed { reason: "no free slot".to_owned() },
        NoticeKind::Rotated { old_key: Some(id(2)), disable_at: Some(at) },
        NoticeKind::Rotated { old_key: None, disable_at: None },
        NoticeKind::StillInUse { last_use, disable_at: at },
        NoticeKind::DisableAhead { at, last_use: used.clone() },
        NoticeKind::Disabled { delete_at: at, last_use: used },
        NoticeKind::DeleteAhead { at },
        NoticeKind::Deleted,
        NoticeKind::Retiring { disable_at: Some(at), delete_at: at + days(10) },
        NoticeKind::Retiring { disable_at: None, delete_at: at },
        NoticeKind::Reactivated { disable_at: at },
        NoticeKind::ScheduleCancelled(CancelReason::Exempt),
        NoticeKind::SecretDeleted,
    ]
}

#[test]
fn a_plan_prints_every_action_notice_and_problem() {
    let user = user([]).user().clone();
    let notice = |kind| Notice { user: user.clone(), owner: None, secret_arn: None, key: id(1), created: None, kind };
    let plan = UserPlan {
        user: user.clone(),
        actions: actions(),
        notices: kinds().into_iter().map(notice).collect(),
        problems: vec![Problem { action: ActionName::Delete, error: "the key's last use is not known".to_owned() }],
    };
    insta::assert_snapshot!(plan, @"
    user `ci-bot` in account 111122223333:
      provision a secret for AKIA0000000000000001, made 2026-08-19
      restore the secret, which is scheduled for deletion
      adopt the secret that is there, with AKIA0000000000000001 as its key
      write down that version 00000000000000000000000000000002 holds AKIA0000000000000002
      write down that version 00000000000000000000000000000002 is not keywheel's
      forget the intent of a rotation that is finished
      repair the KMS key
      repair the resource policy
      repair the rotation schedule
      add the user to the reader group
      give up the unfinished rotation of version 00000000000000000000000000000002
      rotate AKIA0000000000000001, made 2026-08-19
      announce that AKIA0000000000000001 has to give way
      announce that AKIA0000000000000001, inactive, has to give way
      take back that AKIA0000000000000001 has to give way
      write down that AKIA0000000000000001 is disabled
      write down that AKIA0000000000000001 is gone
      give AKIA0000000000000001, enabled again, a new grace period
      disable AKIA0000000000000001
      delete AKIA0000000000000001
      cancel the schedule: the user is exempt
      cancel the schedule: the user has no active key
      cancel the schedule: the user was deleted
      schedule the secret for deletion
      tell: AKIA0000000000000001: will be rotated on 2026-11-29
      tell: AKIA0000000000000001: is due for rotation since 2026-11-22
      tell: AKIA0000000000000001: is due since 2026-11-22 and its rotation is not finished
      tell: AKIA0000000000000001: its rotation failed: no free slot
      tell: AKIA0000000000000001: is the new key and replaces AKIA0000000000000002
      tell: AKIA0000000000000001: is the new key
      tell: AKIA0000000000000001: was used after its rotation: s3 in eu-west-1, 2026-11-21T09:00:00Z
      tell: AKIA0000000000000001: will be disabled on 2026-11-29
      tell: AKIA0000000000000001: is disabled and will be deleted on 2026-11-29
      tell: AKIA0000000000000001: will be deleted on 2026-11-29
      tell: AKIA0000000000000001: is deleted
      tell: AKIA0000000000000001: has to give way and will be disabled on 2026-11-29
      tell: AKIA0000000000000001: has to give way and will be deleted on 2026-11-29
      tell: AKIA0000000000000001: was enabled again and will be disabled on 2026-11-29
      tell: AKIA0000000000000001: is not rotated any more: the user is exempt
      tell: AKIA0000000000000001: belonged to a deleted user, and its secret is scheduled for deletion
      problem: delete: the key's last use is not known
    ");
    assert!(!plan.is_empty() && UserPlan::nothing(&user).is_empty());
}

#[test]
fn what_is_told_of_is_remembered_by_its_own_name() {
    let mut phases: Vec<Phase> = kinds().iter().map(NoticeKind::phase).collect();
    phases.dedup();
    let count = phases.len();
    phases.sort_unstable();
    phases.dedup();
    assert_eq!(phases.len(), count, "a phase that two kinds share: {phases:?}");
}
