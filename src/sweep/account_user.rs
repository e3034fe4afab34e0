//! A user as the lists of an account show it.

use super::run::Run;
use crate::aws::{CallFailure, Iam, ListedUser, has_group};
use crate::keys::{MAX_GROUPS_PER_USER, UserArn, UserName};
use crate::lifecycle::{Exemption, KeyFacts, ReadObstacle, SecretFacts, UserFacts};

/// A listed user, reduced to what keywheel needs: an account may have thousands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccountUser {
    pub(super) arn: UserArn,
    /// `AIDA…`
    pub(super) id: String,
    /// The value of the tag that names the owner.
    pub(super) owner: Option<String>,
    pub(super) exemption: Exemption,
    /// Whether the user is in the group through which users read their secrets.
    pub(super) is_reader: bool,
    /// Whether IAM allows the user another group.
    pub(super) can_join_group: bool,
}

impl AccountUser {
    pub(super) fn of(run: &Run<'_>, listed: ListedUser) -> Self {
        let is_exempt = has_group(&listed.groups, &run.settings.exemption_group);
        let readers = run.wanted.reader_group.as_ref();
        Self {
            owner: owner(run, &listed),
            exemption: if is_exempt { Exemption::Exempt } else { Exemption::NotExempt },
            can_join_group: listed.groups.len() < MAX_GROUPS_PER_USER,
            is_reader: readers.is_some_and(|group| has_group(&listed.groups, group)),
            arn: listed.arn,
            id: listed.id,
        }
    }

    /// Reads one user and its groups; `None` if the user does not exist.
    ///
    /// # Errors
    /// The failure to read the user. Groups that cannot be read make the exemption unknown, which is not "not exempt".
    pub(super) async fn find(run: &Run<'_>, iam: &dyn Iam, name: &UserName) -> Result<Option<Self>, CallFailure> {
        let Some(mut found) = iam.find_user(name).await? else { return Ok(None) };
        let memberships = iam.groups_of(name).await;
        let unknown = memberships.as_ref().err().map(ToString::to_string);
        found.groups = memberships.unwrap_or_default();
        let mut user = Self::of(run, found);
        if let Some(why) = unknown {
            user.exemption = Exemption::Unknown(why);
        }
        Ok(Some(user))
    }

    pub(super) fn name(&self) -> &UserName {
        &self.arn.user().name
    }

    /// The facts about this user with those keys and that secret, and why the user cannot read the secret.
    pub(super) fn facts(
        &self,
        keys: Vec<KeyFacts>,
        secret: SecretFacts,
        unreadable: Option<ReadObstacle>,
    ) -> UserFacts {
        let Self { arn, id, owner, exemption, is_reader: _, can_join_group: _ } = self.clone();
        UserFacts { arn, id, owner, exemption, keys, secret, unreadable }
    }
}

/// The value of the tag that names the owner.
pub(super) fn owner(run: &Run<'_>, listed: &ListedUser) -> Option<String> {
    run.settings.owner_tag.as_ref().and_then(|tag| listed.tag(tag)).map(str::to_owned)
}
