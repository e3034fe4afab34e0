//! The user in the account's lists, and whether a sweep observes it.

use super::*;
use crate::lifecycle::{KeySighting, Listed, Sighting, UserPlan, is_quiet, key_dates};
use crate::state::Reader;

/// How long IAM returns the same credential report.
const REPORT_LASTS: TimeDelta = TimeDelta::hours(4);

impl Simulation {
    /// Whether a sweep leaves the user out. The sweep reads the lists; the assertion compares them with the real state.
    pub(super) fn is_left_out(&mut self) -> bool {
        let facts = self.observe(Unread::default());
        if self.report.as_ref().is_none_or(|report| report.at + REPORT_LASTS <= self.now) {
            self.report = Some(self.make_report());
        }
        let UserFacts { arn, id, owner: _, exemption, keys: _, secret, unreadable } = facts.clone();
        let listed = Listed { arn: &arn, id: &id, exemption, sighting: self.report.as_ref(), secret, unreadable };
        if !is_quiet(&listed, &self.periods, self.now) {
            return false;
        }
        self.left_out += 1;
        let is_fresh = self.report.as_ref().is_some_and(|report| report.at == self.now);
        if is_fresh {
            check_nothing_is_due(&plan(&facts, &self.periods, self.now));
            self.keys.iter_mut().filter(|key| key.active).for_each(|key| key.seen_active = self.now);
        }
        true
    }

    fn make_report(&self) -> Sighting {
        let active = self.keys.iter().filter(|key| key.active).map(|key| KeySighting {
            since: key.changed.unwrap_or(key.created),
            last_use: key.last_use.map(|time| KeyUse { time, service: "s3".to_owned(), region: String::new() }),
        });
        Sighting { at: self.now, active: active.collect() }
    }

    /// Writes the tags that an observation leaves.
    pub(super) fn remember(&mut self) {
        let facts = self.observe(Unread::default());
        let Some(dates) = key_dates(&facts, self.now) else { return };
        let reader = Reader::of(&facts.id, &facts.arn).expect("a path that a tag holds");
        let change = TagChange::default().set(tag::KEY_DATES, dates.to_string()).set(tag::READER, reader.to_string());
        self.write(&change, true);
    }
}

/// Whether the lists cannot show the difference yet: an inactive key that a person made, deleted or used is in no list.
fn check_nothing_is_due(truth: &UserPlan) {
    for action in &truth.actions {
        let is_seen_late = matches!(
            action,
            Action::StopRetiring { .. }
                | Action::RecordDeleted { .. }
                | Action::RecordDisabled { .. }
                | Action::Retire { inactive: true, .. }
        );
        assert!(is_seen_late, "left out, and there is something to do:\n{truth}");
    }
    assert_eq!(truth.problems, [], "left out, and there is something to report:\n{truth}");
}
