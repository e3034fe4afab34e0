//! Carries a plan out. Decides nothing.

use std::collections::BTreeMap;

use super::Sweep;
use super::observe::{Member, Place};
use crate::aws::{CallFailure, FailureKind, Iam};
use crate::keys::{AccessKeyId, KeyStatus, SecretName, UserArn, UserName};
use crate::lifecycle::{Action, UserFacts};
use crate::provision::{self, NewUser, Reach};
use crate::state::{KeyDates, Notified, TagChange};

/// What the tags of a secret are to say and do not say yet.
///
/// A record that can be observed again waits for the notices of the same user, so that facts and what was told of them are
/// written in one call.
#[derive(Debug, Default, Clone)]
pub(super) struct Records {
    /// The tags as they are.
    pub(super) tags: BTreeMap<String, String>,
    /// What is to be written.
    pub(super) pending: TagChange,
    /// What goes along with the first of that.
    pub(super) rider: TagChange,
}

impl Records {
    pub(super) fn of(tags: BTreeMap<String, String>) -> Self {
        Self { tags, ..Self::default() }
    }

    pub(super) fn add(&mut self, change: TagChange) {
        self.pending = std::mem::take(&mut self.pending).then(change);
    }

    /// Writes what is pending, in one call. Safe to repeat.
    pub(super) async fn write(&mut self, sweep: &Sweep<'_>, secret: &str) -> Result<(), CallFailure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let rider = std::mem::take(&mut self.rider);
        self.add(rider);
        let change = self.pending.clone().at_once(&self.tags);
        let store = sweep.aws.secrets();
        if !change.remove.is_empty() {
            store.untag(secret, &change.remove).await?;
        }
        store.tag(secret, &change.set).await?;
        change.apply_to(&mut self.tags);
        self.pending = TagChange::default();
        Ok(())
    }
}

/// What an action is carried out on.
pub(super) struct Target<'a> {
    pub(super) sweep: &'a Sweep<'a>,
    pub(super) iam: &'a dyn Iam,
    pub(super) arn: &'a UserArn,
    /// The user's unique id.
    pub(super) id: &'a str,
    /// The user's keys by the dates at which they were made.
    pub(super) dates: KeyDates,
    pub(super) reach: Reach,
}

impl<'a> Target<'a> {
    /// A user.
    pub(super) fn user(place: &Place<'a>, member: &Member, facts: &'a UserFacts) -> Self {
        // The key that a new secret names is the newest active one.
        let named = facts.keys.iter().rfind(|key| key.is_active());
        let others = facts.keys.iter().filter(|key| Some(&key.id) != named.map(|named| &named.id));
        let dates = KeyDates::new(named.map(|key| key.created), others.map(|key| key.created));
        Self { sweep: place.sweep, iam: place.iam, arn: &facts.arn, id: &facts.id, dates, reach: place.reach(member) }
    }

    /// A user that is gone: there is its secret alone.
    pub(super) fn gone(sweep: &'a Sweep<'a>, iam: &'a dyn Iam, arn: &'a UserArn) -> Self {
        Self { sweep, iam, arn, id: "", dates: KeyDates::default(), reach: Reach::Given }
    }

    /// By name: in the store's own account it is enough, and it is known before the secret is there.
    pub(super) fn secret(&self) -> String {
        SecretName::of(self.arn.user()).to_string()
    }

    /// Carries one action out and adds the facts that it made to the records. Safe to repeat after a failure in between.
    /// Answers what failed beside it without keeping anything from going on.
    ///
    /// `notified` is what was told before; what is void with the action is forgotten.
    pub(super) async fn apply(
        &self,
        action: &Action,
        notified: &mut Notified,
        records: &mut Records,
    ) -> Result<Option<CallFailure>, CallFailure> {
        let secret = self.secret();
        if let Some(change) = action.change_before(notified) {
            records.add(change);
            action.forget_void(notified);
        }
        // What follows may depend on what is recorded: a rotation reads the tags, and a schedule that is switched is itself
        // what a record would be seen by.
        if !action.is_record() && !action.can_be_observed_again() {
            records.write(self.sweep, &secret).await?;
        }
        let beside = self.carry_out(action, &secret).await?;
        // Times count from the fact: they are taken after the call, not before.
        let change = action.tag_change(self.sweep.aws.now(), notified);
        action.forget_void(notified);
        records.add(change);
        if !action.can_be_observed_again() {
            records.write(self.sweep, &secret).await?;
        }
        Ok(beside)
    }

    async fn carry_out(&self, action: &Action, secret: &str) -> Result<Option<CallFailure>, CallFailure> {
        let Self { sweep, iam, arn, .. } = *self;
        let (aws, wanted, name) = (sweep.aws, &sweep.wanted, &arn.user().name);
        match action {
            Action::Provision { key, created, then_rotate } => {
                let user = NewUser { arn, id: self.id, key, created: *created, dates: &self.dates, reach: self.reach };
                return provision::provision(aws, iam, wanted, &user, !then_rotate).await;
            }
            Action::Repair(drift) => provision::repair(aws, iam, wanted, secret, arn, *drift).await,
            Action::AbandonRotation { version } => aws.secrets().remove_pending(secret, version).await,
            Action::Rotate { configure: true, .. } => provision::configure(aws, wanted, secret, true).await,
            Action::Rotate { configure: false, .. } => provision::rotate(aws, secret).await,
            Action::Disable { key } => disable(iam, name, key).await,
            Action::Delete { key } => iam.delete_access_key(name, key).await,
            Action::CancelSchedule(_) => aws.secrets().cancel_rotation(secret).await,
            Action::Restore => aws.secrets().restore(secret).await,
            Action::DeleteSecret => aws.secrets().schedule_deletion(secret, SECRET_RECOVERY_WINDOW_DAYS).await,
            Action::Adopt { .. }
            | Action::RestoreFacts(_)
            | Action::DropIntent
            | Action::Retire { .. }
            | Action::StopRetiring { .. }
            | Action::RecordDisabled { .. }
            | Action::RecordDeleted { .. }
            | Action::RestartGrace { .. } => Ok(()),
        }
        .map(|()| None)
    }
}

/// Disables a key. Where no answer came, the key itself tells whether it is done: not written down, it would not be known
/// that a person who enables it then is to be heeded.
async fn disable(iam: &dyn Iam, user: &UserName, key: &AccessKeyId) -> Result<(), CallFailure> {
    match iam.disable_access_key(user, key).await {
        Err(failure) if failure.kind() == FailureKind::NoAnswer => {
            let listed = iam.access_keys(user).await.unwrap_or_default();
            let is_done = listed.iter().any(|listed| listed.id == *key && listed.status == KeyStatus::Inactive);
            if is_done { Ok(()) } else { Err(failure) }
        }
        answered => answered,
    }
}

/// The longest that Secrets Manager gives.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html>
const SECRET_RECOVERY_WINDOW_DAYS: i64 = 30;
