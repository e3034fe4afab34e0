//! Notices → messages, and sent messages → who got each notice. Pure.
//!
//! A recipient gets at most two messages of a run: one with the urgent notices, so that its subject is about them
//! alone, and a digest of the rest. A dry run sends only the digest, because nothing happened that is urgent.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};

use super::addressed::Addressed;
use super::delivered::{Audience, Delivered, was_sent_to};
use super::delivery::{DeliveryOptions, MailFailure};
use super::message::{MAX_ROWS, sort};
use super::mode::Mode;
use super::phrases::{counted, one_line};
use super::recipients::{MAX_OWNERS, Recipients, mailbox};
use super::suppressed::Suppressed;
use super::tone::{Urgency, urgency};
use crate::aws::masked;
use crate::keys::{AccountId, EmailAddress, UserName};
use crate::lifecycle::{Notice, NoticeKind};

/// The longest part of an owner tag or an address that a report repeats, in characters.
const MAX_TAG_EXCERPT_LENGTH: usize = 100;

/// All messages of a run.
#[derive(Debug)]
pub(super) struct Dispatch<'a> {
    /// The urgent messages first, each group in the order of the addresses.
    pub(super) envelopes: Vec<Envelope<'a>>,
    /// Problems with addresses.
    pub(super) failures: Vec<MailFailure>,
    addressed: &'a [Addressed<'a>],
    states: Vec<DeliveryState>,
}

/// One message.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// The recipient.
    pub(super) to: EmailAddress,
    items: Vec<EnvelopeItem<'a>>,
}

/// One notice in an envelope.
#[derive(Debug)]
struct EnvelopeItem<'a> {
    position: usize,
    audiences: BTreeSet<Audience>,
    addressed: &'a Addressed<'a>,
}

/// The audiences of one notice, and the audiences that got it.
#[derive(Debug)]
struct DeliveryState {
    /// Whether a run of this mode, on this day, sends the notice at all.
    is_for_this_mode: bool,
    /// Whether the record says that everybody got it.
    was_sent_to_all: bool,
    /// All audiences that can be reached.
    audiences: Vec<Audience>,
    /// The audiences that got it.
    reached: BTreeSet<Audience>,
}

impl<'a> Dispatch<'a> {
    /// Finds the recipients of every notice, and makes their messages.
    ///
    /// The recipient of the settings stands in for an address to which SES delivers nothing. If SES delivers nothing to
    /// the recipient either, the notice stays due.
    pub(super) fn of(options: &DeliveryOptions<'_>, addressed: &'a [Addressed<'a>], suppressed: &Suppressed) -> Self {
        let stand_in = options.settings.recipient.as_ref();
        let mut envelopes: BTreeMap<(bool, String), Envelope<'a>> = BTreeMap::new();
        let mut problems = AddressProblems::default();
        let mut states = Vec::with_capacity(addressed.len());
        for (position, item) in addressed.iter().enumerate() {
            let recipients = Recipients::of(item.account, item.notice.owner.as_deref(), options.settings);
            let state = DeliveryState::of(options, item, &recipients);
            problems.add(item, &recipients, &state);
            for audience in state.missing() {
                let is_urgent = options.mode == Mode::Enforced && is_urgent_for(item.notice, &recipients, audience);
                // The caller holds back all other notices that are not urgent.
                if options.defers && options.mode == Mode::Enforced && item.notice.kind.is_urgent() && !is_urgent {
                    continue;
                }
                for address in recipients.addresses(audience) {
                    problems.add_suppressed(item, address, suppressed, stand_in);
                    let Some(address) = suppressed.replaced(address, stand_in) else { continue };
                    let envelope = envelopes
                        .entry((!is_urgent, mailbox(address)))
                        .or_insert_with(|| Envelope { to: address.clone(), items: Vec::new() });
                    envelope.add(position, audience, item);
                }
            }
            states.push(state);
        }
        let mut envelopes: Vec<Envelope<'a>> = envelopes.into_values().collect();
        for envelope in &mut envelopes {
            sort(&mut envelope.items, |item| item.addressed);
        }
        Self { envelopes, failures: problems.into_failures(), addressed, states }
    }

    /// Returns the mailboxes of the messages, and of the recipient who stands in for a suppressed address.
    pub(super) fn mailboxes(&self, stand_in: Option<&EmailAddress>) -> BTreeSet<String> {
        let stand_in = stand_in.filter(|_| !self.envelopes.is_empty());
        self.envelopes.iter().map(|envelope| &envelope.to).chain(stand_in).map(mailbox).collect()
    }

    /// Returns how many notices are still due by mail.
    pub(super) fn due_by_mail(&self) -> usize {
        let by_mail = |state: &&DeliveryState| {
            state.is_due() && (state.audiences.is_empty() || state.missing().any(|it| it != Audience::Topic))
        };
        self.states.iter().filter(by_mail).count()
    }

    /// Returns the notices that are still due on the topic, with their positions.
    pub(super) fn for_topic(&self) -> Vec<(usize, &'a Addressed<'a>)> {
        let is_for_topic = |state: &DeliveryState| state.missing().any(|audience| audience == Audience::Topic);
        let states = self.states.iter().enumerate().filter(|(_, state)| is_for_topic(state));
        states.map(|(position, _)| (position, &self.addressed[position])).collect()
    }

    /// Returns who got each notice. `was_sent` says which envelopes were sent, and `published` are the positions of
    /// the notices that the topic accepted.
    pub(super) fn result(mut self, was_sent: &[bool], published: &[usize]) -> Vec<Delivered> {
        for position in published {
            self.states[*position].reached.insert(Audience::Topic);
        }
        for (envelope, _) in self.envelopes.iter().zip(was_sent).filter(|(_, was_sent)| **was_sent) {
            // A notice that a message only counts stays due: the next run's message describes it.
            for item in envelope.items.iter().take(MAX_ROWS) {
                // Nobody knows whose address an unconfirmed one is, so the account counts as not having the notice.
                let is_known = |it: &&Audience| **it != Audience::Account || item.addressed.account.is_confirmed;
                self.states[item.position].reached.extend(item.audiences.iter().filter(is_known));
            }
        }
        self.states.into_iter().map(DeliveryState::result).collect()
    }
}

impl<'a> Envelope<'a> {
    /// Adds an audience of a notice. Notices are added one after the other, so a notice that is already here is the
    /// last.
    fn add(&mut self, position: usize, audience: Audience, addressed: &'a Addressed<'a>) {
        match self.items.last_mut().filter(|item| item.position == position) {
            Some(item) => {
                item.audiences.insert(audience);
            }
            None => self.items.push(EnvelopeItem { position, audiences: BTreeSet::from([audience]), addressed }),
        }
    }

    /// Returns the notices in the order of the message.
    pub(super) fn items(&self) -> Vec<&'a Addressed<'a>> {
        self.items.iter().map(|item| item.addressed).collect()
    }

    /// Returns the urgency of its most urgent notice, which is the first.
    pub(super) fn urgency(&self) -> Option<Urgency> {
        self.items.first().map(|entry| urgency(entry.addressed.notice))
    }

    /// Returns the accounts of the users that the message is about, if all of it is for owners.
    pub(super) fn accounts_of_owner(&self) -> Option<BTreeSet<&'a AccountId>> {
        let is_for_owner = |item: &EnvelopeItem<'_>| item.audiences.iter().all(|it| *it == Audience::Owner);
        let accounts = || self.items.iter().map(|item| &item.addressed.account.id).collect();
        self.items.iter().all(is_for_owner).then(accounts)
    }

    /// Returns a failure to send the message. It names the account and the user if all notices are about the same one.
    pub(super) fn failure(&self, reason: &str) -> MailFailure {
        let users: BTreeSet<_> = self.items.iter().map(|item| &item.addressed.notice.user).collect();
        let accounts: BTreeSet<_> = users.iter().map(|user| &user.account).collect();
        MailFailure {
            account: accounts.first().filter(|_| accounts.len() == 1).map(|account| (*account).clone()),
            user: users.first().filter(|_| users.len() == 1).map(|user| user.name.clone()),
            error: format!("{} not mailed: {reason}", counted(self.items.len(), "notice")),
        }
    }
}

impl DeliveryState {
    fn of(options: &DeliveryOptions<'_>, item: &Addressed<'_>, recipients: &Recipients) -> Self {
        let DeliveryOptions { mode, now, settings, .. } = options;
        let topic = settings.notices.topic_arn.as_ref().map(|_| Audience::Topic);
        // With a topic and without a sender, notices go to the topic alone.
        let by_mail = settings.sender.is_some() || topic.is_none();
        let mut audiences = if by_mail { recipients.audiences() } else { Vec::new() };
        audiences.extend(topic);
        let known = audiences.iter().copied();
        let kind = &item.notice.kind;
        Self {
            is_for_this_mode: match mode {
                Mode::DryRun => is_audit_day(*now, settings.notices.audit_every_days),
                Mode::Enforced => !kind.is_for_dry_run_only(),
            },
            was_sent_to_all: kind.was_sent(&item.notice.key, item.notified, settings.periods.repeat, *now),
            reached: known
                .filter(|audience| was_sent_to(item.notice, item.notified, *audience, settings.periods.repeat, *now))
                .collect(),
            audiences,
        }
    }

    fn is_sent_to_all(&self) -> bool {
        let is_reached = |audience| self.reached.contains(audience);
        self.was_sent_to_all || (!self.audiences.is_empty() && self.audiences.iter().all(is_reached))
    }

    fn is_due(&self) -> bool {
        self.is_for_this_mode && !self.is_sent_to_all()
    }

    fn missing(&self) -> impl Iterator<Item = Audience> {
        self.audiences.iter().copied().filter(|audience| self.is_due() && !self.reached.contains(audience))
    }

    fn result(self) -> Delivered {
        if self.is_sent_to_all() {
            Delivered::ToAll
        } else if self.reached.is_empty() {
            Delivered::ToNobody
        } else {
            Delivered::ToSome(self.reached.into_iter().collect())
        }
    }
}

/// Whether that audience gets the notice at once. The audience that installs a new key learns of it at once: the owner
/// or, if the user has none, the account. For others the rotations of a day are one list, because an account may have
/// hundreds. A rotation that deleted a key by force is news for all.
fn is_urgent_for(notice: &Notice, recipients: &Recipients, audience: Audience) -> bool {
    let is_for_installer = || {
        let installer = if recipients.owners.is_empty() { Audience::Account } else { Audience::Owner };
        let installers: BTreeSet<String> = recipients.addresses(installer).iter().map(mailbox).collect();
        recipients.addresses(audience).iter().all(|address| installers.contains(&mailbox(address)))
    };
    notice.kind.is_urgent() && (!matches!(notice.kind, NoticeKind::Rotated { forced: None, .. }) || is_for_installer())
}

/// Returns a part of a text that a person has to correct. The part before an `@` is masked, because it may be a name.
fn excerpt(text: &str) -> String {
    let line = one_line(text, MAX_TAG_EXCERPT_LENGTH);
    match line.rsplit_once('@') {
        Some((local, domain)) => format!("{}…@{domain}", local.chars().next().unwrap_or_default()),
        None => line,
    }
}

/// Whether a dry run sends mail on this day. A dry run records nothing, so the calendar limits its messages.
fn is_audit_day(now: DateTime<Utc>, every_days: i64) -> bool {
    (now.timestamp().div_euclid(86_400)) % every_days.max(1) == 0
}

impl SuppressedProblem {
    fn into_failure(self) -> MailFailure {
        let Self { shown, reason, has_stand_in, account, user } = self;
        let gets = if has_stand_in { "RECIPIENT_EMAIL gets its notices" } else { "nobody gets its notices" };
        MailFailure {
            error: format!(
                "SES delivers nothing to {shown}, which is on its suppression list ({reason}); \
                 {gets}. Correct the owner tag or the account's address or, if the mailbox works again, remove it from \
                 the list with `aws sesv2 delete-suppressed-destination`"
            ),
            account: Some(account),
            user: Some(user),
        }
    }
}

/// Problems with addresses, each reported once.
#[derive(Default)]
struct AddressProblems {
    malformed_accounts: BTreeMap<AccountId, String>,
    owners: BTreeSet<(AccountId, UserName, OwnerProblem)>,
    unreachable: BTreeMap<AccountId, usize>,
    /// By mailbox.
    suppressed: BTreeMap<String, SuppressedProblem>,
}

/// Why an owner tag, or an address in it, gets nobody mail.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OwnerProblem {
    Malformed(String),
    Outside(String),
    TooMany,
}

impl fmt::Display for OwnerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(part) => {
                write!(f, "holds `{part}`, which is not an e-mail address; separate addresses by spaces")
            }
            Self::Outside(address) => write!(
                f,
                "names {address}, who gets no mail, because that domain is not in OWNER_DOMAINS; correct the tag, or \
                 add the domain to the setting"
            ),
            Self::TooMany => write!(
                f,
                "has more than {MAX_OWNERS} addresses, and only the first {MAX_OWNERS} get mail; name a mailing list"
            ),
        }
    }
}

/// An address to which SES delivers nothing, and the first notice for it.
struct SuppressedProblem {
    shown: String,
    reason: String,
    has_stand_in: bool,
    account: AccountId,
    user: UserName,
}

impl AddressProblems {
    /// A problem of a tag is reported as long as there is a notice about its user, sent or not.
    fn add(&mut self, item: &Addressed<'_>, recipients: &Recipients, state: &DeliveryState) {
        if !state.is_for_this_mode {
            return;
        }
        let user = &item.notice.user;
        if let Some(malformed) = &item.account.malformed_email {
            let excerpt = excerpt(malformed);
            self.malformed_accounts.insert(item.account.id.clone(), excerpt);
        }
        for part in &recipients.malformed {
            let problem = OwnerProblem::Malformed(excerpt(part));
            self.owners.insert((user.account.clone(), user.name.clone(), problem));
        }
        for address in &recipients.outside {
            let problem = OwnerProblem::Outside(masked(address));
            self.owners.insert((user.account.clone(), user.name.clone(), problem));
        }
        if recipients.has_too_many {
            self.owners.insert((user.account.clone(), user.name.clone(), OwnerProblem::TooMany));
        }
        if state.is_due() && state.audiences.is_empty() {
            *self.unreachable.entry(user.account.clone()).or_default() += 1;
        }
    }

    fn add_suppressed(
        &mut self,
        item: &Addressed<'_>,
        address: &EmailAddress,
        suppressed: &Suppressed,
        stand_in: Option<&EmailAddress>,
    ) {
        let Some(reason) = suppressed.reason(address) else { return };
        self.suppressed.entry(mailbox(address)).or_insert_with(|| SuppressedProblem {
            shown: masked(address),
            reason: reason.to_owned(),
            has_stand_in: suppressed.replaced(address, stand_in).is_some(),
            account: item.notice.user.account.clone(),
            user: item.notice.user.name.clone(),
        });
    }

    fn into_failures(self) -> Vec<MailFailure> {
        let owners = self.owners.into_iter().map(|(account, user, problem)| MailFailure {
            error: format!("the owner tag of user `{user}` in account {account} {problem}"),
            account: Some(account),
            user: Some(user),
        });
        let unreachable = self.unreachable.into_iter().map(|(account, count)| MailFailure {
            error: format!(
                "{} of account {account} not mailed: neither the account nor an owner tag has an address; \
                 set RECIPIENT_EMAIL",
                counted(count, "notice")
            ),
            account: Some(account),
            user: None,
        });
        let malformed_accounts = self.malformed_accounts.into_iter().map(|(account, text)| MailFailure {
            error: format!(
                "the address of account {account} in the organization is `{text}`, which is not an e-mail address; \
                 RECIPIENT_EMAIL gets its notices; correct the address with `aws account start-primary-email-update`"
            ),
            account: Some(account),
            user: None,
        });
        let suppressed = self.suppressed.into_values().map(SuppressedProblem::into_failure);
        malformed_accounts.chain(owners).chain(unreachable).chain(suppressed).collect()
    }
}

#[cfg(test)]
mod tests;
