//! Reads of AWS → facts about users. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Sweep;
use crate::aws::{AccountDetails, CURRENT, Failure, Iam, ListedUser, SecretDescription, has_group};
use crate::keys::{AccessKeyId, AccountId, MAX_KEYS_PER_USER, SecretName, UserName, UserRef};
use crate::lifecycle::{Exemption, KeyFacts, LastUse, PresentSecret, SecretFacts, UserFacts};
use crate::provision::{Reach, drift};
use crate::state::{State, tag};

/// What is there in one account, before its users are looked at one by one.
pub(super) struct Account {
    pub(super) iam: Arc<dyn Iam>,
    pub(super) users: Vec<ListedUser>,
    pub(super) groups: BTreeSet<String>,
    /// Secrets by user name. The list may be minutes old.
    pub(super) secrets: BTreeMap<UserName, SecretDescription>,
}

impl Account {
    /// Secrets of users that are not there any more.
    pub(super) fn secrets_without_user(&self) -> Vec<SecretDescription> {
        let users: BTreeSet<&UserName> = self.users.iter().map(|user| &user.arn.user().name).collect();
        let orphaned = self.secrets.iter().filter(|(name, secret)| !users.contains(name) && secret.deleted.is_none());
        orphaned.map(|(_, secret)| secret.clone()).collect()
    }
}

/// What an account's users and secrets are.
///
/// # Errors
/// Any failure of a listing: the account is not swept then.
pub(super) async fn account(sweep: &Sweep<'_>, id: &AccountId) -> Result<Account, Failure> {
    let _permit = sweep.permit().await;
    let iam = sweep.aws.iam(id, sweep.partition()).await?;
    let AccountDetails { users, groups } = iam.account_details().await?;
    let secrets = sweep.aws.secrets().of_account(id).await?;
    let secrets = secrets.into_iter().map(|secret| (secret.name.user().name.clone(), secret)).collect();
    Ok(Account { iam, users, groups, secrets })
}

/// The facts about one user, from the account's listings and the reads that only this user needs.
///
/// # Errors
/// The failure of a read on which everything depends. A last use that cannot be read is a fact of its own.
pub(super) async fn user(
    sweep: &Sweep<'_>,
    iam: &dyn Iam,
    groups: Option<&BTreeSet<String>>,
    listed: &ListedUser,
    secret: Option<&SecretDescription>,
) -> Result<UserFacts, Failure> {
    let is_announced = secret.is_some_and(|secret| secret.tags.contains_key(tag::INTENT));
    let keys = keys(iam, listed.arn.user(), is_announced).await?;
    let is_exempt = has_group(&listed.groups, &sweep.settings.exemption_group);
    let exemption = if is_exempt { Exemption::Exempt } else { Exemption::NotExempt };
    // Nothing is repaired for users whose keys are not rotated.
    let is_rotated = exemption == Exemption::NotExempt && keys.iter().any(KeyFacts::is_active);
    let secret = match secret {
        None => SecretFacts::Missing,
        Some(secret) if secret.deleted.is_some() => SecretFacts::PendingDeletion,
        Some(secret) => SecretFacts::Present(present(sweep, groups.filter(|_| is_rotated), listed, secret).await?),
    };
    Ok(UserFacts { arn: listed.arn.clone(), owner: owner(sweep, listed), exemption, keys, secret })
}

/// The value of the tag that names the owner.
pub(super) fn owner(sweep: &Sweep<'_>, listed: &ListedUser) -> Option<String> {
    sweep.settings.owner_tag.as_ref().and_then(|tag| listed.tags.get(tag).cloned())
}

/// The same facts read again, none of them from a list: before anything is changed. Without the account's groups the
/// drift is not looked for, which costs one call less.
///
/// # Errors
/// As [`user`]; `None` if the user is not there any more.
pub(super) async fn user_again(
    sweep: &Sweep<'_>,
    iam: &dyn Iam,
    groups: Option<&BTreeSet<String>>,
    name: &UserName,
) -> Result<Option<UserFacts>, Failure> {
    let Some(mut found) = iam.find_user(name).await? else { return Ok(None) };
    let memberships = iam.groups_of(name).await;
    let unknown = memberships.as_ref().err().map(ToString::to_string);
    found.groups = memberships.unwrap_or_default();
    let secret = sweep.aws.secrets().describe(&SecretName::of(found.arn.user()).to_string()).await?;
    let mut facts = user(sweep, iam, groups, &found, secret.as_ref()).await?;
    if let Some(why) = unknown {
        facts.exemption = Exemption::Unknown(why);
    }
    Ok(Some(facts))
}

/// `is_announced`: a rotation announced a key and did not finish.
async fn keys(iam: &dyn Iam, user: &UserRef, is_announced: bool) -> Result<Vec<KeyFacts>, Failure> {
    let listed = iam.access_keys(&user.name).await?;
    // A lone key is never disabled or deleted, so nothing depends on its last use, unless it may be a rotation's that
    // nobody has.
    let ask = listed.len() >= MAX_KEYS_PER_USER || is_announced;
    let mut keys = Vec::with_capacity(listed.len());
    for key in listed {
        let last_use = if ask { last_use(iam, &key.id).await } else { LastUse::NotAsked };
        keys.push(KeyFacts { id: key.id, status: key.status, created: key.created, last_use });
    }
    Ok(keys)
}

async fn last_use(iam: &dyn Iam, id: &AccessKeyId) -> LastUse {
    match iam.last_use(id).await {
        Ok(Some(last_use)) => LastUse::At(last_use),
        Ok(None) => LastUse::Never,
        Err(failure) => LastUse::Unknown(failure.to_string()),
    }
}

async fn present(
    sweep: &Sweep<'_>,
    groups: Option<&BTreeSet<String>>,
    user: &ListedUser,
    secret: &SecretDescription,
) -> Result<PresentSecret, Failure> {
    let drift = if let Some(groups) = groups {
        let policy = sweep.aws.secrets().policy(&secret.arn).await?;
        drift(secret, policy.as_deref(), &sweep.wanted, &user.arn, &reach(sweep, groups, user))
    } else {
        Vec::new()
    };
    Ok(without_drift(secret, drift))
}

/// The facts about a secret beside its drift.
pub(super) fn without_drift(secret: &SecretDescription, drift: Vec<crate::lifecycle::Drift>) -> PresentSecret {
    PresentSecret {
        arn: secret.arn.clone(),
        rotation_enabled: secret.rotation_enabled,
        current_version: secret.version_at(CURRENT),
        unfinished_version: secret.unfinished_version(),
        state: State::read(&secret.tags),
        drift,
    }
}

/// How the user comes to its secret. In the store's own account the resource policy alone is enough.
pub(super) fn reach(sweep: &Sweep<'_>, groups: &BTreeSet<String>, user: &ListedUser) -> Reach {
    let needed = user.arn.user().account != *sweep.aws.primary_account();
    match &sweep.wanted.reader_group {
        Some(group) if needed && has_group(groups, group) && !has_group(&user.groups, group) => Reach::JoinGroup,
        _ => Reach::Given,
    }
}
