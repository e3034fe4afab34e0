//! Exempt users.

use std::time::Duration;

use keywheel::model::{Fault, FaultKind};

use crate::harness::{MEMBER, TestStack, done, failures, refused, rehearse};

const GROUP: &str = "ASAIAMExemptionsGroup";

#[test]
fn an_exempt_user_gets_no_secret_and_loses_no_key() {
    rehearse(async {
        let stage = TestStack::new();
        let keys = stage.add_user("ci-bot", &[400, 300]);
        stage.cloud.add_to_group(MEMBER, GROUP, "ci-bot");
        for _ in 0..4 {
            stage.live().await;
            stage.pass_days(30).await;
        }
        assert_eq!(stage.find_secret("ci-bot"), None);
        assert!(keys.iter().all(|key| stage.status("ci-bot", key) == "Active"));
        assert_eq!(stage.cloud.mails(), []);
    });
}

#[test]
fn upstream_defect_40_the_120th_member_of_a_group_is_exempt_too() {
    rehearse(async {
        let stage = TestStack::new();
        for n in 0..120 {
            let name = format!("exempt-{n:03}");
            stage.add_user(&name, &[]);
            stage.cloud.add_to_group(MEMBER, GROUP, &name);
        }
        let last = stage.cloud.add_access_key(MEMBER, "exempt-119", stage.now() - chrono::TimeDelta::days(100));
        stage.add_user("zz-not-exempt", &[100]);
        stage.cloud.switch(|aws| aws.short_iam_pages = true);
        let answer = stage.live().await;
        assert_eq!(answer["users"], 121, "{answer}");
        assert!(stage.count("GetAccountAuthorizationDetails") > 2, "several pages");
        assert_eq!(stage.find_secret("exempt-119"), None);
        assert_eq!(stage.status("exempt-119", &last), "Active");
        assert_eq!(stage.count("CreateAccessKey"), 1, "one key, for the user who is not exempt");
    });
}

#[test]
fn upstream_defect_15_users_beyond_the_first_page_are_swept() {
    rehearse(async {
        let stage = TestStack::new();
        for n in 0..110 {
            stage.add_user(&format!("idle-{n:03}"), &[]);
        }
        stage.add_user("zz-last", &[90]);
        stage.cloud.switch(|aws| aws.short_iam_pages = true);
        let answer = stage.live().await;
        assert_eq!(answer["users"], 111);
        assert_eq!(stage.user("zz-last").keys.len(), 2, "rotated");
    });
}

#[test]
fn upstream_defect_41_no_sweep_without_the_groups() {
    rehearse(async {
        for kind in [FaultKind::AccessDenied, refused("ServiceFailure"), FaultKind::Throttle { times: 100 }] {
            let stage = TestStack::new();
            stage.add_user("ci-bot", &[90]);
            stage.cloud.add_to_group(MEMBER, GROUP, "ci-bot");
            let fault = Fault::on("iam", "GetAccountAuthorizationDetails", kind.clone()).in_account(MEMBER).every();
            stage.cloud.faults().inject(fault);
            let answer = stage.live().await;
            assert_eq!(answer["skipped"][0]["account"], MEMBER, "{kind:?}: {answer}");
            assert!(failures(&answer).contains("GetAccountAuthorizationDetails"), "{answer}");
            assert_eq!(answer["accounts"], 1, "the other account is swept");
            assert_eq!(stage.find_secret("ci-bot"), None);
        }
    });
}

#[test]
fn upstream_defect_41_unconfirmed_membership_stops_all_actions() {
    rehearse(async {
        let mut stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.add_user("other", &[90]);
        stage.pass_days(10).await;
        // The SDK would time out a slow call.
        stage.leave_the_sdk();
        let fault = Fault::on("iam", "ListGroupsForUser", FaultKind::AccessDenied).about("ci-bot").every();
        stage.cloud.faults().inject(fault);
        // By then the list of users is outdated, and no other can be read.
        let denied = Fault::on("iam", "GetAccountAuthorizationDetails", FaultKind::AccessDenied);
        stage.cloud.faults().inject(denied.in_account(MEMBER).nth(2));
        let slow = FaultKind::Latency(Duration::from_secs(25));
        stage.cloud.faults().inject(Fault::on("iam", "ListAccessKeys", slow.clone()).about("ci-bot").every());
        stage.cloud.faults().inject(Fault::on("iam", "GetAccessKeyLastUsed", slow.clone()).every());
        stage.cloud.faults().inject(Fault::on("secretsmanager", "ListSecrets", slow).every());
        let answer = stage.sweep().await;
        assert_eq!(stage.status("ci-bot", &old), "Active");
        assert!(failures(&answer).contains("ci-bot") && failures(&answer).contains("exempt"), "{answer}");
        assert_eq!(done(&answer, "rotate"), 1, "only the other user's key");
    });
}

#[test]
fn a_missing_exemption_group_is_reported() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[10]);
        stage.cloud.delete_group(MEMBER, GROUP);
        let answer = stage.sweep().await;
        assert!(failures(&answer).contains(GROUP) && failures(&answer).contains(MEMBER), "{answer}");
        assert_eq!(answer["failures"].as_array().map(Vec::len), Some(1));
    });
}

#[test]
fn an_exemption_cancels_the_schedule_until_it_ends() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, new) = stage.add_rotated_user("ci-bot").await;
        stage.cloud.add_to_group(MEMBER, GROUP, "ci-bot");
        let answer = stage.live().await;
        assert_eq!(done(&answer, "cancel"), 1);
        assert!(!stage.secret("ci-bot").rotation_enabled);
        stage.live_days(2).await;
        assert_eq!(stage.mails_with(&["ci-bot", "The user is exempt from rotation"]).len(), 1, "one notice");
        stage.pass_days(100).await;
        stage.live().await;
        assert_eq!(stage.status("ci-bot", &old), "Active", "left alone");
        assert_eq!(stage.current_key("ci-bot"), new);
        stage.cloud.remove_from_group(MEMBER, GROUP, "ci-bot");
        stage.live().await;
        assert!(stage.secret("ci-bot").rotation_enabled);
        stage.live_days(25).await;
        assert_ne!(stage.current_key("ci-bot"), new, "rotated again");
        assert_eq!(stage.status("ci-bot", &old), "gone");
    });
}

#[test]
fn upstream_defect_41_the_group_is_found_whatever_its_case() {
    rehearse(async {
        let stage = TestStack::with(&[("IAM_EXEMPTION_GROUP", "asaiamexemptionsgroup")]);
        stage.cloud.delete_group(MEMBER, "asaiamexemptionsgroup");
        stage.cloud.add_group(MEMBER, GROUP);
        stage.add_user("ci-bot", &[400]);
        stage.cloud.add_to_group(MEMBER, GROUP, "ci-bot");
        stage.sweep_well().await;
        assert_eq!(stage.find_secret("ci-bot"), None, "IAM ignores the case of group names");
    });
}

#[test]
fn a_rotation_that_an_exemption_cut_off_blocks_no_later_one() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        stage.cloud.switch(|aws| aws.rotation_attempts = 1);
        stage.cloud.faults().inject(Fault::on("sts", "GetCallerIdentity", FaultKind::Stop));
        stage.cloud.run_rotations().await;
        stage.cloud.add_to_group(MEMBER, GROUP, "ci-bot");
        stage.live_days(1).await;
        assert!(!stage.secret("ci-bot").rotation_enabled);
        assert!(stage.secret("ci-bot").version_with("AWSPENDING").is_some(), "the interrupted rotation left it");
        stage.cloud.remove_from_group(MEMBER, GROUP, "ci-bot");
        stage.live_days(1).await;
        assert_eq!(stage.secret("ci-bot").last_rotation, Some(Ok(())));
        assert!(stage.secret("ci-bot").rotation_enabled);
        let user = stage.user("ci-bot");
        assert_eq!((user.keys.len(), user.active_keys()), (2, 2));
        assert!(user.key(&stage.current_key("ci-bot")).is_some());
    });
}

/// A sweep that takes minutes lists the users again, or reads each user's groups if it may not list them.
#[test]
fn a_user_who_becomes_exempt_during_a_sweep_is_left_alone() {
    for is_listed_again in [true, false] {
        rehearse(async {
            let stage = TestStack::with(&[("MAX_CONCURRENT_USERS", "1"), ("CHANGES_PER_RUN", "0")]);
            let names: Vec<String> = (0..60).map(|n| format!("bot-{n:02}")).collect();
            let old: Vec<_> = names.iter().map(|name| stage.add_user(name, &[90]).remove(0)).collect();
            stage.live_days(9).await;
            stage.pass_days(2).await;
            let slow = Fault::on("*", "*", FaultKind::Latency(Duration::from_secs(1))).every();
            stage.cloud.faults().inject(slow);
            if !is_listed_again {
                let denied = Fault::on("iam", "GetAccountAuthorizationDetails", FaultKind::AccessDenied);
                stage.cloud.faults().inject(denied.in_account(MEMBER).nth(2));
            }
            let is_active = |n: &usize| stage.status(&names[*n], &old[*n]) == "Active";
            let meanwhile = async {
                tokio::time::sleep(Duration::from_secs(100)).await;
                let left: Vec<usize> = (0..names.len()).filter(is_active).collect();
                assert!(left.len() < names.len(), "the sweep has started");
                let chosen = left[left.len() / 2];
                stage.cloud.add_to_group(MEMBER, GROUP, &names[chosen]);
                chosen
            };
            let (answer, chosen) = tokio::join!(stage.sweep_well(), meanwhile);
            let left: Vec<usize> = (0..names.len()).filter(is_active).collect();
            assert_eq!((left, done(&answer, "disable")), (vec![chosen], 59), "listed again: {is_listed_again}");
        });
    }
}
