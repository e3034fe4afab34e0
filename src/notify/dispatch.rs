//! Notices → one message per recipient, and back: what was sent → who was told. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{MAX_ROWS, sort};
use super::phrases::{counted, one_line};
use super::recipients::{Recipients, mailbox};
use super::words::{Urgency, urgency};
use super::{Addressed, Audience, MailFailure, Mode, Told, is_due, marks};
use crate::keys::{AccountId, EmailAddress, UserName};

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
    /// Whether runs of this mode tell it at all.
    is_for_this_mode: bool,
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
            refused.add(item, &recipients, &standing);
            for audience in standing.untold() {
                for address in recipients.addresses(audience) {
                    let envelope = envelopes.entry(mailbox(address)).or_insert_with(|| Envelope::to(address));
                    envelope.add(position, audience, item);
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

    /// How many notices somebody is still to be told of.
    pub(super) fn due(&self) -> usize {
        self.standings.iter().filter(|standing| standing.is_due()).count()
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
    fn of(mode: Mode, item: &Addressed<'_>, recipients: &Recipients) -> Self {
        let audiences = recipients.audiences();
        let told = audiences.iter().copied();
        Self {
            is_for_this_mode: mode == Mode::DryRun || !item.notice.kind.is_for_dry_run_only(),
            was_told_fully: !is_due(item.notice, item.notified),
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

/// What nobody can be told, each thing reported once.
#[derive(Default)]
struct Refused {
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
        malformed.chain(unreachable).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{Notice, NoticeKind};
    use crate::notify::fixtures::{contact, email, key, notice, rotation_ahead, user};
    use crate::notify::{AccountContact, remember};
    use crate::state::Notified;

    fn owned(name: &str, owner: Option<&str>) -> Notice {
        Notice { user: user(name), owner: owner.map(str::to_owned), ..notice(rotation_ahead()) }
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
        let dispatch = Dispatch::of(Mode::Enforced, &addressed, None);
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
        let dispatch = Dispatch::of(Mode::Enforced, &addressed, None);
        assert_eq!(letters(&dispatch), [letter("ops@example.com", &["a", "b"])]);
        assert_eq!(dispatch.settle(&[true]), [Told::Fully, Told::Fully]);
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
        let fallback = email("security@example.com");
        let dispatch = Dispatch::of(Mode::Enforced, &addressed, Some(&fallback));
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
            let told = Dispatch::of(Mode::Enforced, &addressed, None).settle(&was_sent);
            assert_eq!(told, std::slice::from_ref(&expected));
            remember(&mut notified, &notices[0], &told[0]);
            let next = address(&account, &notified, &notices);
            assert_eq!(letters(&Dispatch::of(Mode::Enforced, &next, None)), next_letters);
        }
        assert_eq!(notified.to_tag(), format!("{}=rotate-ahead", key(1)));
    }

    #[test]
    fn an_audience_that_is_gone_is_not_waited_for() {
        let account = contact("prod", Some("prod@example.com"));
        let notices = [owned("a", None)];
        let mut notified = Notified::default();
        remember(&mut notified, &notices[0], &Told::Partly(vec![Audience::Account]));
        let addressed = address(&account, &notified, &notices);
        let dispatch = Dispatch::of(Mode::Enforced, &addressed, None);
        assert!(dispatch.due() == 0 && dispatch.envelopes.is_empty());
        assert_eq!(dispatch.settle(&[]), [Told::Fully]);
    }

    #[test]
    fn a_malformed_owner_is_reported_once_and_stops_nobody() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let second = Notice { key: key(2), ..owned("a", Some("Jane\u{7} jo@example.com")) };
        let notices = [owned("a", Some("Jane\u{7} jo@example.com")), second, owned("b", Some("nobody"))];
        let addressed = address(&account, &notified, &notices);
        let dispatch = Dispatch::of(Mode::Enforced, &addressed, None);
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
        assert_eq!(dispatch.settle(&[true, true]), [Told::Fully, Told::Fully, Told::Fully]);

        let mut told_before = Notified::default();
        remember(&mut told_before, &notices[2], &Told::Fully);
        let addressed = address(&account, &told_before, &notices[2..]);
        let dispatch = Dispatch::of(Mode::Enforced, &addressed, None);
        assert_eq!((dispatch.failures.len(), dispatch.envelopes.len()), (1, 0), "the tag is still to be corrected");
    }

    #[test]
    fn notices_that_reach_nobody_are_reported_by_account() {
        let (account, notified) = (contact("prod", None), Notified::default());
        let notices = [owned("a", None), owned("b", None), owned("c", Some("jo@example.com"))];
        let addressed = address(&account, &notified, &notices);
        let dispatch = Dispatch::of(Mode::Enforced, &addressed, None);
        let [failure] = &dispatch.failures[..] else { panic!("{:?}", dispatch.failures) };
        assert_eq!(failure.account.as_ref(), Some(&account.id));
        assert!(failure.error.starts_with("2 notices of account 111122223333 not mailed"), "{}", failure.error);
        assert_eq!(dispatch.settle(&[true]), [Told::Not, Told::Not, Told::Fully]);
    }

    #[test]
    fn what_is_for_dry_runs_only_is_left_out_of_others() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let due = NoticeKind::RotationDue { since: crate::notify::fixtures::now() };
        let notices = [Notice { owner: Some("nobody".to_owned()), ..notice(due) }];
        let addressed = address(&account, &notified, &notices);
        let enforced = Dispatch::of(Mode::Enforced, &addressed, None);
        assert!(enforced.due() == 0 && enforced.envelopes.is_empty() && enforced.failures.is_empty());
        assert_eq!(enforced.settle(&[]), [Told::Not]);
        assert_eq!(letters(&Dispatch::of(Mode::DryRun, &addressed, None)), [letter("prod@example.com", &["ci-bot"])]);
    }

    #[test]
    fn what_a_message_has_no_room_for_stays_due() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let ahead = (0..MAX_ROWS).map(|n| Notice { key: key(n), ..notice(rotation_ahead()) });
        let urgent = notice(NoticeKind::RotationFailed { reason: String::new() });
        let notices: Vec<Notice> = ahead.chain([urgent]).collect();
        let addressed = address(&account, &notified, &notices);
        let told = Dispatch::of(Mode::Enforced, &addressed, None).settle(&[true]);
        assert_eq!(told[MAX_ROWS], Told::Fully, "the urgent one is in the message");
        assert_eq!(told[MAX_ROWS - 1], Told::Not, "the last of the others is not");
        assert_eq!(told.iter().filter(|told| **told == Told::Fully).count(), MAX_ROWS);
    }

    #[test]
    fn a_failure_names_the_account_and_the_user_if_it_is_one() {
        let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
        let notices = [owned("a", Some("jo@example.com")), owned("b", None)];
        let addressed = address(&account, &notified, &notices);
        let dispatch = Dispatch::of(Mode::Enforced, &addressed, None);
        let [of_owner, of_account] = &dispatch.envelopes[..] else { panic!("{dispatch:?}") };
        let of_owner = of_owner.failure("no");
        assert_eq!(of_owner.user.as_ref(), Some(&notices[0].user.name));
        assert_eq!(of_owner.error, "1 notice not mailed: no");
        let of_account = of_account.failure("no");
        assert_eq!((of_account.account.as_ref(), of_account.user), (Some(&account.id), None));
    }
}
