//! Notices → messages, and back: what was sent → who was told. Pure.
//!
//! One recipient gets at most two messages of a run: one of what is urgent, whose subject is not lost among other
//! things, and one digest of the rest. Of a dry run, in which nothing happened, there is the digest alone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::message::{MAX_ROWS, sort};
use super::phrases::{counted, one_line};
use super::recipients::{Recipients, mailbox};
use super::words::{Urgency, urgency};
use super::{Addressed, Audience, MailFailure, Mode, Telling, Told, marks};
use crate::keys::{AccountId, EmailAddress, UserName};

/// Longest part of an owner tag or an address that a report repeats, in characters.
const MAX_TAG_EXCERPT_LENGTH: usize = 100;

/// All messages of a run.
#[derive(Debug)]
pub(super) struct Dispatch<'a> {
    /// What is urgent first, and in the order of the addresses.
    pub(super) envelopes: Vec<Envelope<'a>>,
    /// What cannot be sent to anybody.
    pub(super) failures: Vec<MailFailure>,
    addressed: &'a [Addressed<'a>],
    standings: Vec<Standing>,
}

/// One message.
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
    /// Whether runs of this mode tell it at all.
    is_for_this_mode: bool,
    was_told_fully: bool,
    /// Everybody there is to tell.
    audiences: Vec<Audience>,
    told: BTreeSet<Audience>,
}

impl<'a> Dispatch<'a> {
    /// Finds who is to be told what.
    pub(super) fn of(telling: &Telling<'_>, addressed: &'a [Addressed<'a>]) -> Self {
        let mut envelopes: BTreeMap<(bool, String), Envelope<'a>> = BTreeMap::new();
        let mut refused = Refused::default();
        let mut standings = Vec::with_capacity(addressed.len());
        for (position, item) in addressed.iter().enumerate() {
            let recipients = Recipients::of(item.account, item.notice.owner.as_deref(), telling.settings);
            let standing = Standing::of(telling, item, &recipients);
            refused.add(item, &recipients, &standing);
            let is_urgent = telling.mode == Mode::Enforced && item.notice.kind.is_urgent();
            for audience in standing.untold() {
                for address in recipients.addresses(audience) {
                    let envelope = envelopes
                        .entry((!is_urgent, mailbox(address)))
                        .or_insert_with(|| Envelope { to: address.clone(), entries: Vec::new() });
                    envelope.add(position, audience, item);
                }
            }
            standings.push(standing);
        }
        let mut envelopes: Vec<Envelope<'a>> = envelopes.into_values().collect();
        for envelope in &mut envelopes {
            sort(&mut envelope.entries, |entry| entry.addressed);
        }
        Self { envelopes, failures: refused.into_failures(), addressed, standings }
    }

    /// How many notices somebody is still to be told of by mail.
    pub(super) fn due_by_mail(&self) -> usize {
        let by_mail = |standing: &&Standing| {
            standing.is_due() && (standing.audiences.is_empty() || standing.untold().any(|it| it != Audience::Topic))
        };
        self.standings.iter().filter(by_mail).count()
    }

    /// The notices that the topic is still to get, by their positions.
    pub(super) fn for_topic(&self) -> Vec<(usize, &'a Addressed<'a>)> {
        let is_for_topic = |standing: &Standing| standing.untold().any(|audience| audience == Audience::Topic);
        let standings = self.standings.iter().enumerate().filter(|(_, standing)| is_for_topic(standing));
        standings.map(|(position, _)| (position, &self.addressed[position])).collect()
    }

    /// Who was told of each notice, once it is known which envelopes were sent, and the notices at which positions the
    /// topic took.
    pub(super) fn settle(mut self, was_sent: &[bool], was_published: &[usize]) -> Vec<Told> {
        for position in was_published {
            self.standings[*position].told.insert(Audience::Topic);
        }
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

    /// Where it stands among the messages of a run: as its most urgent notice, which is the first.
    pub(super) fn urgency(&self) -> Option<Urgency> {
        self.entries.first().map(|entry| urgency(entry.addressed.notice))
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
    fn of(telling: &Telling<'_>, item: &Addressed<'_>, recipients: &Recipients) -> Self {
        let Telling { mode, now, settings, .. } = telling;
        let topic = settings.notices.topic_arn.as_ref().map(|_| Audience::Topic);
        // With a topic and without a sender, the topic alone is how people are told.
        let by_mail = settings.sender.is_some() || topic.is_none();
        let mut audiences = if by_mail { recipients.audiences() } else { Vec::new() };
        audiences.extend(topic);
        let told = audiences.iter().copied();
        let kind = &item.notice.kind;
        Self {
            is_for_this_mode: match mode {
                Mode::DryRun => is_audit_day(*now, settings.notices.audit_every_days),
                Mode::Enforced => !kind.is_for_dry_run_only(),
            },
            was_told_fully: kind.is_told(&item.notice.key, item.notified, settings.periods.repeat, *now),
            told: told
                .filter(|audience| {
                    marks::was_told(item.notice, item.notified, *audience, settings.periods.repeat, *now)
                })
                .collect(),
            audiences,
        }
    }

    fn is_told_to_all(&self) -> bool {
        let is_told = |audience| self.told.contains(audience);
        self.was_told_fully || (!self.audiences.is_empty() && self.audiences.iter().all(is_told))
    }

    fn is_due(&self) -> bool {
        self.is_for_this_mode && !self.is_told_to_all()
    }

    fn untold(&self) -> impl Iterator<Item = Audience> {
        self.audiences.iter().copied().filter(|audience| self.is_due() && !self.told.contains(audience))
    }

    fn outcome(self) -> Told {
        if self.is_told_to_all() {
            Told::Fully
        } else if self.told.is_empty() {
            Told::Not
        } else {
            Told::Partly(self.told.into_iter().collect())
        }
    }
}

/// A part of a text that is to be corrected, without what may be somebody's name before an `@`.
fn excerpt(text: &str) -> String {
    let line = one_line(text, MAX_TAG_EXCERPT_LENGTH);
    match line.rsplit_once('@') {
        Some((local, domain)) => format!("{}…@{domain}", local.chars().next().unwrap_or_default()),
        None => line,
    }
}

/// A dry run writes nothing down, so that its messages repeat by the calendar.
fn is_audit_day(now: DateTime<Utc>, every_days: i64) -> bool {
    (now.timestamp().div_euclid(86_400)) % every_days.max(1) == 0
}

/// What nobody can be told, each thing reported once.
#[derive(Default)]
struct Refused {
    malformed_accounts: BTreeMap<AccountId, String>,
    malformed: BTreeSet<(AccountId, UserName, String)>,
    unreachable: BTreeMap<AccountId, usize>,
}

impl Refused {
    /// A malformed tag is reported for as long as there is something about its user, told or not.
    fn add(&mut self, item: &Addressed<'_>, recipients: &Recipients, standing: &Standing) {
        if !standing.is_for_this_mode {
            return;
        }
        let user = &item.notice.user;
        if let Some(malformed) = &item.account.malformed_email {
            let excerpt = excerpt(malformed);
            self.malformed_accounts.insert(item.account.id.clone(), excerpt);
        }
        for part in &recipients.malformed {
            let excerpt = excerpt(part);
            self.malformed.insert((user.account.clone(), user.name.clone(), excerpt));
        }
        if standing.is_due() && standing.audiences.is_empty() {
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
        let malformed_accounts = self.malformed_accounts.into_iter().map(|(account, text)| MailFailure {
            error: format!(
                "the address of account {account} in the organization is `{text}`, which is no e-mail address: RECIPIENT_EMAIL \
                 is told in its place; correct the address with `aws account start-primary-email-update`"
            ),
            account: Some(account),
            user: None,
        });
        malformed_accounts.chain(malformed).chain(unreachable).collect()
    }
}

#[cfg(test)]
mod tests;
