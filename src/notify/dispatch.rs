//! Notices → one message per recipient, and back: what was sent → who was told. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{MAX_ROWS, sort};
use super::phrases::{counted, one_line};
use super::recipients::{Recipients, mailbox};
use super::{Addressed, Audience, MailFailure, Mode, Told, is_due, marks};
use crate::keys::{AccountId, EmailAddress};

/// Longest part of an owner tag that a report repeats, in characters.
const MAX_TAG_EXCERPT_LENGTH: usize = 100;

/// All messages of a run.
#[derive(Debug)]
pub(super) struct Dispatch<'a> {
    /// One per recipient, in the order of their addresses.
    pub(super) envelopes: Vec<Envelope<'a>>,
    /// What cannot be sent to anybody.
    pub(super) failures: Vec<MailFailure>,
    standings: Vec<Standing>,
}

/// What goes to one recipient.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    /// Who gets it.
    pub(super) to: EmailAddress,
    entries: Vec<Entry<'a>>,
}

/// One notice in an envelope.
#[derive(Debug)]
struct Entry<'a> {
    position: usize,
    audiences: BTreeSet<Audience>,
    addressed: &'a Addressed<'a>,
}

/// Where one notice stands.
#[derive(Debug)]
struct Standing {
    was_told_fully: bool,
    /// Everybody there is to tell.
    audiences: Vec<Audience>,
    told: BTreeSet<Audience>,
}

impl<'a> Dispatch<'a> {
    /// Finds who is to be told what. `fallback` gets the notices of accounts that have no address.
    pub(super) fn of(mode: Mode, addressed: &'a [Addressed<'a>], fallback: Option<&EmailAddress>) -> Self {
        let mut envelopes: BTreeMap<String, Envelope<'a>> = BTreeMap::new();
        let mut refused = Refused::default();
        let mut standings = Vec::with_capacity(addressed.len());
        for (position, item) in addressed.iter().enumerate() {
            let recipients = Recipients::of(item.account, item.notice.owner.as_deref(), fallback);
            let standing = Standing::of(mode, item, &recipients);
            if standing.is_open(mode, item) {
                refused.add(item, &recipients);
                for audience in standing.untold() {
                    for address in recipients.addresses(audience) {
                        let envelope = envelopes.entry(mailbox(address)).or_insert_with(|| Envelope::to(address));
                        envelope.add(position, audience, item);
                    }
                }
            }
            standings.push(standing);
        }
        let mut envelopes: Vec<Envelope<'a>> = envelopes.into_values().collect();
        for envelope in &mut envelopes {
            sort(&mut envelope.entries, |entry| entry.addressed);
        }
        Self { envelopes, failures: refused.into_failures(), standings }
    }

    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.envelopes.is_empty() && self.failures.is_empty()
    }

    /// Who was told of each notice, once it is known which envelopes were sent.
    pub(super) fn settle(mut self, was_sent: &[bool]) -> Vec<Told> {
        for (envelope, _) in self.envelopes.iter().zip(was_sent).filter(|(_, was_sent)| **was_sent) {
            // What a message only counts was not told: the next run's message describes it.
            for entry in envelope.entries.iter().take(MAX_ROWS) {
                self.standings[entry.position].told.extend(&entry.audiences);
            }
        }
        self.standings.into_iter().map(Standing::outcome).collect()
    }
}

impl<'a> Envelope<'a> {
    fn to(address: &EmailAddress) -> Self {
        Self { to: address.clone(), entries: Vec::new() }
    }

    /// Notices come one after the other, so one that is here already is the last.
    fn add(&mut self, position: usize, audience: Audience, addressed: &'a Addressed<'a>) {
        match self.entries.last_mut().filter(|entry| entry.position == position) {
            Some(entry) => {
                entry.audiences.insert(audience);
            }
            None => self.entries.push(Entry { position, audiences: BTreeSet::from([audience]), addressed }),
        }
    }

    /// The notices, in the order of the message.
    pub(super) fn items(&self) -> Vec<&'a Addressed<'a>> {
        self.entries.iter().map(|entry| entry.addressed).collect()
    }

    /// A failure to send it, under the account and the user if all of it is about one.
    pub(super) fn failure(&self, reason: &str) -> MailFailure {
        let users: BTreeSet<_> = self.entries.iter().map(|entry| &entry.addressed.notice.user).collect();
        let accounts: BTreeSet<_> = users.iter().map(|user| &user.account).collect();
        MailFailure {
            account: accounts.first().filter(|_| accounts.len() == 1).map(|account| (*account).clone()),
            user: users.first().filter(|_| users.len() == 1).map(|user| user.name.clone()),
            error: format!("{} not mailed: {reason}", counted(self.entries.len(), "notice")),
        }
    }
}

impl Standing {
    fn of(mode: Mode, item: &Addressed<'_>, recipients: &Recipients) -> Self {
        let audiences = recipients.audiences();
        let told = audiences.iter().copied();
        Self {
            was_told_fully: !is_due(item.notice, item.notified),
            told: told.filter(|audience| marks::was_told(item.notice, item.notified, *audience)).collect(),
            audiences: if is_told_in(mode, item) { audiences } else { Vec::new() },
        }
    }

    fn is_open(&self, mode: Mode, item: &Addressed<'_>) -> bool {
        !self.was_told_fully && is_told_in(mode, item)
    }

    fn untold(&self) -> impl Iterator<Item = Audience> {
        self.audiences.iter().copied().filter(|audience| !self.told.contains(audience))
    }

    fn outcome(self) -> Told {
        let is_told_to_all = !self.audiences.is_empty() && self.untold().next().is_none();
        if self.was_told_fully || is_told_to_all {
            Told::Fully
        } else if self.told.is_empty() {
            Told::Not
        } else {
            Told::Partly(self.told.into_iter().collect())
        }
    }
}

fn is_told_in(mode: Mode, item: &Addressed<'_>) -> bool {
    mode == Mode::DryRun || !item.notice.kind.is_for_dry_run_only()
}

/// What nobody can be told, each thing reported once.
#[derive(Default)]
struct Refused {
    malformed: BTreeSet<(AccountId, crate::keys::UserName, String)>,
    unreachable: BTreeMap<AccountId, usize>,
}

impl Refused {
    fn add(&mut self, item: &Addressed<'_>, recipients: &Recipients) {
        let user = &item.notice.user;
        for part in &recipients.malformed {
            let excerpt = one_line(part, MAX_TAG_EXCERPT_LENGTH);
            self.malformed.insert((user.account.clone(), user.name.clone(), excerpt));
        }
        if recipients.audiences().is_empty() {
            *self.unreachable.entry(user.account.clone()).or_default() += 1;
        }
    }

    fn into_failures(self) -> Vec<MailFailure> {
        let malformed = self.malformed.into_iter().map(|(account, user, part)| MailFailure {
            error: format!(
                "the owner tag of user `{user}` in account {account} holds `{part}`, which is no e-mail address; \
                 separate several addresses by spaces"
            ),
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
        malformed.chain(unreachable).collect()
    }
}
