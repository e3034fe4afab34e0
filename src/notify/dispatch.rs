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

    /// How many notices somebody is still to be told of.
    pub(super) fn due(&self) -> usize {
        self.standings.iter().filter(|standing| standing.is_due()).count()
    }

    /// How many of them by mail.
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
            told: told.filter(|audience| marks::was_told(item.notice, item.notified, *audience)).collect(),
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
            let excerpt = one_line(malformed, MAX_TAG_EXCERPT_LENGTH);
            self.malformed_accounts.insert(item.account.id.clone(), excerpt);
        }
        for part in &recipients.malformed {
            let excerpt = one_line(part, MAX_TAG_EXCERPT_LENGTH);
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
mod tests {
    use super::*;
    use crate::lifecycle::{Notice, NoticeKind};
    use crate::notify::fixtures::{contact, key, notice, now, rotation_ahead, settings, time, user};
    use crate::notify::{AccountContact, Scope, remember};
    use crate::settings::Settings;
    use crate::state::Notified;

    fn owned(name: &str, owner: Option<&str>) -> Notice {
        Notice { user: user(name), owner: owner.map(str::to_owned), ..notice(rotation_ahead()) }
    }

    fn dispatch_of<'a>(addressed: &'a [Addressed<'a>]) -> Dispatch<'a> {
        dispatch_as(&[], Mode::Enforced, addressed)
    }

    fn telling(mode: Mode, now: DateTime<Utc>, settings: &Settings) -> Telling<'_> {
        Telling { mode, scope: Scope::Run, now, deadline: now, settings }
    }

    fn dispatch_as<'a>(given: &[(&str, &str)], mode: Mode, addressed: &'a [Addressed<'a>]) -> Dispatch<'a> {
        Dispatch::of(&telling(mode, now(), &settings(given)), addressed)
    }

    fn address<'a>(account: &'a AccountContact, notified: &'a Notified, notices: &'a [Notice]) -> Vec<Addressed<'a>> {
        notices.iter().map(|notice| Addressed { notice, account, notified }).collect()
    }

    /// Addresses and the users that each is told about.
    fn letters(dispatch: &Dispatch<'_>) -> Vec<(String, Vec<String>)> {
        let users = |envelope: &Envelope<'_>| {
            envelope.items().iter().map(|item| item.notice.user.name.to_string()).collect::<Vec<_>>()
        };
        dispatch.envelopes.iter().map(|envelope| (envelope.to.to_string(), users(envelope))).collect()
    }

    fn letter(to: &str, users: &[&str]) -> (String, Vec<String>) {
        (to.to_owned(), users.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn upstream_defect_37_the_owner_that_a_tag_names_gets_the_notices_of_that_user() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let notices = [owned("a", Some("jo@example.com")), owned("b", None), owned("c", Some("JO@example.com"))];
        let addressed = address(&account, &notified, &notices);
        let dispatch = dispatch_of(&addressed);
        assert_eq!(
            letters(&dispatch),
            [letter("jo@example.com", &["a", "c"]), letter("prod@example.com", &["a", "b", "c"])]
        );
        assert!(dispatch.failures.is_empty());
    }

    #[test]
    fn an_owner_who_is_the_account_s_contact_gets_one_message_with_each_notice_once() {
        let (account, notified) = (contact("prod", Some("ops@example.com")), Notified::default());
        let notices = [owned("a", Some("Ops@Example.com")), owned("b", Some("ops@example.com"))];
        let addressed = address(&account, &notified, &notices);
        let dispatch = dispatch_of(&addressed);
        assert_eq!(letters(&dispatch), [letter("ops@example.com", &["a", "b"])]);
        assert_eq!(dispatch.settle(&[true], &[]), [Told::Fully, Told::Fully]);
    }

    #[test]
    fn notices_of_several_accounts_go_to_one_message_per_recipient() {
        let notified = Notified::default();
        let (one, two) = (contact("one", None), contact("two", None));
        let notices = [owned("a", None), owned("b", None)];
        let addressed = [
            Addressed { notice: &notices[0], account: &one, notified: &notified },
            Addressed { notice: &notices[1], account: &two, notified: &notified },
        ];
        let dispatch = dispatch_as(&[("RECIPIENT_EMAIL", "security@example.com")], Mode::Enforced, &addressed);
        assert_eq!(letters(&dispatch), [letter("security@example.com", &["a", "b"])]);
    }

    #[test]
    fn upstream_defect_60_what_was_told_is_not_told_again() {
        let account = contact("prod", Some("prod@example.com"));
        let notices = [owned("a", Some("jo@example.com"))];
        let mut notified = Notified::default();
        for (was_sent, expected, next_letters) in [
            (vec![false, true], Told::Partly(vec![Audience::Account]), vec![letter("jo@example.com", &["a"])]),
            (vec![false], Told::Partly(vec![Audience::Account]), vec![letter("jo@example.com", &["a"])]),
            (vec![true], Told::Fully, vec![]),
            (vec![], Told::Fully, vec![]),
        ] {
            let before = notified.clone();
            let addressed = address(&account, &before, &notices);
            let told = dispatch_of(&addressed).settle(&was_sent, &[]);
            assert_eq!(told, std::slice::from_ref(&expected));
            remember(&mut notified, &notices[0], &told[0], now());
            let next = address(&account, &notified, &notices);
            assert_eq!(letters(&dispatch_of(&next)), next_letters);
        }
        assert_eq!(notified.to_tag(), format!("{}=rotate-ahead", key(1)));
    }

    #[test]
    fn an_audience_that_is_gone_is_not_waited_for() {
        let account = contact("prod", Some("prod@example.com"));
        let notices = [owned("a", None)];
        let mut notified = Notified::default();
        remember(&mut notified, &notices[0], &Told::Partly(vec![Audience::Account]), now());
        let addressed = address(&account, &notified, &notices);
        let dispatch = dispatch_of(&addressed);
        assert!(dispatch.due() == 0 && dispatch.envelopes.is_empty());
        assert_eq!(dispatch.settle(&[], &[]), [Told::Fully]);
    }

    #[test]
    fn a_malformed_owner_is_reported_once_and_stops_nobody() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let second = Notice { key: key(2), ..owned("a", Some("Jane\u{7} jo@example.com")) };
        let notices = [owned("a", Some("Jane\u{7} jo@example.com")), second, owned("b", Some("nobody"))];
        let addressed = address(&account, &notified, &notices);
        let dispatch = dispatch_of(&addressed);
        let reported: Vec<_> = dispatch.failures.iter().map(|failure| failure.error.as_str()).collect();
        assert_eq!(
            reported,
            [
                "the owner tag of user `a` in account 111122223333 holds `Jane`, which is no e-mail address; separate \
                 several addresses by spaces",
                "the owner tag of user `b` in account 111122223333 holds `nobody`, which is no e-mail address; \
                 separate several addresses by spaces"
            ]
        );
        assert_eq!(dispatch.failures[0].user.as_ref().map(ToString::to_string).as_deref(), Some("a"));
        let all = [letter("jo@example.com", &["a", "a"]), letter("prod@example.com", &["a", "a", "b"])];
        assert_eq!(letters(&dispatch), all);
        assert_eq!(dispatch.settle(&[true, true], &[]), [Told::Fully, Told::Fully, Told::Fully]);

        let mut told_before = Notified::default();
        remember(&mut told_before, &notices[2], &Told::Fully, now());
        let addressed = address(&account, &told_before, &notices[2..]);
        let dispatch = dispatch_of(&addressed);
        assert_eq!((dispatch.failures.len(), dispatch.envelopes.len()), (1, 0), "the tag is still to be corrected");
    }

    #[test]
    fn notices_that_reach_nobody_are_reported_by_account() {
        let (account, notified) = (contact("prod", None), Notified::default());
        let notices = [owned("a", None), owned("b", None), owned("c", Some("jo@example.com"))];
        let addressed = address(&account, &notified, &notices);
        let dispatch = dispatch_of(&addressed);
        let [failure] = &dispatch.failures[..] else { panic!("{:?}", dispatch.failures) };
        assert_eq!(failure.account.as_ref(), Some(&account.id));
        assert!(failure.error.starts_with("2 notices of account 111122223333 not mailed"), "{}", failure.error);
        assert_eq!(dispatch.settle(&[true], &[]), [Told::Not, Told::Not, Told::Fully]);
    }

    #[test]
    fn what_is_for_dry_runs_only_is_left_out_of_others() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let due = NoticeKind::RotationDue { since: now() };
        let notices = [Notice { owner: Some("nobody".to_owned()), ..notice(due) }];
        let addressed = address(&account, &notified, &notices);
        let enforced = dispatch_of(&addressed);
        assert!(enforced.due() == 0 && enforced.envelopes.is_empty() && enforced.failures.is_empty());
        assert_eq!(enforced.settle(&[], &[]), [Told::Not]);
        assert_eq!(letters(&dispatch_as(&[], Mode::DryRun, &addressed)), [letter("prod@example.com", &["ci-bot"])]);
    }

    #[test]
    fn what_is_urgent_comes_in_a_message_of_its_own_and_first() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let at = time("2026-12-02T09:00:00Z");
        let kinds = [
            rotation_ahead(),
            NoticeKind::Rotated { old_key: None, disable_at: None },
            NoticeKind::RotationFailed { reason: String::new() },
            NoticeKind::Disabled { delete_at: at, last_use: None },
            NoticeKind::Deleted,
        ];
        let names = ["a", "b", "c", "d", "e"];
        let notices: Vec<Notice> = kinds
            .into_iter()
            .zip(names)
            .map(|(kind, name)| Notice { kind, ..owned(name, Some("jo@example.com")) })
            .collect();
        let addressed = address(&account, &notified, &notices);
        let enforced = dispatch_of(&addressed);
        let urgent = &["c", "b"][..];
        let digest = &["e", "d", "a"][..];
        assert_eq!(
            letters(&enforced),
            [
                letter("jo@example.com", urgent),
                letter("prod@example.com", urgent),
                letter("jo@example.com", digest),
                letter("prod@example.com", digest)
            ]
        );
        let told = enforced.settle(&[true, true, false, true], &[]);
        let account_only = Told::Partly(vec![Audience::Account]);
        assert_eq!(told, [account_only.clone(), Told::Fully, Told::Fully, account_only.clone(), account_only]);
        assert_eq!(dispatch_as(&[], Mode::DryRun, &addressed).envelopes.len(), 2, "nothing happened that is urgent");
    }

    #[test]
    fn the_topic_and_the_mailboxes_do_not_wait_for_one_another() {
        let topic = ("NOTICE_TOPIC_ARN", "arn:aws:sns:us-east-1:999988887777:notices");
        let account = contact("prod", Some("prod@example.com"));
        let notices = [owned("a", None)];
        let mut notified = Notified::default();
        let positions = |dispatch: &Dispatch<'_>| dispatch.for_topic().iter().map(|(at, _)| *at).collect::<Vec<_>>();
        for (was_sent, was_published, expected) in
            [(&[false][..], &[0][..], Told::Partly(vec![Audience::Topic])), (&[true], &[], Told::Fully)]
        {
            let before = notified.clone();
            let addressed = address(&account, &before, &notices);
            let dispatch = dispatch_as(&[topic], Mode::Enforced, &addressed);
            assert_eq!(positions(&dispatch), was_published.to_vec(), "what it has is not published again");
            let told = dispatch.settle(was_sent, was_published);
            assert_eq!(told, std::slice::from_ref(&expected));
            remember(&mut notified, &notices[0], &told[0], now());
        }
        let nobody = contact("prod", None);
        let untold = Notified::default();
        let addressed = address(&nobody, &untold, &notices);
        let dispatch = dispatch_as(&[topic], Mode::Enforced, &addressed);
        assert!(dispatch.failures.is_empty() && dispatch.settle(&[], &[0]) == [Told::Fully], "the topic is somebody");
    }

    #[test]
    fn a_dry_run_is_mailed_on_the_days_that_the_settings_say() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let notices = [owned("a", None)];
        let addressed = address(&account, &notified, &notices);
        let settings = settings(&[("AUDIT_NOTICE_PERIOD", "7")]);
        let mails = |days| {
            let now = now() + chrono::TimeDelta::days(days);
            Dispatch::of(&telling(Mode::DryRun, now, &settings), &addressed).envelopes.len()
        };
        assert_eq!((0..14).map(mails).sum::<usize>(), 2);
        let now = now();
        let enforced = Dispatch::of(&telling(Mode::Enforced, now, &settings), &addressed);
        assert_eq!(enforced.envelopes.len(), 1, "what is true is told on any day");
    }

    #[test]
    fn an_account_whose_address_is_none_is_told_through_the_recipient_and_reported() {
        let account =
            AccountContact { malformed_email: Some("prod at example\r\n".to_owned()), ..contact("prod", None) };
        let notified = Notified::default();
        let notices = [owned("a", None), owned("b", None)];
        let addressed = address(&account, &notified, &notices);
        let dispatch = dispatch_as(&[("RECIPIENT_EMAIL", "security@example.com")], Mode::Enforced, &addressed);
        assert_eq!(letters(&dispatch), [letter("security@example.com", &["a", "b"])]);
        let [failure] = &dispatch.failures[..] else { panic!("{:?}", dispatch.failures) };
        assert!(failure.error.contains("`prod at example`") && failure.account.as_ref() == Some(&account.id));
    }

    #[test]
    fn what_a_message_has_no_room_for_stays_due() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let ahead = (0..MAX_ROWS).map(|n| Notice { key: key(n), ..notice(rotation_ahead()) });
        let first = notice(NoticeKind::LastCall { at: now() });
        let notices: Vec<Notice> = ahead.chain([first]).collect();
        let addressed = address(&account, &notified, &notices);
        let told = dispatch_of(&addressed).settle(&[true], &[]);
        assert_eq!(told[MAX_ROWS], Told::Fully, "the most urgent one is in the message");
        assert_eq!(told[MAX_ROWS - 1], Told::Not, "the last of the others is not");
        assert_eq!(told.iter().filter(|told| **told == Told::Fully).count(), MAX_ROWS);
    }

    #[test]
    fn a_failure_names_the_account_and_the_user_if_it_is_one() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let notices = [owned("a", Some("jo@example.com")), owned("b", None)];
        let addressed = address(&account, &notified, &notices);
        let dispatch = dispatch_of(&addressed);
        let [of_owner, of_account] = &dispatch.envelopes[..] else { panic!("{dispatch:?}") };
        let of_owner = of_owner.failure("no");
        assert_eq!(of_owner.user.as_ref(), Some(&notices[0].user.name));
        assert_eq!(of_owner.error, "1 notice not mailed: no");
        let of_account = of_account.failure("no");
        assert_eq!((of_account.account.as_ref(), of_account.user), (Some(&account.id), None));
    }
}
