//! The facts about one user: the input of a plan, and the questions that decisions ask about it.

use chrono::{DateTime, TimeDelta, Utc};

use super::named_key::NamedKey;
use crate::keys::{AccessKeyId, KeyStatus, LastUse, UserArn, UserRef, VersionId};
use crate::state::{FailureCause, State, WHOLE_SECOND};

/// Limits the time after a rotation in which **a plan** waits for the new key to be listed. Afterwards, a key that IAM
/// does not list counts as deleted.
///
/// IAM is eventually consistent, and AWS documents no bound for the delay. An hour covers minutes of delay, and clocks
/// that differ: the rotation function writes the time of the rotation, and the sweeper compares it with its own time.
/// Waiting costs little, because the next run plans again. A rotation has a limit of its own, in `rotation::room`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_general.html#troubleshoot_general_eventual-consistency>
pub(super) const PLAN_TRUSTS_KEY_LIST_AFTER: TimeDelta = TimeDelta::hours(1);

/// One user, as observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFacts {
    /// The user's ARN, path included.
    pub arn: UserArn,
    /// The user's unique id, `AIDA…`.
    pub id: String,
    /// The value of the tag that names the owner; `None` if the user lacks the tag or the settings name none.
    pub owner: Option<String>,
    /// Whether the user must be left alone.
    pub exemption: Exemption,
    /// The user's keys, oldest first.
    pub keys: Vec<KeyFacts>,
    /// The user's secret.
    pub secret: SecretFacts,
    /// Why the user cannot read the secret that it has or would get; `None` if nothing is known against it.
    pub unreadable: Option<ReadObstacle>,
}

impl UserFacts {
    /// The user's account and name.
    pub fn user(&self) -> &UserRef {
        self.arn.user()
    }

    pub(super) fn key(&self, id: &AccessKeyId) -> Option<&KeyFacts> {
        self.keys.iter().find(|key| key.id == *id)
    }

    pub(super) fn key_beside(&self, id: &AccessKeyId) -> Option<&KeyFacts> {
        self.keys.iter().find(|key| key.id != *id)
    }

    pub(super) fn newest_active_key(&self) -> Option<&KeyFacts> {
        self.keys.iter().rfind(|key| key.is_active())
    }

    /// The key that an adopted secret is taken to hold: the newest active key, because the predecessor puts each new
    /// key into the secret. A key that an unfinished rotation has announced is in no secret yet.
    pub(super) fn key_to_adopt(&self) -> Option<&KeyFacts> {
        let announced = self.announced_candidates();
        let newest = self.keys.iter().rfind(|key| key.is_active() && !announced.contains(&&key.id));
        newest.or_else(|| self.newest_active_key())
    }

    /// Returns the facts as they are once the tag `keywheel:managed` is set again; `None` unless a person removed that
    /// tag alone: the other tags describe the current version.
    pub(super) fn with_mark(&self) -> Option<Self> {
        let secret = self.secret.present()?;
        let state = &secret.state;
        if state.managed || !state.malformed.is_empty() || !secret.facts_are_fresh() {
            return None;
        }
        let secret = PresentSecret { state: State { managed: true, ..state.clone() }, ..secret.clone() };
        Some(Self { secret: SecretFacts::Present(secret), ..self.clone() })
    }

    /// The facts in the tags of a secret of keywheel's. The tags of any other secret prove nothing.
    pub(super) fn state(&self) -> Option<&State> {
        self.secret.present().map(|secret| &secret.state).filter(|state| state.managed)
    }

    /// The key in the secret, if keywheel made and tested it and the user still has it.
    pub(super) fn tested_key(&self) -> Option<&KeyFacts> {
        let secret = self.secret.present()?;
        self.keys.iter().find(|key| secret.is_tested(&key.id, key.created))
    }

    /// The key whose age decides when the next rotation is due: the tested key in the secret if it is active. Otherwise
    /// the oldest active key, because nothing shows which key is in use. A key that a rotation has not finished with
    /// never counts.
    pub(super) fn reference_key(&self) -> Option<&KeyFacts> {
        let in_flight = self.key_in_flight().map(|key| &key.id);
        let mut active = self.keys.iter().filter(|key| key.is_active() && Some(&key.id) != in_flight);
        self.tested_key().filter(|key| key.is_active()).or_else(|| active.next())
    }

    /// A key that a rotation has made and not finished with, or left behind. It belongs to the rotation function, which
    /// recognizes it by the same rule and frees its slot.
    pub(super) fn key_in_flight(&self) -> Option<&KeyFacts> {
        // With two candidates, one is a person's, and nothing shows which.
        let [candidate] = self.announced_candidates()[..] else { return None };
        let key = self.key(candidate)?;
        let is_ours = match &key.last_use {
            LastUse::Never => true,
            // The key of a rotation is used by its own test. The rotation that frees its slot needs proof from the
            // announced version, and refuses without it.
            LastUse::At(last_use) => last_use.can_be_the_test(),
            // The rotation may still be at work with it, so the key is left alone.
            LastUse::Unknown(_) | LastUse::NotAsked => self.is_rotation_under_way(),
        };
        is_ours.then_some(key)
    }

    /// The keys that a rotation may have announced and not finished with. The clock of this host does not matter: IAM
    /// dates both the keys and the intent. A person may have removed the tag `keywheel:managed`; the intent counts all
    /// the same.
    pub(super) fn announced_candidates(&self) -> Vec<&AccessKeyId> {
        let Some(secret) = self.secret.present() else { return Vec::new() };
        let state = &secret.state;
        let Some(intent) = state.unsettled_intent(secret.current_version.as_ref()) else { return Vec::new() };
        let known: Vec<&AccessKeyId> = state.current_key.iter().chain(&state.previous_key).collect();
        intent.candidates(self.keys_with_dates(), &known)
    }

    /// Whether the version that the intent names is still the pending one.
    pub(super) fn is_rotation_under_way(&self) -> bool {
        let Some(secret) = self.secret.present() else { return false };
        let announced = secret.state.intent.as_ref().map(|intent| &intent.version);
        announced.is_some() && announced == secret.unfinished_version.as_ref()
    }

    /// Whether the user was deleted and made again, so that the secret holds a key of the user before. The policy's
    /// reader is recorded anew once a rotation has ended that.
    pub fn is_made_again(&self, now: DateTime<Utc>) -> bool {
        let Some(state) = self.state() else { return false };
        let is_another = state.reader.as_ref().is_some_and(|reader| reader.id != self.id);
        let is_dead = |current: &AccessKeyId| self.key(current).is_none();
        let was_tested = self.secret.present().and_then(PresentSecret::tested_key).is_some();
        is_another
            && was_tested
            && state.current_key.as_ref().is_some_and(is_dead)
            && self.current_key_is_listed_by(now).is_none()
    }

    pub(super) fn keys_with_dates(&self) -> impl Iterator<Item = (&AccessKeyId, DateTime<Utc>)> {
        self.keys.iter().map(|key| (&key.id, key.created))
    }

    /// The time from which the list of keys proves that the user lacks its current key; `None` if the key is listed, or
    /// if that time is over.
    pub(super) fn current_key_is_listed_by(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let state = self.state().filter(|_| self.secret.present().is_some_and(PresentSecret::facts_are_fresh))?;
        state.current_key.as_ref().filter(|current| self.key(current).is_none())?;
        state.rotated_at.map(|rotated_at| rotated_at + PLAN_TRUSTS_KEY_LIST_AFTER).filter(|listed_by| now < *listed_by)
    }
}

/// Why a user cannot read its own secret, as far as the lists of an account show it. Only users of other accounts than
/// the store's are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadObstacle {
    /// The secret does not name its KMS key by the ARN of a customer managed key. No other form works across accounts.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/auth-and-access_examples_cross.html>
    ManagedKey,
    /// The user is not in the reader group, and IAM allows it no further group.
    NoRoomInGroups,
}

impl ReadObstacle {
    /// Returns the mistake and its remedy, for a report.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::ManagedKey => {
                "SECRETS_KMS_KEY_ID is not the ARN of a customer managed key, and other accounts cannot read a secret \
                 under any other key; set it to such an ARN. Until then no key of this user is rotated, disabled or \
                 deleted"
            }
            Self::NoRoomInGroups => {
                "the user cannot read its secret: it is not in READER_GROUP, and it is in ten groups, as many as IAM \
                 allows; take it out of one of them, and the next sweep adds it. Until then no key of this user is \
                 rotated, disabled or deleted"
            }
        }
    }
}

/// Whether a user must be left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exemption {
    /// A member of the exemption group.
    Exempt,
    /// Not a member.
    NotExempt,
    /// The membership could not be read, with the reason: nothing is made or destroyed.
    Unknown(String),
}

/// One access key, as IAM lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFacts {
    /// `AKIA…`.
    pub id: AccessKeyId,
    /// Whether requests can be signed with it.
    pub status: KeyStatus,
    /// By IAM's clock, in whole seconds.
    pub created: DateTime<Utc>,
    /// The last use on record, or why it is not known.
    pub last_use: LastUse,
}

impl KeyFacts {
    /// Whether requests can be signed with the key.
    pub fn is_active(&self) -> bool {
        self.status == KeyStatus::Active
    }

    /// The key as a notice names it.
    pub(super) fn named(&self) -> NamedKey {
        NamedKey { id: self.id.clone(), status: self.status.clone(), created: self.created }
    }
}

/// The user's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every user has a secret that is present")]
pub enum SecretFacts {
    /// The user has no secret.
    Missing,
    /// The secret is scheduled for deletion and can be restored.
    PendingDeletion,
    /// The secret can be read and changed.
    Present(PresentSecret),
}

impl SecretFacts {
    /// The secret; `None` if it is missing or scheduled for deletion.
    pub fn present(&self) -> Option<&PresentSecret> {
        match self {
            Self::Present(secret) => Some(secret),
            Self::Missing | Self::PendingDeletion => None,
        }
    }
}

/// A secret that can be read and changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentSecret {
    /// With the six random characters at its end.
    pub arn: String,
    /// Whether the native schedule runs.
    pub rotation_enabled: bool,
    /// The latest time of the schedule's next rotation; in the past after a failure. `None` if none is planned.
    pub next_rotation: Option<DateTime<Utc>>,
    /// The version with the label AWSCURRENT, which readers get.
    pub current_version: Option<VersionId>,
    /// The version with the label AWSPENDING, which a rotation prepares or left behind.
    pub unfinished_version: Option<VersionId>,
    /// When Secrets Manager registered that version, which is when its rotation began; `None` if there is no such
    /// version, or if that is not known.
    pub unfinished_since: Option<DateTime<Utc>>,
    /// The other Regions with a replica of the secret, if they were read.
    pub replicas: Vec<String>,
    /// The Region of the primary secret, if this secret is its replica.
    pub replica_of: Option<String>,
    /// The facts in its tags.
    pub state: State,
    /// The parts that differ from the settings.
    pub drift: Vec<Drift>,
}

impl PresentSecret {
    /// Whether the tags describe the version that readers get.
    pub fn facts_are_fresh(&self) -> bool {
        self.state.version.is_some() && self.state.version == self.current_version
    }

    /// The key for which the schedule is off on purpose; `None` if the schedule is on, or off for another reason.
    pub fn schedule_off_for(&self) -> Option<&AccessKeyId> {
        self.state.schedule_off.as_ref().filter(|_| !self.rotation_enabled)
    }

    /// The key that keywheel made, tested and put into the current version, with the time at which that version became
    /// the current one. Whether the user still has the key is another question.
    ///
    /// During a rotation, the tags name the key that the rotation found on the user as the current key, beside the time
    /// of the rotation before. That key is the replaced one or younger than that time, so it does not count as tested.
    pub fn tested_key(&self) -> Option<(&AccessKeyId, DateTime<Utc>)> {
        let state = Some(&self.state).filter(|state| state.managed && self.facts_are_fresh())?;
        let current = state.current_key.as_ref().filter(|current| state.previous_key.as_ref() != Some(*current))?;
        Some((current, state.rotated_at?))
    }

    /// Whether the last rotation failed because the resource policy was not keywheel's.
    pub fn policy_was_refused(&self) -> bool {
        self.state.failed.as_ref().is_some_and(|failed| failed.cause == FailureCause::ForeignPolicy)
    }

    /// Whether the key with this id and creation date is the tested key.
    pub fn is_tested(&self, id: &AccessKeyId, created: DateTime<Utc>) -> bool {
        // The tag's time lost its fraction of a second, so it may be that much before the key's date.
        self.tested_key().is_some_and(|(key, rotated_at)| key == id && created < rotated_at + WHOLE_SECOND)
    }
}

/// A part of a secret that differs from the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// The secret is encrypted with another KMS key.
    KmsKey,
    /// The resource policy is missing, names another user, or names a user that was deleted.
    Policy,
    /// The rotation schedule is off, or has another period or another function.
    Schedule,
    /// A tag of `SECRET_TAGS` is missing or has another value.
    Tags,
    /// The user is not in the group that lets it read its secret from another account.
    ReaderGroup,
}

/// Why a schedule is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// The user joined the exemption group.
    Exempt,
    /// The user has no active key.
    NoActiveKey,
    /// The user was deleted.
    UserGone,
    /// The user cannot read its secret, so a new key would be of no use to it.
    Unreadable(ReadObstacle),
    /// The user has another name now, and another secret.
    UserRenamed,
    /// The account is closed or has left the organization.
    AccountDeparted,
}

impl std::fmt::Display for CancelReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exempt => "the user is exempt",
            Self::NoActiveKey => "the user has no active key",
            Self::UserGone => "the user was deleted",
            Self::Unreadable(_) => "the user cannot read its secret",
            Self::UserRenamed => "the user was renamed",
            Self::AccountDeparted => "the account is closed or has left the organization",
        })
    }
}
