//! The recipients of each message, and the audiences that count as having got a notice once the messages are sent.

use super::*;
use crate::lifecycle::{Notice, NoticeDate, NoticeKind};
use crate::notify::fixtures::{contact, key, notice, now, rotation_ahead, settings, time, user};
use crate::notify::{AccountContact, Scope};
use crate::settings::Settings;
use crate::state::Notified;

fn owned(name: &str, owner: Option<&str>) -> Notice {
    Notice { user: user(name), owner: owner.map(str::to_owned), ..notice(rotation_ahead()) }
}

fn dispatch_of<'a>(addressed: &'a [Addressed<'a>]) -> Dispatch<'a> {
    dispatch_as(&[], Mode::Enforced, addressed)
}

fn options(mode: Mode, now: DateTime<Utc>, settings: &Settings) -> DeliveryOptions<'_> {
    DeliveryOptions { mode, scope: Scope::Run, defers: false, now, deadline: now, settings }
}

fn dispatch_as<'a>(given: &[(&str, &str)], mode: Mode, addressed: &'a [Addressed<'a>]) -> Dispatch<'a> {
    Dispatch::of(&options(mode, now(), &settings(given)), addressed, &Suppressed::default())
}

fn address<'a>(account: &'a AccountContact, notified: &'a Notified, notices: &'a [Notice]) -> Vec<Addressed<'a>> {
    notices.iter().map(|notice| Addressed { notice, account, notified }).collect()
}

/// The addresses, and the users in the message to each.
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
fn upstream_defect_37_the_owner_gets_the_notices_of_the_user() {
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
fn an_owner_who_is_the_contact_gets_each_notice_once() {
    let (account, notified) = (contact("prod", Some("ops@example.com")), Notified::default());
    let notices = [owned("a", Some("Ops@Example.com")), owned("b", Some("ops@example.com"))];
    let addressed = address(&account, &notified, &notices);
    let dispatch = dispatch_of(&addressed);
    assert_eq!(letters(&dispatch), [letter("ops@example.com", &["a", "b"])]);
    assert_eq!(dispatch.result(&[true], &[]), [Delivered::ToAll, Delivered::ToAll]);
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
fn upstream_defect_60_a_sent_notice_is_not_sent_again() {
    let account = contact("prod", Some("prod@example.com"));
    let notices = [owned("a", Some("jo@example.com"))];
    let mut notified = Notified::default();
    for (was_sent, expected, next_letters) in [
        (vec![false, true], Delivered::ToSome(vec![Audience::Account]), vec![letter("jo@example.com", &["a"])]),
        (vec![false], Delivered::ToSome(vec![Audience::Account]), vec![letter("jo@example.com", &["a"])]),
        (vec![true], Delivered::ToAll, vec![]),
        (vec![], Delivered::ToAll, vec![]),
    ] {
        let before = notified.clone();
        let addressed = address(&account, &before, &notices);
        let delivered = dispatch_of(&addressed).result(&was_sent, &[]);
        assert_eq!(delivered, std::slice::from_ref(&expected));
        delivered[0].record(&mut notified, &notices[0], now());
        let next = address(&account, &notified, &notices);
        assert_eq!(letters(&dispatch_of(&next)), next_letters);
    }
    assert_eq!(notified.to_tag(), format!("{}=rotate-ahead:20786", key(1)), "with the day that it named");
}

#[test]
fn nothing_waits_for_an_audience_that_is_gone() {
    let account = contact("prod", Some("prod@example.com"));
    let notices = [owned("a", None)];
    let mut notified = Notified::default();
    Delivered::ToSome(vec![Audience::Account]).record(&mut notified, &notices[0], now());
    let addressed = address(&account, &notified, &notices);
    let dispatch = dispatch_of(&addressed);
    assert!(dispatch.due_by_mail() == 0 && dispatch.envelopes.is_empty());
    assert_eq!(dispatch.result(&[], &[]), [Delivered::ToAll]);
}

#[test]
fn a_malformed_owner_is_reported_once_and_stops_nothing() {
    let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
    let second = Notice { key: key(2), ..owned("a", Some("Jane\u{7} jo@example.com")) };
    let notices = [owned("a", Some("Jane\u{7} jo@example.com")), second, owned("b", Some("nobody"))];
    let addressed = address(&account, &notified, &notices);
    let dispatch = dispatch_of(&addressed);
    let reported: Vec<_> = dispatch.failures.iter().map(|failure| failure.error.as_str()).collect();
    assert_eq!(
        reported,
        [
            "the owner tag of user `a` in account 111122223333 holds `Jane`, which is not an e-mail address; separate \
             addresses by spaces",
            "the owner tag of user `b` in account 111122223333 holds `nobody`, which is not an e-mail address; \
             separate addresses by spaces"
        ]
    );
    assert_eq!(dispatch.failures[0].user.as_ref().map(ToString::to_string).as_deref(), Some("a"));
    let all = [letter("jo@example.com", &["a", "a"]), letter("prod@example.com", &["a", "a", "b"])];
    assert_eq!(letters(&dispatch), all);
    assert_eq!(dispatch.result(&[true, true], &[]), [Delivered::ToAll, Delivered::ToAll, Delivered::ToAll]);

    let mut recorded = Notified::default();
    Delivered::ToAll.record(&mut recorded, &notices[2], now());
    let addressed = address(&account, &recorded, &notices[2..]);
    let dispatch = dispatch_of(&addressed);
    assert_eq!((dispatch.failures.len(), dispatch.envelopes.len()), (1, 0), "the tag is still wrong");
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
    assert_eq!(dispatch.result(&[true], &[]), [Delivered::ToNobody, Delivered::ToNobody, Delivered::ToAll]);
}

#[test]
fn notices_for_dry_runs_only_are_left_out_otherwise() {
    let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
    let due = NoticeKind::RotationDue { since: now() };
    let notices = [Notice { owner: Some("nobody".to_owned()), ..notice(due) }];
    let addressed = address(&account, &notified, &notices);
    let enforced = dispatch_of(&addressed);
    assert!(enforced.due_by_mail() == 0 && enforced.envelopes.is_empty() && enforced.failures.is_empty());
    assert_eq!(enforced.result(&[], &[]), [Delivered::ToNobody]);
    assert_eq!(letters(&dispatch_as(&[], Mode::DryRun, &addressed)), [letter("prod@example.com", &["ci-bot"])]);
}

#[test]
fn urgent_notices_have_their_own_message_and_go_first() {
    let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
    let at = NoticeDate::On(time("2026-12-02T00:00:00Z"));
    let kinds = [
        rotation_ahead(),
        NoticeKind::Rotated { old_key: None, disable_at: None, forced: None },
        NoticeKind::RotationFailed { failed: None, keys: Vec::new() },
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
            letter("prod@example.com", &["c"]),
            letter("jo@example.com", digest),
            letter("prod@example.com", &["b", "e", "d", "a"])
        ]
    );
    let delivered = enforced.result(&[true, true, false, true], &[]);
    let account_only = Delivered::ToSome(vec![Audience::Account]);
    assert_eq!(
        delivered,
        [account_only.clone(), Delivered::ToAll, Delivered::ToAll, account_only.clone(), account_only]
    );
    assert_eq!(dispatch_as(&[], Mode::DryRun, &addressed).envelopes.len(), 2, "nothing urgent happened");
}

#[test]
fn topic_and_mail_do_not_wait_for_each_other() {
    let topic = ("NOTICE_TOPIC_ARN", "arn:aws:sns:us-east-1:999988887777:notices");
    let account = contact("prod", Some("prod@example.com"));
    let notices = [owned("a", None)];
    let mut notified = Notified::default();
    let positions = |dispatch: &Dispatch<'_>| dispatch.for_topic().iter().map(|(at, _)| *at).collect::<Vec<_>>();
    for (was_sent, was_published, expected) in
        [(&[false][..], &[0][..], Delivered::ToSome(vec![Audience::Topic])), (&[true], &[], Delivered::ToAll)]
    {
        let before = notified.clone();
        let addressed = address(&account, &before, &notices);
        let dispatch = dispatch_as(&[topic], Mode::Enforced, &addressed);
        assert_eq!(positions(&dispatch), was_published.to_vec(), "a published notice is not published again");
        let delivered = dispatch.result(was_sent, was_published);
        assert_eq!(delivered, std::slice::from_ref(&expected));
        delivered[0].record(&mut notified, &notices[0], now());
    }
    let nobody = contact("prod", None);
    let nothing_sent = Notified::default();
    let addressed = address(&nobody, &nothing_sent, &notices);
    let dispatch = dispatch_as(&[topic], Mode::Enforced, &addressed);
    assert!(
        dispatch.failures.is_empty() && dispatch.result(&[], &[0]) == [Delivered::ToAll],
        "the topic counts as an audience"
    );
}

#[test]
fn a_dry_run_sends_mail_on_the_days_of_the_settings() {
    let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
    let notices = [owned("a", None)];
    let addressed = address(&account, &notified, &notices);
    let settings = settings(&[("AUDIT_NOTICE_PERIOD", "7")]);
    let mails = |days| {
        let now = now() + chrono::TimeDelta::days(days);
        Dispatch::of(&options(Mode::DryRun, now, &settings), &addressed, &Suppressed::default()).envelopes.len()
    };
    assert_eq!((0..14).map(mails).sum::<usize>(), 2);
    let now = now();
    let enforced = Dispatch::of(&options(Mode::Enforced, now, &settings), &addressed, &Suppressed::default());
    assert_eq!(enforced.envelopes.len(), 1, "an enforced run sends on any day");
}

#[test]
fn an_account_with_an_invalid_address_uses_the_recipient() {
    let account = AccountContact { malformed_email: Some("prod at example\r\n".to_owned()), ..contact("prod", None) };
    let notified = Notified::default();
    let notices = [owned("a", None), owned("b", None)];
    let addressed = address(&account, &notified, &notices);
    let dispatch = dispatch_as(&[("RECIPIENT_EMAIL", "security@example.com")], Mode::Enforced, &addressed);
    assert_eq!(letters(&dispatch), [letter("security@example.com", &["a", "b"])]);
    let [failure] = &dispatch.failures[..] else { panic!("{:?}", dispatch.failures) };
    assert!(failure.error.contains("`prod at example`") && failure.account.as_ref() == Some(&account.id));
}

#[test]
fn notices_beyond_the_limit_of_a_message_stay_due() {
    let (account, notified) = (contact("prod", Some("prod@example.com")), Notified::default());
    let ahead = (0..MAX_ROWS).map(|n| Notice { key: key(n), ..notice(rotation_ahead()) });
    let first = notice(NoticeKind::LastCall { at: NoticeDate::On(now()) });
    let notices: Vec<Notice> = ahead.chain([first]).collect();
    let addressed = address(&account, &notified, &notices);
    let delivered = dispatch_of(&addressed).result(&[true], &[]);
    assert_eq!(delivered[MAX_ROWS], Delivered::ToAll, "the most urgent one is in the message");
    assert_eq!(delivered[MAX_ROWS - 1], Delivered::ToNobody, "the last of the others is not");
    assert_eq!(delivered.iter().filter(|one| **one == Delivered::ToAll).count(), MAX_ROWS);
}

#[test]
fn a_failure_names_the_account_and_user_if_there_is_one() {
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
