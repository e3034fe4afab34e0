//! Reads of AWS → facts about users. Changes nothing.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::Sweep;
use super::members::{self, Members};
use crate::aws::{CURRENT, CallFailure, Iam, ListedUser, SecretDescription, has_group};
use crate::keys::{AccessKeyId, KeyStatus, LastUse, MAX_KEYS_PER_USER, SecretName, UserArn, UserName};
use crate::lifecycle::{Drift, Exemption, KeyFacts, PresentSecret, SecretFacts, UserFacts, is_reader};
use crate::provision::{Reach, drift, policy};
use crate::state::State;

/// What was listed of a user's keys so long ago is listed again before anything is changed.
pub(super) const KEYS_STAY_FRESH: TimeDelta = TimeDelta::seconds(5);

/// A user of the account's list, without what is not needed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) arn: UserArn,
    /// `AIDA…`
    pub(super) id: String,
    pub(super) owner: Option<String>,
    pub(super) exemption: Exemption,
    pub(super) is_reader: bool,
}

impl Member {
    pub(super) fn of(sweep: &Sweep<'_>, listed: ListedUser) -> Self {
        let is_exempt = has_group(&listed.groups, &sweep.settings.exemption_group);
        let readers = sweep.wanted.reader_group.as_ref();
        Self {
            owner: owner(sweep, &listed),
            exemption: if is_exempt { Exemption::Exempt } else { Exemption::NotExempt },
            is_reader: readers.is_some_and(|group| has_group(&listed.groups, group)),
            arn: listed.arn,
            id: listed.id,
        }
    }

    pub(super) fn name(&self) -> &UserName {
        &self.arn.user().name
    }

    fn facts(&self, keys: Vec<KeyFacts>, secret: SecretFacts, secret_readable: bool) -> UserFacts {
        let Self { arn, id, owner, exemption, is_reader: _ } = self.clone();
        UserFacts { arn, id, owner, exemption, keys, secret, secret_readable }
    }
}

/// The account around a user.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) sweep: &'a Sweep<'a>,
    pub(super) iam: &'a dyn Iam,
    /// Whether the account has the group of the settings through which users read their secrets.
    pub(super) has_readers: bool,
    /// Its users, as far as they are listed again.
    pub(super) members: &'a Members,
}

/// What is known of a secret's resource policy, which no list shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// It is read where the tags do not say whom it is for, and before a rotation.
    ByTags,
    /// It was read, and is not as it should be.
    Differs,
    /// No drift is looked for.
    NotAsked,
}

impl Place<'_> {
    /// The facts about one user, from the account's lists and the reads that only this user needs; `None` if the user is
    /// not there any more.
    ///
    /// # Errors
    /// The failure of a read on which everything depends. A last use that cannot be read is a fact of its own.
    pub(super) async fn user(
        &self,
        member: &Member,
        secret: Option<&SecretDescription>,
        policy: Policy,
    ) -> Result<Option<UserFacts>, CallFailure> {
        let present = secret.filter(|secret| secret.deleted.is_none()).map(|secret| without_drift(secret, Vec::new()));
        let keys = match self.keys(member, present.as_ref()).await {
            Err(failure) if failure.is_not_found() => return Ok(None),
            keys => keys?,
        };
        // Nothing is repaired for users whose keys are not rotated.
        let is_rotated = member.exemption == Exemption::NotExempt && keys.iter().any(KeyFacts::is_active);
        let secret_readable = is_readable(self.sweep, member, secret);
        let secret = match (secret, present) {
            (None, _) => SecretFacts::Missing,
            (Some(_), None) => SecretFacts::PendingDeletion,
            (Some(secret), Some(mut present)) => {
                if is_rotated && policy != Policy::NotAsked {
                    present.drift = self.drift(member, secret, true);
                    if !self.policy_fits(member, &present, &keys, policy).await? {
                        present.drift = self.drift(member, secret, false);
                    }
                }
                SecretFacts::Present(present)
            }
        };
        Ok(Some(member.facts(keys, secret, secret_readable)))
    }

    /// The same facts with the secret and, if the list of users is not of this moment, the user read again: before anything
    /// is changed. The keys were read a moment ago.
    ///
    /// # Errors
    /// As [`Place::user`]; `None` if the user is not there any more.
    pub(super) async fn again(
        &self,
        member: &Member,
        facts: UserFacts,
    ) -> Result<Option<(UserFacts, BTreeMap<String, String>)>, CallFailure> {
        let Some(member) = self.members.fresh(self.sweep, self.iam, member).await? else { return Ok(None) };
        let name = SecretName::of(facts.user()).to_string();
        let described = match facts.secret {
            // Making it finds out whether it is there.
            SecretFacts::Missing => None,
            SecretFacts::Present(_) | SecretFacts::PendingDeletion => self.sweep.aws.secrets().describe(&name).await?,
        };
        let Some(described) = described else {
            let readable = is_readable(self.sweep, &member, None);
            return Ok(Some((member.facts(facts.keys, SecretFacts::Missing, readable), BTreeMap::new())));
        };
        let secret_readable = is_readable(self.sweep, &member, Some(&described));
        let secret = if described.deleted.is_some() {
            SecretFacts::PendingDeletion
        } else {
            let was_looked_for = facts.secret.present().map(|before| &before.drift);
            let policy_fits = !was_looked_for.is_some_and(|drift| drift.contains(&Drift::Policy));
            let is_rotated = member.exemption == Exemption::NotExempt && facts.keys.iter().any(KeyFacts::is_active);
            let drift = if is_rotated { self.drift(&member, &described, policy_fits) } else { Vec::new() };
            SecretFacts::Present(without_drift(&described, drift))
        };
        Ok(Some((member.facts(facts.keys, secret, secret_readable), described.tags)))
    }

    /// The same facts with the keys listed again; `None` if the user is not there any more.
    ///
    /// # Errors
    /// As [`Place::user`].
    pub(super) async fn with_keys_again(
        &self,
        member: &Member,
        facts: UserFacts,
    ) -> Result<Option<UserFacts>, CallFailure> {
        match self.keys(member, facts.secret.present()).await {
            Err(failure) if failure.is_not_found() => Ok(None),
            keys => Ok(Some(UserFacts { keys: keys?, ..facts })),
        }
    }

    async fn keys(&self, member: &Member, secret: Option<&PresentSecret>) -> Result<Vec<KeyFacts>, CallFailure> {
        let listed = self.iam.access_keys(member.name()).await?;
        // A lone key is never disabled or deleted, so nothing depends on its last use, unless it may be a rotation's that
        // nobody has.
        let is_announced = secret.is_some_and(|secret| secret.state.intent.is_some());
        let is_asked = listed.len() >= MAX_KEYS_PER_USER || is_announced;
        // Nothing depends on that of the tested key, either: it is the one that stays.
        let stays =
            |id: &AccessKeyId, created| !is_announced && secret.is_some_and(|secret| secret.is_tested(id, created));
        let mut keys = Vec::with_capacity(listed.len());
        for key in listed {
            let is_spared = stays(&key.id, key.created) && key.status == KeyStatus::Active;
            let last_use = if is_asked && !is_spared { self.last_use(&key.id).await } else { LastUse::NotAsked };
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

    /// Reads the policy where the tags do not say whom it is for, where somebody changed the secret, and where a rotation
    /// comes near: without a policy, the owner could not fetch the new key.
    async fn policy_fits(
        &self,
        member: &Member,
        secret: &PresentSecret,
        keys: &[KeyFacts],
        known: Policy,
    ) -> Result<bool, CallFailure> {
        if known == Policy::Differs {
            return Ok(false);
        }
        let periods = &self.sweep.settings.periods;
        let is_reference = |key: &&KeyFacts| secret.is_tested(&key.id, key.created);
        let tested = keys.iter().find(is_reference).filter(|key| key.is_active());
        let reference = tested.or_else(|| keys.iter().find(|key| key.is_active()));
        let comes_near = reference.is_none_or(|key| self.sweep.now >= key.created + periods.rotation - periods.warn);
        if !comes_near && secret.drift.is_empty() && is_reader(secret, &member.id, &member.arn) {
            return Ok(true);
        }
        policy_fits(self.sweep, &secret.arn, &member.arn).await
    }

    fn drift(&self, member: &Member, secret: &SecretDescription, policy_fits: bool) -> Vec<Drift> {
        drift(secret, policy_fits, &self.sweep.wanted, &self.reach(member))
    }

    /// How the user comes to its secret. In the store's own account the resource policy alone is enough.
    pub(super) fn reach(&self, member: &Member) -> Reach {
        let is_foreign = member.arn.user().account != *self.sweep.aws.primary_account();
        if is_foreign && self.has_readers && !member.is_reader { Reach::JoinGroup } else { Reach::Given }
    }

    /// What the list of secrets tells of one, all but the policy.
    pub(super) fn listed(&self, member: &Member, secret: Option<&SecretDescription>) -> SecretFacts {
        match secret {
            None => SecretFacts::Missing,
            Some(secret) if secret.deleted.is_some() => SecretFacts::PendingDeletion,
            Some(secret) => SecretFacts::Present(without_drift(secret, self.drift(member, secret, true))),
        }
    }
}

/// Whether the user can read the secret that it has or would get. A secret under the AWS managed key can be read only from
/// its own account.
pub(super) fn is_readable(sweep: &Sweep<'_>, member: &Member, secret: Option<&SecretDescription>) -> bool {
    let is_foreign = member.arn.user().account != *sweep.aws.primary_account();
    !is_foreign || sweep.wanted.kms_key.is_some() || secret.is_some_and(|secret| secret.kms_key.is_some())
}

/// Whether the secret's resource policy is for that user, and for nobody else.
pub(super) async fn policy_fits(sweep: &Sweep<'_>, secret: &str, arn: &UserArn) -> Result<bool, CallFailure> {
    let found = sweep.aws.secrets().policy(secret).await?;
    Ok(found.is_some_and(|found| policy::is_for_user(&found, arn)))
}

/// The value of the tag that names the owner.
pub(super) fn owner(sweep: &Sweep<'_>, listed: &ListedUser) -> Option<String> {
    sweep.settings.owner_tag.as_ref().and_then(|tag| listed.tags.get(tag).cloned())
}

/// The facts about one user without the drift, which changes nothing here, and the tags of the secret: read now, but for
/// the user itself where it was just listed.
///
/// # Errors
/// As [`Place::user`]; `None` if the user is not there any more.
pub(super) async fn user_alone(
    sweep: &Sweep<'_>,
    iam: &dyn Iam,
    name: &UserName,
    listed: Option<&Member>,
) -> Result<Option<(UserFacts, BTreeMap<String, String>)>, CallFailure> {
    let asked;
    let member = match listed {
        Some(member) => member,
        None => match members::alone(sweep, iam, name).await? {
            Some(member) => {
                asked = member;
                &asked
            }
            None => return Ok(None),
        },
    };
    let secret = sweep.aws.secrets().describe(&SecretName::of(member.arn.user()).to_string()).await?;
    let members = Members::listed(sweep.now, 1);
    let place = Place { sweep, iam, has_readers: false, members: &members };
    let facts = place.user(member, secret.as_ref(), Policy::NotAsked).await?;
    Ok(facts.map(|facts| (facts, secret.map(|secret| secret.tags).unwrap_or_default())))
}

/// The facts about a secret beside its drift.
pub(super) fn without_drift(secret: &SecretDescription, drift: Vec<Drift>) -> PresentSecret {
    PresentSecret {
        arn: secret.arn.clone(),
        rotation_enabled: secret.rotation_enabled,
        current_version: secret.version_at(CURRENT),
        unfinished_version: secret.unfinished_version(),
        state: State::read(&secret.tags),
        drift,
    }
}
