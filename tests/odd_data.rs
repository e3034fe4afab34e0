//! One odd thing stops only itself, and no list of another's data is read for ever.

use chrono::TimeDelta;
use keywheel::model::{Fault, FaultKind};
use keywheel::rehearsal::PRIMARY_ACCOUNT;
use serde_json::json;

use crate::harness::{MEMBER, OTHER, TestStack, done, failures, rehearse, secret_name};

#[test]
fn reported_c5_an_odd_arn_stops_only_its_user() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.cloud.add_user(MEMBER, "odd", "/team\u{7f}/");
        stage.cloud.add_access_key(MEMBER, "odd", stage.now() - TimeDelta::days(90));
        let name = secret_name(MEMBER, "odd");
        stage.cloud.put_secret(PRIMARY_ACCOUNT, &name, "{}", stage.now());
        let answer = stage.live().await;
        assert_eq!(done(&answer, "rotate"), 1, "{answer}");
        let failed = answer["failures"].as_array().expect("a list");
        assert_eq!((failed.len(), &failed[0]["user"], &failed[0]["action"]), (1, &json!("odd"), &json!("observe")));
        assert!(failures(&answer).contains("user ARN"), "{answer}");
        assert_eq!(stage.cloud.secret(&name).expect("there").deletion_date, None, "the user is not gone");
        assert_eq!(stage.user("ci-bot").active_keys(), 2);
    });
}

#[test]
fn reported_c7_a_list_that_repeats_its_page_ends() {
    rehearse(async {
        for (service, operation, token) in [
            ("iam", "GetAccountAuthorizationDetails", "0"),
            ("iam", "ListAccessKeys", "0"),
            ("iam", "ListGroupsForUser", "0"),
            ("secretsmanager", "ListSecrets", "1000000"),
            ("organizations", "ListAccounts", "full/"),
        ] {
            let stage = TestStack::new();
            stage.add_user("ci-bot", &[90]);
            stage.sweep_well().await;
            let again = FaultKind::NextPage(token.to_owned());
            let again = stage.cloud.faults().inject(Fault::on(service, operation, again).every());
            let told = match (operation, stage.keywheel.sweep(json!({})).await) {
                ("ListGroupsForUser", _) => {
                    stage.cloud.run_rotations().await;
                    stage.secret("ci-bot").last_rotation.expect("it ended").expect_err("it failed")
                }
                (_, Ok(answer)) => failures(&answer),
                (_, Err(error)) => error.to_string(),
            };
            assert!(told.contains("its token came before"), "{operation}: {told}");
            assert!(again.fired() < 100, "{operation}: read {} times", again.fired());
        }
    });
}

/// The user of a secret that is listed twice is not deleted.
#[test]
fn reported_c7_a_secret_that_is_listed_twice_is_swept_once() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[10]);
        stage.live_days(2).await;
        let again = FaultKind::NextPage("1000000".to_owned());
        let again = stage.cloud.faults().inject(Fault::on("secretsmanager", "ListSecrets", again).about(MEMBER));
        let answer = stage.keywheel.sweep(json!({"dry_run": true})).await.expect("an answer");
        assert_eq!((again.fired(), &answer["actions"], &answer["users"]), (1, &json!({}), &json!(1)), "{answer}");
    });
}

#[test]
fn on_aws_b8_users_are_listed_in_smaller_pages_after_a_timeout() {
    rehearse(async {
        for (most, listed) in [(70, 150), (30, 0)] {
            let stage = TestStack::new();
            stage.add_member(OTHER, "other");
            for n in 0..150 {
                stage.cloud.add_user(MEMBER, &format!("user-{n:03}"), "/");
            }
            stage.add_user_in(OTHER, "far-off", &[90]);
            stage.cloud.switch(|aws| aws.details_of_at_most = Some(most));
            let answer = stage.sweep().await;
            assert_eq!(answer["users"], listed + 1, "{most}: {answer}");
            assert_eq!(done(&answer, "rotate"), 1, "{most}: {answer}");
            let skipped = answer["skipped"][0]["transient"] == json!(true);
            assert_eq!((answer["failures"] == json!([]), skipped), (listed > 0, listed == 0), "{answer}");
            // Three attempts by the SDK at each of 1,000, 500, 250 and 125 users, and for ever smaller pages no more.
            let lists = stage.count("GetAccountAuthorizationDetails");
            assert!(lists <= 4 * 3 + 4 + 3, "{most}: {lists} calls");
        }
    });
}
