//! Reads of AWS → facts about one user. Changes nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;

use super::account_user::AccountUser;
use super::run::Run;
use super::user_list::UserList;
use super::user_pages::LARGEST_PAGE;
use crate::aws::{CURRENT, CallFailure, Iam, SecretDescription};
use crate::calendar::due;
use crate::keys::{AccessKeyId, KeyStatus, LastUse, MAX_KEYS_PER_USER, SecretName, UserArn, UserName, is_kms_key_arn};
use crate::lifecycle::{Drift, Exemption, KeyFacts, PresentSecret, ReadObstacle, SecretFacts, UserFacts, is_reader};
use crate::provision::{Reach, drift, policy};
use crate::state::State;

/// How long the listed keys of a user count as current. Before a change an older list is read again, because a call may
/// take long and another sweep may have disabled a key meanwhile.
pub(super) const KEYS_STAY_FRESH: TimeDelta = TimeDelta::seconds(5);

/// The account of a user who is observed.
#[derive(Clone, Copy)]
pub(super) struct AccountContext<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) iam: &'a dyn Iam,
    /// Whether the account has the group through which users read their secrets.
    pub(super) has_readers: bool,
    pub(super) users: &'a UserList,
    /// Whether the account has more users than a run may change keys of, so that changes wait for their turn.
    pub(super) is_limited: bool,
}

/// Whether the secret's resource policy is read. No list shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PolicyCheck {
    /// It is read before a rotation and if the tags do not say for whom it is.
    ByTags,
    /// It was read, and has to be repaired.
    Differs,
    /// Neither the policy nor other drift is checked.
    Skip,
}

impl AccountContext<'_> {
    /// The facts about one user, from the account's lists and from reads for this user alone; `None` if the user does
    /// not exist any more.
    ///
    /// # Errors
    /// The failure of a read that every decision needs. A last use that cannot be read is a fact of its own.
    pub(super) async fn observe(
        &self,
        user: &AccountUser,
        secret: Option<&SecretDescription>,
        check: PolicyCheck,
    ) -> Result<Option<UserFacts>, CallFailure> {
        let present = secret.filter(|secret| secret.deleted.is_none()).map(|secret| present_secret(secret, Vec::new()));
        let keys = match self.keys(user, present.as_ref()).await {
            Err(failure) if failure.is_not_found() => return Ok(None),
            keys => keys?,
        };
        // Drift is not repaired for users whose keys are not rotated.
        let is_rotated = user.exemption == Exemption::NotExempt && keys.iter().any(KeyFacts::is_active);
        let unreadable = unreadable(self.run, user, secret);
        let secret = match (secret, present) {
            (None, _) => SecretFacts::Missing,
            (Some(_), None) => SecretFacts::PendingDeletion,
            (Some(secret), Some(mut present)) => {
                if is_rotated && check != PolicyCheck::Skip {
                    present.drift = self.drift(user, secret, true);
                    if !self.policy_fits(user, &present, &keys, check).await? {
                        present.drift = self.drift(user, secret, false);
                    }
                    present.unfinished_since = unfinished_since(self.run, &present).await;
                }
                SecretFacts::Present(present)
            }
        };
        Ok(Some(user.facts(keys, secret, unreadable)))
    }

    /// The same facts, and the secret's tags, with the secret read again, and the user as well if the list of users is
    /// too old. The keys were listed a moment ago. `None` if the user does not exist any more.
    ///
    /// # Errors
    /// As [`AccountContext::observe`].
    pub(super) async fn again(
        &self,
        user: &AccountUser,
        facts: UserFacts,
    ) -> Result<Option<(UserFacts, BTreeMap<String, String>)>, CallFailure> {
        let Some(user) = self.users.fresh(self.run, self.iam, user).await? else { return Ok(None) };
        let name = SecretName::of(facts.user()).to_string();
        let described = match facts.secret {
            // Creating the secret shows whether it exists.
            SecretFacts::Missing => None,
            SecretFacts::Present(_) | SecretFacts::PendingDeletion => self.run.aws.secrets().describe(&name).await?,
        };
        let Some(described) = described else {
            let unreadable = unreadable(self.run, &user, None);
            return Ok(Some((user.facts(facts.keys, SecretFacts::Missing, unreadable), BTreeMap::new())));
        };
        let unreadable = unreadable(self.run, &user, Some(&described));
        let secret = if described.deleted.is_some() {
            SecretFacts::PendingDeletion
        } else {
            let drift_before = facts.secret.present().map(|before| &before.drift);
            let policy_fits = !drift_before.is_some_and(|drift| drift.contains(&Drift::Policy));
            let is_rotated = user.exemption == Exemption::NotExempt && facts.keys.iter().any(KeyFacts::is_active);
            let drift = if is_rotated { self.drift(&user, &described, policy_fits) } else { Vec::new() };
            let mut present = present_secret(&described, drift);
            // A version keeps its date, so it is read once.
            let before =
                facts.secret.present().filter(|before| before.unfinished_version == present.unfinished_version);
            present.unfinished_since = before.and_then(|before| before.unfinished_since);
            SecretFacts::Present(present)
        };
        Ok(Some((user.facts(facts.keys, secret, unreadable), described.tags)))
    }

    /// The same facts with the keys listed again; `None` if the user does not exist any more.
    ///
    /// # Errors
    /// As [`AccountContext::observe`].
    pub(super) async fn with_keys_again(
        &self,
        user: &AccountUser,
        facts: UserFacts,
    ) -> Result<Option<UserFacts>, CallFailure> {
        match self.keys(user, facts.secret.present()).await {
            Err(failure) if failure.is_not_found() => Ok(None),
            keys => Ok(Some(UserFacts { keys: keys?, ..facts })),
        }
    }

    async fn keys(&self, user: &AccountUser, secret: Option<&PresentSecret>) -> Result<Vec<KeyFacts>, CallFailure> {
        let listed = self.iam.access_keys(user.name()).await?;
        // A lone key is never disabled or deleted, so nothing depends on its last use. The exception is a key that a
        // rotation may have made and nobody has: the intent announces it.
        let is_announced = secret.is_some_and(|secret| secret.state.intent.is_some());
        let needs_last_use = listed.len() >= MAX_KEYS_PER_USER || is_announced;
        // The tested key stays, so nothing depends on its last use either.
        let stays =
            |id: &AccessKeyId, created| !is_announced && secret.is_some_and(|secret| secret.is_tested(id, created));
        let mut keys = Vec::with_capacity(listed.len());
        for key in listed {
            let is_spared = stays(&key.id, key.created) && key.status == KeyStatus::Active;
            let last_use = if needs_last_use && !is_spared { self.last_use(&key.id).await } else { LastUse::NotAsked };
            keys.push(KeyFacts { id: key.id, status: key.status, created: key.created, last_use });
        }
        Ok(keys)
    }

    async fn last_use(&self, id: &AccessKeyId) -> LastUse {
        match self.iam.last_use(id).await {
            Ok(Some(last_use)) => LastUse::At(last_use),
            Ok(None) => LastUse::Never,
            Err(failure) => LastUse::Unknown(failure.to_string()),
        }
    }

    /// Reads the policy if the tags do not say for whom it is, if somebody changed the secret, and if a rotation is
    /// near or has refused it: a rotation makes no key for a secret with a wrong policy.
    async fn policy_fits(
        &self,
        user: &AccountUser,
        secret: &PresentSecret,
        keys: &[KeyFacts],
        check: PolicyCheck,
    ) -> Result<bool, CallFailure> {
        if check == PolicyCheck::Differs {
            return Ok(false);
        }
        let periods = &self.run.settings.periods;
        let is_reference = |key: &&KeyFacts| secret.is_tested(&key.id, key.created);
        let tested = keys.iter().find(is_reference).filter(|key| key.is_active());
        let reference = tested.or_else(|| keys.iter().find(|key| key.is_active()));
        let is_near = reference.is_none_or(|key| self.run.now >= due(key.created, periods.rotation) - periods.warn);
        if !is_near && !secret.policy_was_refused() && secret.drift.is_empty() && is_reader(secret, &user.id, &user.arn)
        {
            return Ok(true);
        }
        policy_fits(self.run, &secret.arn, &user.arn).await
    }

    fn drift(&self, user: &AccountUser, secret: &SecretDescription, policy_fits: bool) -> Vec<Drift> {
        drift(secret, policy_fits, &self.run.wanted, &self.reach(user))
    }

    /// Whether the user must join the reader group to read its secret. In the store's own account the resource policy
    /// is enough.
    pub(super) fn reach(&self, user: &AccountUser) -> Reach {
        let is_foreign = user.arn.user().account != *self.run.aws.primary_account();
        if is_foreign && self.has_readers && !user.is_reader && user.can_join_group {
            Reach::JoinGroup
        } else {
            Reach::Given
        }
    }

    /// The facts that the list of secrets shows: all but the policy.
    pub(super) fn listed_secret(&self, user: &AccountUser, secret: Option<&SecretDescription>) -> SecretFacts {
        match secret {
            None => SecretFacts::Missing,
            Some(secret) if secret.deleted.is_some() => SecretFacts::PendingDeletion,
            Some(secret) => SecretFacts::Present(present_secret(secret, self.drift(user, secret, true))),
        }
    }
}

/// Why the user cannot read the secret that it has or would get. In the store's own account the resource policy is
/// enough.
pub(super) fn unreadable(
    run: &Run<'_>,
    user: &AccountUser,
    secret: Option<&SecretDescription>,
) -> Option<ReadObstacle> {
    if user.arn.user().account == *run.aws.primary_account() {
        return None;
    }
    // Only a key that is named by its ARN can be used from another account.
    let serves = |key: &Option<String>| key.as_deref().is_some_and(is_kms_key_arn);
    if !serves(&run.wanted.kms_key) && !secret.is_some_and(|secret| serves(&secret.kms_key)) {
        return Some(ReadObstacle::ManagedKey);
    }
    let needs_group = run.wanted.reader_group.is_some() && !user.is_reader;
    (needs_group && !user.can_join_group).then_some(ReadObstacle::NoRoomInGroups)
}

/// When the unfinished rotation of the secret began. If that cannot be read, the rotation counts as running.
async fn unfinished_since(run: &Run<'_>, secret: &PresentSecret) -> Option<DateTime<Utc>> {
    let version = secret.unfinished_version.as_ref()?;
    match run.aws.secrets().registered_at(&secret.arn, version).await {
        Ok(registered_at) => registered_at,
        Err(failure) => {
            warn!(secret = %secret.arn, %version, error = %failure, "unknown when the unfinished rotation began");
            None
        }
    }
}

/// Whether the secret's resource policy is for that user, and for nobody else.
///
/// # Errors
/// The failure to read the policy.
pub(super) async fn policy_fits(run: &Run<'_>, secret: &str, arn: &UserArn) -> Result<bool, CallFailure> {
    let found = run.aws.secrets().policy(secret).await?;
    Ok(found.is_some_and(|found| policy::is_for_user(&found, arn)))
}

/// The facts about one user outside an account's sweep, without drift, and the secret's tags. Both are read now; the
/// user is read only if it was not just listed. `None` if the user does not exist any more.
///
/// # Errors
/// As [`AccountContext::observe`].
pub(super) async fn observe_alone(
    run: &Run<'_>,
    iam: &dyn Iam,
    name: &UserName,
    listed: Option<&AccountUser>,
) -> Result<Option<(UserFacts, BTreeMap<String, String>)>, CallFailure> {
    let found;
    let user = match listed {
        Some(user) => user,
        None => match AccountUser::find(run, iam, name).await? {
            Some(user) => {
                found = user;
                &found
            }
            None => return Ok(None),
        },
    };
    let secret = run.aws.secrets().describe(&SecretName::of(user.arn.user()).to_string()).await?;
    let users = UserList::first(run.now, 1, LARGEST_PAGE);
    let context = AccountContext { run, iam, has_readers: false, users: &users, is_limited: false };
    let facts = context.observe(user, secret.as_ref(), PolicyCheck::Skip).await?;
    Ok(facts.map(|facts| (facts, secret.map(|secret| secret.tags).unwrap_or_default())))
}

/// The facts about a secret, with that drift.
pub(super) fn present_secret(secret: &SecretDescription, drift: Vec<Drift>) -> PresentSecret {
    PresentSecret {
        arn: secret.arn.clone(),
        rotation_enabled: secret.rotation_enabled,
        next_rotation: secret.next_rotation,
        current_version: secret.version_at(CURRENT),
        unfinished_version: secret.unfinished_version(),
        unfinished_since: None,
        replicas: secret.replicas.clone(),
        replica_of: secret.replica_of().map(str::to_owned),
        state: State::read(&secret.tags),
        drift,
    }
}
