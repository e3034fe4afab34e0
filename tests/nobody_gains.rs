//! Mail as a way to gain something: addresses that somebody else chose, and the quota that all accounts share.

use keywheel::model::{Clock, Cloud, Fault, FaultKind};
use keywheel::rehearsal::Transport;
use serde_json::{Value, json};

use crate::harness::{MEMBER, OTHER, TestStack, done, failures, rehearse, start};

/// The recipients of all mails so far, sorted.
fn recipients(stage: &TestStack) -> Vec<String> {
    let mut to: Vec<String> = stage.cloud.mails().into_iter().flat_map(|mail| mail.to).collect();
    to.sort();
    to
}

async fn sweep(stage: &TestStack, event: Value) -> Value {
    stage.keywheel.sweep(event).await.expect("an answer")
}

fn no_organization() -> Fault {
    Fault::on("organizations", "DescribeAccount", FaultKind::AccessDenied).every()
}

fn with_mail_to_send(settings: &[(&str, &str)]) -> TestStack {
    let stage = TestStack::with(settings);
    stage.add_user("ci-bot", &[85]);
    stage
}

#[test]
fn nobody_gains_9_one_call_confirms_the_address_of_an_event() {
    rehearse(async {
        let stage = with_mail_to_send(&[]);
        sweep(&stage, json!({"account": MEMBER, "name": "x", "email": "PROD@example.com"})).await;
        assert_eq!((recipients(&stage), stage.count("DescribeAccount")), (vec!["prod@example.com".to_owned()], 1));
        assert_eq!(stage.count("ListAccounts"), 0);
        assert!(stage.mails_with(&["will be rotated"])[0].subject.contains("prod, "), "Organizations has the name");
        sweep(&stage, json!({"account": MEMBER, "email": "prod@example.com"})).await;
        assert_eq!(stage.cloud.mails().len(), 1, "it was recorded");
    });
}

#[test]
fn nobody_gains_9_organizations_has_the_accounts_address() {
    rehearse(async {
        let stage = with_mail_to_send(&[]);
        sweep(&stage, json!({"account": MEMBER, "name": "prod", "email": "thief@evil.example"})).await;
        assert_eq!(recipients(&stage), ["prod@example.com"]);
    });
}

#[test]
fn nobody_gains_9_an_unconfirmed_address_settles_nothing() {
    rehearse(async {
        let stage = with_mail_to_send(&[]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", "team-a@example.com");
        stage.cloud.faults().inject(no_organization());
        sweep(&stage, json!({"account": MEMBER, "email": "somebody@example.com"})).await;
        assert_eq!(recipients(&stage), ["somebody@example.com", "team-a@example.com"]);
        stage.cloud.drain_mails();
        stage.cloud.faults().clear();
        stage.sweep_well().await;
        assert_eq!(recipients(&stage), ["prod@example.com"], "the account has not been told yet, and the owner has");
        stage.cloud.drain_mails();
        stage.sweep_well().await;
        assert_eq!(recipients(&stage), [""; 0]);
    });
}

#[test]
fn nobody_gains_9_a_deletion_waits_for_a_confirmed_address() {
    rehearse(async {
        let stage = TestStack::with(&[("RECIPIENT_EMAIL", "")]);
        stage.add_user("gone", &[10]);
        stage.live().await;
        stage.cloud.delete_user(MEMBER, "gone");
        stage.cloud.faults().inject(no_organization());
        let answer = sweep(&stage, json!({"account": MEMBER, "email": "somebody@example.com"})).await;
        assert_eq!(done(&answer, "delete-secret"), 0, "{answer}");
        stage.cloud.faults().clear();
        let answer = sweep(&stage, json!({"account": MEMBER})).await;
        assert_eq!(done(&answer, "delete-secret"), 1, "{answer}");
    });
}

#[test]
fn nobody_gains_5_owners_of_other_domains_get_no_mail() {
    rehearse(async {
        let owner = "thief@evil.example jo@EXAMPLE.com jo@sub.example.com";
        for (domains, mailed) in [
            ("", &["jo@EXAMPLE.com", "prod@example.com"][..]),
            ("sub.Example.com, evil.example", &["jo@sub.example.com", "prod@example.com", "thief@evil.example"]),
            ("*", &["jo@EXAMPLE.com", "jo@sub.example.com", "prod@example.com", "thief@evil.example"]),
            ("elsewhere.example", &["prod@example.com"]),
        ] {
            let stage = with_mail_to_send(&[("OWNER_DOMAINS", domains)]);
            stage.cloud.tag_user(MEMBER, "ci-bot", "owner", owner);
            let answer = stage.sweep().await;
            assert_eq!(recipients(&stage), mailed, "{domains}");
            let is_reported = failures(&answer).contains("OWNER_DOMAINS");
            assert_eq!(is_reported, domains != "*", "{domains}: {answer}");
            stage.cloud.drain_mails();
            stage.sweep().await;
            assert_eq!(recipients(&stage), [""; 0], "{domains}: it was recorded");
        }
    });
}

#[test]
fn nobody_gains_5_a_user_has_three_owners_at_most() {
    rehearse(async {
        let stage = with_mail_to_send(&[]);
        let owners: Vec<String> = (0..6).map(|n| format!("o{n}@example.com")).collect();
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", &owners.join(" "));
        let answer = stage.sweep().await;
        assert_eq!(recipients(&stage), ["o0@example.com", "o1@example.com", "o2@example.com", "prod@example.com"]);
        assert!(failures(&answer).contains("more than 3 addresses"), "{answer}");
    });
}

/// Account `MEMBER` with many users, each with an owner of its own, and `OTHER` with three, with a quota of 200 mails.
fn beside_a_hostile_account() -> TestStack {
    let stage = TestStack::through(Transport::Direct, Cloud::new(Clock::starting_at(start()), 1), &[]);
    stage.add_member(OTHER, "other");
    stage.cloud.switch(|aws| aws.mails_per_day = Some(200));
    for (account, users) in [(MEMBER, 400), (OTHER, 3)] {
        for n in 0..users {
            let name = format!("bot-{n}");
            stage.add_user_in(account, &name, &[85]);
            stage.cloud.tag_user(account, &name, "owner", &format!("owner-{n}-of-{account}@example.com"));
        }
    }
    stage
}

fn others_have_their_mail(stage: &TestStack) {
    let to = recipients(stage);
    for address in ["prod@example.com", "other@example.com"]
        .map(str::to_owned)
        .into_iter()
        .chain((0..3).map(|n| format!("owner-{n}-of-{OTHER}@example.com")))
    {
        assert!(to.contains(&address), "{address} is not in {to:?}");
    }
}

#[test]
fn nobody_gains_5_one_account_leaves_quota_to_the_others() {
    rehearse(async {
        let stage = beside_a_hostile_account();
        let answer = stage.sweep().await;
        others_have_their_mail(&stage);
        assert!(failures(&answer).contains("to owners in account 111122223333 not sent"), "{answer}");
    });
}

/// Each account has its own invocation, and none knows of the others.
#[test]
fn nobody_gains_5_accounts_swept_one_by_one_share_the_quota() {
    rehearse(async {
        let stage = beside_a_hostile_account();
        for _ in 0..3 {
            sweep(&stage, json!({"account": MEMBER})).await;
        }
        sweep(&stage, json!({"account": OTHER})).await;
        others_have_their_mail(&stage);
        let before = stage.cloud.mails().len();
        stage.pass_days(1).await;
        sweep(&stage, json!({"account": MEMBER})).await;
        assert!(stage.cloud.mails().len() > before, "the rest is sent on the following days");
    });
}

#[test]
fn nobody_gains_14_a_run_says_that_nothing_aligns() {
    rehearse(async {
        let stage = with_mail_to_send(&[]);
        stage.cloud.switch(|aws| aws.dkim_status = None);
        let answer = stage.sweep().await;
        assert_eq!(
            (answer["mails"].clone(), failures(&answer).contains("so DMARC fails")),
            (json!(1), true),
            "{answer}"
        );
        stage.cloud.switch(|aws| aws.mail_from_status = Some("SUCCESS"));
        stage.add_user("other", &[85]);
        assert_eq!(stage.sweep_well().await["mails"], 1);
    });
}

#[test]
fn nobody_gains_15_exempt_users_are_counted() {
    rehearse(async {
        let stage = TestStack::new();
        for n in 0..3 {
            let name = format!("exempt-{n}");
            stage.add_user(&name, &[400]);
            stage.cloud.add_to_group(MEMBER, "ASAIAMExemptionsGroup", &name);
        }
        stage.add_user("ci-bot", &[10]);
        let answer = stage.sweep_well().await;
        assert_eq!((answer["users"].clone(), answer["exempt"].clone()), (json!(4), json!(3)));
        stage.cloud.remove_from_group(MEMBER, "ASAIAMExemptionsGroup", "exempt-0");
        let answer = stage.sweep_and_hold(MEMBER).await;
        assert_eq!(answer["exempt"], 2);
    });
}
