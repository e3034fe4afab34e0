//! The digest of the notices that sweeps of single accounts deferred: across accounts, in parts, in a dry run.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::TimeDelta;
use keywheel::model::{AccountStatus, Fault, FaultKind};
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::{Value, json};

use crate::harness::{MEMBER, OTHER, TestStack, failures, refused, rehearse, secret_name, use_key};

const OWNER: &str = "jo@example.com";

#[test]
fn sweeps_of_single_accounts_end_in_one_digest_per_recipient() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_member(OTHER, "test");
        for (account, user) in [(MEMBER, "ci-bot"), (OTHER, "deployer"), (OTHER, "backup")] {
            stage.add_user_in(account, user, &[85]);
            stage.cloud.tag_user(account, user, "owner", OWNER);
        }
        for account in [MEMBER, OTHER] {
            let answer = stage.sweep_and_hold(account).await;
            assert_eq!((failures(&answer).as_str(), &answer["mails"]), ("[]", &json!(0)), "{answer}");
        }
        assert_eq!((stage.held(), stage.cloud.mails().len()), (3, 0));

        let answer = stage.digest().await;
        assert_eq!((failures(&answer).as_str(), &answer["accounts"], &answer["users"]), ("[]", &json!(2), &json!(3)));
        let mut recipients: Vec<_> = stage.cloud.mails().into_iter().map(|mail| mail.to.join(" ")).collect();
        recipients.sort();
        assert_eq!(recipients, [OWNER, "prod@example.com", "test@example.com"], "one message each");
        let mail = stage.cloud.mails().into_iter().find(|mail| mail.to == [OWNER]).expect("the owner's");
        let text = mail.text.expect("a text part");
        assert!(["ci-bot", "deployer", "backup", MEMBER, OTHER].iter().all(|part| text.contains(part)), "{text}");
        assert_eq!(stage.held(), 0);

        stage.cloud.forget_calls();
        assert_eq!(stage.digest().await["mails"], 0, "the same digest again");
        assert_eq!(stage.cloud.call_count(), 3, "it lists, and looks at nobody: {:#?}", stage.cloud.calls());
        assert_eq!(stage.sweep_well().await["mails"], 0, "nor does a sweep tell it again");
    });
}

#[test]
fn what_is_urgent_is_not_held() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(5).await;
        use_key(&stage, &old);
        stage.pass_days(5).await;
        stage.cloud.drain_mails();
        let answer = stage.sweep_and_hold(MEMBER).await;
        assert_eq!((&answer["actions"]["disable"], &answer["mails"]), (&json!(1), &json!(1)), "{answer}");
        let mails = stage.cloud.drain_mails();
        assert!(mails[0].subject.contains("was disabled"), "{}", mails[0].subject);
        stage.digest().await;
        assert!(!stage.cloud.mails().iter().any(|mail| mail.subject.contains("was disabled")), "told once");
        assert_eq!(stage.held(), 0);
    });
}

#[test]
fn a_plain_sweep_may_send_notices_that_a_digest_could_not() {
    rehearse(async {
        for by_sweep in [false, true] {
            let stage = TestStack::new();
            stage.add_user("ci-bot", &[0]);
            stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
            stage.pass_days(84).await;
            stage.sweep_and_hold(MEMBER).await;
            stage.cloud.switch(|aws| aws.mail_down = true);
            assert!(failures(&stage.digest().await).contains("mail"));
            assert_eq!(stage.held(), 1);
            stage.cloud.switch(|aws| aws.mail_down = false);
            let answer = if by_sweep { stage.sweep_well().await } else { stage.digest().await };
            assert_eq!((&answer["mails"], stage.held()), (&json!(2), 0), "{answer}");
            assert_eq!(stage.digest().await["mails"], 0);
        }
    });
}

#[test]
fn the_next_deferring_sweep_repairs_a_mark_no_digest_finds() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[85]);
        stage.sweep_and_hold(MEMBER).await;
        stage.tag_secret("ci-bot", "keywheel:untold", "later").await;
        assert_eq!(stage.digest().await["mails"], 0);
        assert_eq!(failures(&stage.sweep_and_hold(MEMBER).await), "[]");
        assert_eq!((&stage.digest().await["mails"], stage.held()), (&json!(1), 0));
    });
}

#[test]
fn a_mark_without_a_notice_is_removed_by_the_next_observation() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[10]);
        stage.sweep_well().await;
        let (plain, holding, digest) =
            (json!({}), json!({"account": MEMBER, "notices": "later"}), json!({"digest": {}}));
        for event in [plain, holding, digest] {
            stage.tag_secret("ci-bot", "keywheel:untold", "untold:2026-01-01T06:00:00Z").await;
            assert_eq!(stage.held(), 1);
            let answer = stage.keywheel.sweep(event.clone()).await.expect("an answer");
            assert_eq!((failures(&answer), &answer["mails"]), ("[]".to_owned(), &json!(0)), "{event}");
            assert_eq!((stage.held(), stage.tag("ci-bot", "key-dates").is_some()), (0, true), "{event}");
        }
    });
}

#[test]
fn a_digest_goes_to_the_others_if_a_user_cannot_be_observed() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_member(OTHER, "test");
        stage.add_user_in(MEMBER, "ci-bot", &[85]);
        stage.add_user_in(OTHER, "deployer", &[85]);
        stage.sweep_and_hold(MEMBER).await;
        stage.sweep_and_hold(OTHER).await;
        stage.cloud.faults().inject(Fault::on("iam", "ListAccessKeys", FaultKind::AccessDenied));
        let answer = stage.digest().await;
        assert!(failures(&answer).contains("\"digest\""), "{answer}");
        assert_eq!((&answer["mails"], stage.held()), (&json!(1), 1));
        stage.cloud.faults().clear();
        assert_eq!(stage.digest().await["mails"], 1);
        stage.cloud.faults().inject(Fault::on("secretsmanager", "ListSecrets", refused("InternalServiceError")));
        let error =
            stage.keywheel.sweep(json!({"digest": {}})).await.expect_err("a list that is not whole is no answer");
        assert!(error.to_string().contains("ListSecrets"), "{error}");
    });
}

#[test]
fn a_digest_starts_after_an_account_and_skips_those_before() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_member(OTHER, "test");
        for account in [MEMBER, OTHER] {
            stage.add_user_in(account, "ci-bot", &[85]);
            stage.sweep_and_hold(account).await;
        }
        let answer = stage.keywheel.sweep(json!({"digest": {"after": MEMBER}})).await.expect("the digest answers");
        assert_eq!((&answer["accounts"], &answer["mails"], stage.held()), (&json!(1), &json!(1), 1), "{answer}");
        assert_eq!(answer.get("digest_after"), None, "it was the last account");
        assert!(stage.tag("ci-bot", "untold").is_some(), "the account before is left alone");
        let answer = stage.keywheel.sweep(json!({"digest": {"after": OTHER}})).await.expect("the digest answers");
        assert_eq!((&answer["accounts"], &answer["mails"], stage.held()), (&json!(0), &json!(0), 1), "{answer}");
        assert_eq!((&stage.digest().await["mails"], stage.held()), (&json!(1), 0));
    });
}

#[test]
fn a_dry_run_plans_the_digest_of_many_accounts_in_parts() {
    rehearse(async {
        let stage = TestStack::with(&[("MAX_CONCURRENCY", "1"), ("DRY_RUN_FLAG", "true")]);
        stage.add_user_in(MEMBER, "first", &[200]);
        for n in 0..200_u64 {
            stage.cloud.add_account(&format!("{}", 300_000_000_000 + n), "many", None);
        }
        stage.add_member("888877776666", "last");
        stage.add_user_in("888877776666", "last", &[200]);
        stage.cloud.add_account("888877775555", "suspended", None);
        stage.cloud.set_account_state("888877775555", AccountStatus::Suspended);
        let refused = stage.keywheel.sweep(json!({})).await.expect_err("203 accounts one after another");
        assert_eq!(refused.name(), "TooManyAccounts");
        let planned_for = |answer: &Value| -> BTreeSet<String> {
            let plan = answer["plan"].as_array().into_iter().flatten();
            plan.filter_map(|entry| entry["user"].as_str().map(str::to_owned)).collect()
        };
        let (mut event, mut users, mut suspended, mut digests) = (json!({"digest": {}}), Vec::new(), 0, 0);
        loop {
            let mut answer = stage.keywheel.sweep(event).await.expect("the digest answers");
            users.extend(planned_for(&answer));
            let skipped = answer["skipped"].as_array().into_iter().flatten();
            suspended += skipped.filter(|skipped| skipped["account"] == "888877775555").count();
            digests += 1;
            let after = answer["digest_after"].take();
            if after.is_null() {
                break;
            }
            event = json!({"digest": {"after": after}});
        }
        assert_eq!(users, ["first", "last"], "each in one of the parts");
        assert_eq!((digests, suspended), (2, 1), "said once");
    });
}

#[test]
fn a_digest_lists_an_accounts_users_or_reads_them_one_by_one() {
    rehearse(async {
        for (is_refused, asked) in [(false, 2), (true, 4)] {
            let stage = TestStack::new();
            for name in ["ann", "bob", "gone"] {
                stage.add_user(name, &[85]);
            }
            stage.sweep_and_hold(MEMBER).await;
            stage.cloud.delete_user(MEMBER, "gone");
            if is_refused {
                stage.cloud.faults().inject(Fault::on(
                    "iam",
                    "GetAccountAuthorizationDetails",
                    FaultKind::AccessDenied,
                ));
            }
            let before = stage.cloud.calls().len();
            let answer = stage.digest().await;
            assert_eq!((failures(&answer), stage.held()), ("[]".to_owned(), 0), "{answer}");
            for name in ["ann", "bob"] {
                assert!(stage.secret(name).tags["keywheel:notified"].contains("rotate-ahead"), "{name}");
            }
            assert!(stage.secret("gone").deletion_date.is_some(), "who is not in the list is asked for");
            let calls = stage.cloud.calls().split_off(before);
            assert_eq!(calls.iter().filter(|call| call.operation == "GetUser").count(), asked);
        }
    });
}

#[test]
fn a_digest_lists_users_while_more_than_one_is_missing() {
    rehearse(async {
        // IAM gives 1,000 users on a page.
        for (held, pages, asked) in [(["first", "last"], 1, 1), (["last", "late"], 2, 0)] {
            let stage = TestStack::new();
            for n in 0..1_000 {
                stage.add_user(&format!("idle-{n:04}"), &[]);
            }
            for name in held {
                stage.add_user(name, &[85]);
            }
            stage.sweep_and_hold(MEMBER).await;
            let before = stage.cloud.calls().len();
            let answer = stage.digest().await;
            assert_eq!((failures(&answer), stage.held()), ("[]".to_owned(), 0), "{answer}");
            let calls = stage.cloud.calls().split_off(before);
            let count = |operation: &str| calls.iter().filter(|call| call.operation == operation).count();
            assert_eq!((count("GetAccountAuthorizationDetails"), count("GetUser")), (pages, asked), "{held:?}");
        }
    });
}

/// A user with a secret who was deleted, which a sweep has seen that holds what it could tell.
async fn deleted_and_held() -> TestStack {
    let stage = TestStack::new();
    stage.add_user("ci-bot", &[10]);
    stage.live().await;
    stage.cloud.delete_user(MEMBER, "ci-bot");
    stage.sweep_and_hold(MEMBER).await;
    stage
}

#[test]
fn the_secret_of_a_deleted_user_waits_for_its_digest() {
    rehearse(async {
        let stage = deleted_and_held().await;
        assert!(stage.secret("ci-bot").deletion_date.is_none(), "nothing can be written to it after that");
        let answer = stage.digest().await;
        assert_eq!(answer["actions"]["delete-secret"], 1, "{answer}");
        assert!(stage.secret("ci-bot").deletion_date.is_some());
        assert_eq!(stage.mails_with(&["ci-bot", "scheduled for deletion"]).len(), 1);
        assert_eq!(stage.digest().await["mails"], 0);
    });
}

#[test]
fn a_digest_changes_no_key_and_tells_nothing_that_is_not_done() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(4).await;
        stage.sweep_and_hold(MEMBER).await;
        assert_eq!(stage.held(), 1, "the disabling is announced");
        stage.pass_days(7).await;
        stage.cloud.drain_mails();
        stage.digest().await;
        assert_eq!(stage.status("ci-bot", &old), "Active", "though it is due to be disabled");
        assert_eq!(stage.mails_with(&["was disabled"]).len(), 0);
    });
}

#[test]
fn the_digest_of_a_dry_run_plans_one_message_per_recipient() {
    rehearse(async {
        let stage = TestStack::with(&[("DRY_RUN_FLAG", "true")]);
        stage.add_member(OTHER, "test");
        stage.add_user_in(MEMBER, "ci-bot", &[95]);
        stage.add_user_in(OTHER, "deployer", &[95]);
        let before = stage.snapshot();
        for account in [MEMBER, OTHER] {
            assert_eq!(stage.sweep_and_hold(account).await["mails"], 0);
        }
        assert_eq!(stage.digest().await["mails"], 2);
        assert!(stage.cloud.mails().iter().all(|mail| mail.subject.starts_with("[dry run]")));
        assert_eq!(stage.snapshot(), before);
    });
}

#[test]
fn the_next_deferring_sweep_deletes_a_secret_after_a_failure() {
    rehearse(async {
        let stage = deleted_and_held().await;
        stage
            .cloud
            .faults()
            .inject(Fault::on("secretsmanager", "DeleteSecret", refused("InternalServiceError")).every());
        assert!(failures(&stage.digest().await).contains("DeleteSecret"));
        stage.cloud.faults().clear();
        assert!(stage.secret("ci-bot").deletion_date.is_none());
        stage.pass_days(1).await;
        let answer = stage.sweep_and_hold(MEMBER).await;
        assert_eq!(answer["actions"]["delete-secret"], 1, "there is nothing left to tell: {answer}");
        assert!(stage.secret("ci-bot").deletion_date.is_some());
        assert_eq!(stage.mails_with(&["ci-bot", "scheduled for deletion"]).len(), 1);
    });
}

#[test]
fn a_digest_lists_addresses_or_reads_them_one_by_one() {
    rehearse(async {
        // The accounts with notices, the accounts before them in the list, whether the list may be read, and the calls:
        // pages, and single accounts.
        for (held, before, is_listed, calls) in [
            // The whole list, by which closed accounts are found, has the addresses.
            (45, 2, true, (6, 0)),
            // Both the whole list and the addresses are asked for.
            (45, 2, false, (1 + 1, 45)),
            (3, 2, true, (2, 0)),
            (8, 70, true, (4, 0)),
            (20, 70, true, (5, 0)),
        ] {
            let stage = TestStack::new();
            // Every second page is empty.
            stage.cloud.switch(|aws| aws.empty_account_pages = before == 2);
            for n in 2..before {
                stage.cloud.add_account(&format!("{}", 200_000_000_000_u64 + n), "other", None);
            }
            let accounts: Vec<String> = (0..held).map(|n| format!("{}", 300_000_000_000_u64 + n)).collect();
            for account in &accounts {
                stage.add_member(account, &format!("owner-{account}"));
                stage.add_user_in(account, "ci-bot", &[85]);
                let event = json!({"account": account, "email": "sweep@example.com", "notices": "later"});
                stage.keywheel.sweep(event).await.expect("the sweep answers");
            }
            if !is_listed {
                stage
                    .cloud
                    .faults()
                    .inject(Fault::on("organizations", "ListAccounts", refused("ServiceException")).every());
            }
            let asked = (stage.count("ListAccounts"), stage.count("DescribeAccount"));
            let answer = stage.digest().await;
            assert_eq!((failures(&answer), stage.held()), ("[]".to_owned(), 0), "{answer}");
            let counts = (stage.count("ListAccounts") - asked.0, stage.count("DescribeAccount") - asked.1);
            assert_eq!(counts, calls, "{held} accounts behind {before}");
            let told: BTreeSet<String> = stage.cloud.mails().into_iter().flat_map(|mail| mail.to).collect();
            let owners = accounts.iter().map(|account| format!("owner-{account}@example.com")).collect();
            assert_eq!(told, owners, "each by the address that the organization has");
        }
    });
}

#[test]
fn a_digest_reports_in_time_that_organizations_did_not_answer() {
    rehearse(async {
        let (stage, role) = TestStack::with_organization_reader();
        for n in 0..40 {
            let account = format!("{}", 300_000_000_000_u64 + n);
            stage.add_member(&account, "many");
            stage.add_user_in(&account, "ci-bot", &[85]);
            let event = json!({"account": account, "email": "sweep@example.com", "notices": "later"});
            stage.keywheel.sweep(event).await.expect("the sweep answers");
        }
        // The session of the sweeps is over.
        stage.cloud.clock().advance(Duration::from_hours(2)).await;
        let silence = Fault::on("sts", "AssumeRole", FaultKind::Hang).about(&role).every();
        let silence = stage.cloud.faults().inject(silence);
        let began = stage.now();
        let answer = stage.digest().await;
        let waited = stage.now() - began;
        assert!(waited < TimeDelta::minutes(2), "{waited}: nobody waits for what another has just waited for");
        assert_eq!((answer["failures"].as_array().map(Vec::len), stage.held()), (Some(40), 40), "{answer}");
        assert!(failures(&answer).contains("sts:AssumeRole"), "{answer}");
        silence.remove();
        stage.pass_days(1).await;
        assert_eq!((failures(&stage.digest().await), stage.held()), ("[]".to_owned(), 0));
    });
}

/// Such a rotation would be refused, so its announcement would be false.
#[test]
fn a_digest_announces_no_rotation_that_the_sweep_refuses() {
    rehearse(async {
        let stage = TestStack::with(&[("SECRETS_KMS_KEY_ID", "")]);
        let key = stage.add_user("ci-bot", &[85]).remove(0);
        let value = json!({"AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret}).to_string();
        stage.cloud.put_secret(PRIMARY_ACCOUNT, &secret_name(MEMBER, "ci-bot"), &value, stage.now());
        stage.tag_secret("ci-bot", "keywheel:untold", "untold:2026-01-01T06:00:00Z").await;
        assert!(failures(&stage.live().await).contains("SECRETS_KMS_KEY_ID"));
        stage.tag_secret("ci-bot", "keywheel:untold", "untold:2026-01-01T06:00:00Z").await;
        assert_eq!(stage.digest().await["mails"], 0);
        assert_eq!(stage.cloud.mails(), [], "the sweep sends nothing either");
    });
}
