//! The changes of tags that record an action, and the records that the action makes void.

use chrono::{DateTime, Utc};

use super::action::{Action, RestoredFacts};
use super::facts::Drift;
use crate::state::{Notified, Phase, TagChange, format_time, tag};

impl Action {
    /// Returns the change of tags after the action was carried out at `done_at`. `notified` is the record of notices
    /// before it.
    pub fn tag_change(&self, done_at: DateTime<Utc>, notified: &Notified) -> TagChange {
        self.without_void_records(self.facts_change(done_at), notified)
    }

    /// Returns the change of tags before the action is carried out; `None` for most actions. Once a schedule is
    /// switched, no later run could see that a record became void.
    pub fn change_before(&self, notified: &Notified) -> Option<TagChange> {
        if let Self::LeaveScheduleOff { key, .. } = self {
            // Without the tag, the next sweep would take the schedule for a cancelled one, and switch it on.
            return Some(TagChange::default().set(tag::SCHEDULE_OFF, key.as_str()));
        }
        let switches = matches!(
            self,
            Self::CancelSchedule(_) | Self::Repair(Drift::Schedule) | Self::Rotate { configure: true, .. }
        );
        let change = self.without_void_records(TagChange::default(), notified);
        Some(change).filter(|change| switches && *change != TagChange::default())
    }

    /// Whether the record of the action may wait for the notices of the run, to be written in one call with them. If it
    /// is lost meanwhile, the next run observes the same facts and plans the same. A disabling is recorded at once:
    /// without the record, a key that a person enables afterwards would look like a key that was never disabled.
    pub fn can_be_observed_again(&self) -> bool {
        matches!(self, Self::Delete { .. } | Self::Retire { .. })
    }

    /// Whether the action only changes tags.
    pub fn is_record(&self) -> bool {
        matches!(
            self,
            Self::Adopt { .. }
                | Self::RestoreMark
                | Self::RestoreFacts(_)
                | Self::DropIntent
                | Self::Retire { .. }
                | Self::StopRetiring { .. }
                | Self::RecordDisabled { .. }
                | Self::RecordDeleted { .. }
                | Self::RestartGrace { .. }
                | Self::RecordDeparture
                | Self::ForgetDeparture
        )
    }

    fn without_void_records(&self, change: TagChange, notified: &Notified) -> TagChange {
        let mut still_valid = notified.clone();
        self.forget_void(&mut still_valid);
        if still_valid == *notified {
            return change;
        }
        let still_valid = still_valid.to_tag();
        change.set_or_remove(tag::NOTIFIED, Some(still_valid).filter(|text| !text.is_empty()))
    }

    /// Forgets the notices that the action makes void: they were about an earlier time, and their next occasion is
    /// news.
    pub fn forget_void(&self, notified: &mut Notified) {
        match self {
            // The retirement of the key begins, or is taken back.
            Self::Retire { key, .. }
            | Self::StopRetiring { key }
            | Self::RestartGrace { key }
            | Self::RestoreFacts(RestoredFacts { previous_key: Some(key), .. }) => notified.forget(key),
            // Earlier notices named another date.
            Self::RecordDisabled { key } => {
                for phase in [Phase::Disabled, Phase::DeleteAhead, Phase::LastCall] {
                    notified.forget_phase(Some(key), phase);
                }
            }
            // Earlier notices were about an earlier time without a schedule.
            Self::CancelSchedule(_) | Self::Repair(Drift::Schedule) | Self::Rotate { configure: true, .. } => {
                notified.forget_phase(None, Phase::Cancelled);
            }
            _ => {}
        }
    }

    fn facts_change(&self, done_at: DateTime<Utc>) -> TagChange {
        let change = TagChange::default();
        match self {
            Self::Adopt { version, key } => {
                [tag::ROTATED_AT, tag::PREVIOUS_KEY, tag::DISABLED_AT, tag::RETIRING, tag::KEY_DATES]
                    .into_iter()
                    // Tags of an earlier life of the secret would make this key look tested.
                    .fold(change, TagChange::remove)
                    .set(tag::MANAGED, "1")
                    .set_or_remove(tag::VERSION, version.as_ref())
                    .set(tag::CURRENT_KEY, key.as_str())
            }
            Self::RestoreMark => change.set(tag::MANAGED, "1"),
            Self::RestoreFacts(RestoredFacts { version, current_key, created, previous_key }) => {
                let change = match current_key {
                    // The `force` order and an earlier failure were of the rotation that made this key.
                    Some(_) => change.remove(tag::FORCE).remove(tag::FAILED),
                    None => change,
                };
                change
                    .set(tag::VERSION, version.as_str())
                    .set_or_remove(tag::CURRENT_KEY, current_key.as_ref())
                    .set_or_remove(tag::PREVIOUS_KEY, previous_key.as_ref())
                    // Later than the fact: the old key gets more of its grace, never less. And no earlier than the new
                    // key's date, which is from IAM's clock: otherwise the key would not count as tested.
                    .set_or_remove(tag::ROTATED_AT, created.map(|created| format_time(done_at.max(created))))
                    .remove(tag::DISABLED_AT)
                    .remove(tag::RETIRING)
                    .remove(tag::KEY_DATES)
            }
            Self::Retire { key, inactive: true } => {
                change.set(tag::DISABLED_AT, format_time(done_at)).retiring(key, done_at)
            }
            Self::Retire { key, inactive: false } => change.remove(tag::DISABLED_AT).retiring(key, done_at),
            Self::StopRetiring { .. } => change.remove(tag::RETIRING).remove(tag::DISABLED_AT),
            Self::RecordDisabled { .. } | Self::Disable { .. } => change.set(tag::DISABLED_AT, format_time(done_at)),
            // The time of the disabling stays: it is before the new grace and proves nothing any more. If it were
            // removed before the new grace is written, the old grace would be over and the key disabled again at once.
            Self::RestartGrace { key } => change.retiring(key, done_at),
            Self::RecordDeleted { .. } | Self::Delete { .. } => change.remove(tag::DISABLED_AT).remove(tag::RETIRING),
            Self::DropIntent => change.remove(tag::INTENT),
            Self::CancelSchedule(_) => change.remove(tag::SCHEDULE_OFF),
            // Nothing can be read in the account any more, so no digest can send its deferred notices.
            Self::RecordDeparture => change.set(tag::DEPARTED, format_time(done_at)).remove(tag::UNTOLD),
            Self::ForgetDeparture => change.remove(tag::DEPARTED),
            Self::Provision { .. }
            | Self::Restore
            | Self::Repair(_)
            | Self::AbandonRotation { .. }
            | Self::Rotate { .. }
            | Self::LeaveScheduleOff { .. }
            | Self::RemoveReplicas { .. }
            | Self::DeleteSecret => change,
        }
    }
}
