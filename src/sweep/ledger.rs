//! The tags of one secret in a run: what was read of them, and what is to be written. No other file of `sweep` writes
//! tags.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::run::Run;
use crate::aws::{CallFailure, ONCE, once_found, until};
use crate::keys::{SecretName, UserRef};
use crate::lifecycle::Action;
use crate::provision::CALLS_ON_A_NEW_SECRET;
use crate::state::{Notified, State, TagChange, tag};

/// How long the tags that a sweep read just before a change count as current when it records the notices. Reading them
/// again is a call per user.
pub(super) const FRESH_IN_A_SWEEP: TimeDelta = TimeDelta::seconds(60);

/// How long the tags that were read for an event count as current. Reading them again is one of an event's seven calls,
/// but two events of one secret may come within seconds.
pub(super) const FRESH_IN_AN_EVENT: TimeDelta = TimeDelta::seconds(2);

/// The tags of one user's secret.
///
/// A change that can be observed again waits for the notices of the same user, so that one call records both.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    /// The secret's name. In the store's own account it identifies the secret, also before the secret exists.
    secret: String,
    /// The tags as they were read or written last.
    tags: BTreeMap<String, String>,
    /// The changes that are to be written.
    pending: TagChange,
    /// A change that is written only together with the first pending change.
    with_next: TagChange,
    /// The notices that the tags record as sent, without those that an action of this run made void.
    pub(super) notified: Notified,
    /// Since when the secret has carried the mark, as this run first read it; `None` without a mark.
    pub(super) mark: Option<DateTime<Utc>>,
    /// Until when the tags count as current; `None` if they must be read again.
    fresh_until: Option<DateTime<Utc>>,
    /// Whether this run made the secret.
    is_new: bool,
    /// The actions that this run has begun, because they may have made notices void.
    begun: Vec<Action>,
}

/// The result of reading the tags again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reread {
    /// The secret does not exist any more.
    Gone,
    /// The mark is as this run first read it.
    SameMark,
    /// Another sweep deferred a notice meanwhile.
    OtherMark,
}

impl Ledger {
    /// The ledger of a secret whose tags were not read, or that does not exist yet.
    pub(super) fn empty(user: &UserRef) -> Self {
        Self {
            secret: SecretName::of(user).to_string(),
            tags: BTreeMap::new(),
            pending: TagChange::default(),
            with_next: TagChange::default(),
            notified: Notified::default(),
            mark: None,
            fresh_until: None,
            is_new: false,
            begun: Vec::new(),
        }
    }

    /// The ledger of a secret with that state, which an older list showed: the tags are read again before a notice is
    /// recorded.
    pub(super) fn listed(user: &UserRef, state: Option<&State>) -> Self {
        let notified = state.map(|state| state.notified.clone()).unwrap_or_default();
        Self { notified, mark: state.and_then(|state| state.mark), ..Self::empty(user) }
    }

    /// The ledger of a secret whose tags were just read and count as current until then. A secret that is scheduled for
    /// deletion has tags but no state.
    pub(super) fn read(
        user: &UserRef,
        tags: BTreeMap<String, String>,
        state: Option<&State>,
        fresh_until: DateTime<Utc>,
    ) -> Self {
        Self { tags, fresh_until: Some(fresh_until), ..Self::listed(user, state) }
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Adds a change that the next [`Ledger::write`] writes.
    pub(super) fn add(&mut self, change: TagChange) {
        self.pending = std::mem::take(&mut self.pending).then(change);
    }

    /// Adds the mark, to be written together with the first other change, which saves a call.
    pub(super) fn mark_with_next_change(&mut self, now: DateTime<Utc>) {
        self.with_next = TagChange::default().mark(now);
    }

    /// Adds the mark: a notice is deferred to a digest.
    pub(super) fn add_mark(&mut self, now: DateTime<Utc>) {
        self.add(TagChange::default().mark(now));
    }

    /// Leaves the mark to the digest: this run neither removes nor renews it.
    pub(super) fn leave_mark_to_digest(&mut self) {
        self.mark = None;
    }

    /// Adds the notices that are recorded as sent.
    pub(super) fn add_notified(&mut self) {
        self.add(TagChange::default().set(tag::NOTIFIED, self.notified.to_tag()));
    }

    /// Records what must stand in the tags before the action is carried out.
    ///
    /// # Errors
    /// The failure of a write. Safe to repeat.
    pub(super) async fn begin(&mut self, run: &Run<'_>, action: &Action) -> Result<(), CallFailure> {
        self.begun.push(action.clone());
        if let Some(change) = action.change_before(&self.notified) {
            self.add(change);
            action.forget_void(&mut self.notified);
        }
        // The action may depend on the tags: a rotation reads them. And before the schedule is switched, the record
        // must be written, because a later run recognizes a missing record only by the old schedule.
        if !action.is_record() && !action.can_be_observed_again() {
            self.write(run).await?;
        }
        Ok(())
    }

    /// Records that the action was carried out just now: grace periods count from the fact.
    ///
    /// # Errors
    /// As [`Ledger::begin`].
    pub(super) async fn complete(&mut self, run: &Run<'_>, action: &Action) -> Result<(), CallFailure> {
        let change = action.tag_change(run.aws.now(), &self.notified);
        action.forget_void(&mut self.notified);
        self.add(change);
        if !action.can_be_observed_again() {
            self.write(run).await?;
        }
        self.is_new |= matches!(action, Action::Provision { .. });
        if matches!(action, Action::Rotate { .. }) {
            // The rotation and the event that follows it write into the same tags.
            self.fresh_until = None;
        }
        Ok(())
    }

    /// Writes the pending changes, in one call if possible. Safe to repeat.
    ///
    /// # Errors
    /// The failure of a write; the changes stay pending.
    pub(super) async fn write(&mut self, run: &Run<'_>) -> Result<(), CallFailure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let with_next = std::mem::take(&mut self.with_next);
        self.add(with_next);
        let change = self.pending.clone().at_once(&self.tags);
        let store = run.aws.secrets();
        if !change.remove.is_empty() {
            store.untag(&self.secret, &change.remove).await?;
        }
        if self.is_new {
            once_found(run.aws, CALLS_ON_A_NEW_SECRET, || store.tag(&self.secret, &change.set)).await?;
        } else {
            store.tag(&self.secret, &change.set).await?;
        }
        change.apply_to(&mut self.tags);
        self.pending = TagChange::default();
        Ok(())
    }

    /// Removes the mark and writes the pending changes. Safe to repeat.
    ///
    /// # Errors
    /// The failure of a write.
    pub(super) async fn remove_mark(&mut self, run: &Run<'_>) -> Result<(), CallFailure> {
        if self.pending.is_empty() {
            return run.aws.secrets().untag(&self.secret, &[tag::UNTOLD]).await;
        }
        self.add(TagChange::default().remove(tag::UNTOLD));
        self.write(run).await
    }

    /// Removes the mark from a secret that is about to be deleted: afterwards it would have to be restored first.
    /// Pending changes are not written.
    ///
    /// # Errors
    /// The failure of the write.
    pub(super) async fn remove_mark_before_deletion(&self, run: &Run<'_>) -> Result<(), CallFailure> {
        match self.mark {
            Some(_) => run.aws.secrets().untag(&self.secret, &[tag::UNTOLD]).await,
            None => Ok(()),
        }
    }

    /// Reads the tags again unless they are fresh: others may have recorded notices meanwhile.
    ///
    /// # Errors
    /// The failure of the read.
    pub(super) async fn refresh(&mut self, run: &Run<'_>) -> Result<Reread, CallFailure> {
        if self.fresh_until.is_some_and(|until| run.aws.now() < until) {
            return Ok(Reread::SameMark);
        }
        let tries = if self.is_new { CALLS_ON_A_NEW_SECRET } else { ONCE };
        let described = until(run.aws, tries, || run.aws.secrets().describe(&self.secret), Option::is_some).await?;
        let Some(described) = described else { return Ok(Reread::Gone) };
        let State { mut notified, mark, .. } = State::read(&described.tags);
        // A notice that an action made void stays void, even if that could not be recorded.
        for action in &self.begun {
            action.forget_void(&mut notified);
        }
        self.notified = notified;
        if self.pending.set.contains_key(tag::NOTIFIED) || self.pending.remove.contains(&tag::NOTIFIED) {
            self.add_notified();
        }
        self.tags = described.tags;
        self.fresh_until = Some(run.aws.now() + FRESH_IN_A_SWEEP);
        Ok(if mark == self.mark { Reread::SameMark } else { Reread::OtherMark })
    }
}
