//! Which accounts are swept: pages, states, and what happens where they cannot be listed or reached.

use keywheel::model::{AccountStatus, Clock, Cloud, Fault, FaultKind};
use keywheel::rehearsal::{Deployment, PRIMARY_ACCOUNT};
use serde_json::{Value, json};

use crate::harness::{MEMBER, OTHER, TestStack, done, failures, refused, rehearse, secret_name, start};

/// A stage with so many member accounts.
fn organization(members: usize) -> TestStack {
    let stage = TestStack::new();
    for n in 1..members {
        stage.add_member(&format!("2000000000{n:02}"), &format!("account-{n:02}"));
    }
    stage
}

#[test]
fn upstream_defect_48_all_pages_are_listed_the_empty_ones_too() {
    rehearse(async {
        let stage = organization(45);
        stage.add_user_in("200000000044", "far-off", &[90]);
        stage.cloud.switch(|aws| aws.empty_account_pages = true);
        let answer = stage.sweep_well().await;
        assert_eq!(answer["accounts"], 46);
        assert_eq!(done(&answer, "rotate"), 1, "in the account on the last page");
    });
}

#[test]
fn upstream_defect_48_a_failed_page_is_an_error() {
    rehearse(async {
        for kind in [FaultKind::Throttle { times: 100 }, refused("ServiceException")] {
            let stage = organization(25);
            stage.add_user("ci-bot", &[90]);
            stage.cloud.faults().inject(Fault::on("organizations", "ListAccounts", kind).nth(2));
            let error = stage.keywheel.sweep(json!({})).await.expect_err("no part of a list");
            assert_eq!(error.name(), "AwsCallFailed");
            assert!(error.to_string().contains("ListAccounts"), "{error}");
            assert_eq!(stage.find_secret("ci-bot"), None, "nothing was done");
        }
    });
}

#[test]
fn upstream_defect_47_accounts_are_read_with_either_state_field() {
    rehearse(async {
        for (state, status) in [(true, false), (false, true)] {
            let stage = TestStack::new();
            stage.add_member(OTHER, "closed");
            stage.cloud.set_account_state(OTHER, AccountStatus::Suspended);
            stage.cloud.switch(|aws| (aws.omit_account_state, aws.omit_account_status) = (state, status));
            let answer = stage.sweep_well().await;
            assert_eq!(answer["accounts"], 2);
            assert_eq!(answer["skipped"][0]["account"], OTHER, "{answer}");
            assert_eq!(answer["skipped"][0]["reason"], "its state is SUSPENDED");
        }
    });
}

#[test]
fn upstream_defect_47_an_account_without_a_state_is_not_active() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.cloud.switch(|aws| (aws.omit_account_state, aws.omit_account_status) = (true, true));
        let answer = stage.sweep().await;
        assert_eq!((answer["accounts"].clone(), answer["skipped"].as_array().map(Vec::len)), (json!(0), Some(2)));
        assert_eq!(stage.find_secret("ci-bot"), None);
    });
}

#[test]
fn upstream_defect_46_no_active_account_is_a_valid_answer() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.set_account_state(MEMBER, AccountStatus::Closed);
        stage.cloud.switch(|aws| (aws.omit_account_state, aws.omit_account_status) = (true, true));
        let answer = stage.sweep_well().await;
        assert_eq!(answer["accounts"], 0);
        assert_eq!(answer["mails"], 0);
    });
}

#[test]
fn upstream_defect_45_accounts_of_all_units_are_in_one_list() {
    rehearse(async {
        let stage = organization(3);
        stage.sweep_well().await;
        let organizations = stage.cloud.calls().into_iter().filter(|call| call.service == "organizations");
        assert!(organizations.map(|call| call.operation).all(|operation| operation == "ListAccounts"));
    });
}

#[test]
fn upstream_defect_38_only_the_own_account_is_swept_if_denied() {
    rehearse(async {
        for (leave, organization) in [(true, ""), (true, "o-keywheel0001"), (false, "o-keywheel0001")] {
            let cloud = Cloud::new(Clock::starting_at(start()), 1);
            cloud.add_account(PRIMARY_ACCOUNT, "security", Some("security@example.com"));
            if leave {
                cloud.leave_organization();
            } else {
                cloud.add_account(MEMBER, "management", None);
                cloud.set_management_account(MEMBER);
            }
            let keywheel = Deployment::new(&cloud, &[("AWS_ORG_ID", organization)]).expect("settings");
            keywheel.prepare_groups(PRIMARY_ACCOUNT);
            cloud.add_user(PRIMARY_ACCOUNT, "ci-bot", "/");
            cloud.add_access_key(PRIMARY_ACCOUNT, "ci-bot", start() - chrono::TimeDelta::days(85));
            let answer = keywheel.sweep(json!({})).await.expect("an answer");
            assert_eq!(answer["accounts"], json!(1));
            let reported = failures(&answer).contains("only this account is swept");
            assert_eq!(reported, !organization.is_empty(), "one account must not look like a whole organization");
            assert_eq!(done(&answer, "provision"), 1);
            let assumed = cloud.calls().into_iter().any(|call| call.operation == "AssumeRole");
            assert!(!assumed, "no role is needed in the own account");
            let mails = cloud.mails();
            assert_eq!(mails.len(), 1);
            assert_eq!(mails[0].to, ["platform@example.com"], "RECIPIENT_EMAIL");
        }
    });
}

#[test]
fn upstream_defect_51_management_users_rotate_without_a_role() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user_in(PRIMARY_ACCOUNT, "root-bot", &[90]);
        let answer = stage.live().await;
        assert_eq!(failures(&answer), "[]");
        let user = stage.cloud.user(PRIMARY_ACCOUNT, "root-bot").expect("there");
        assert_eq!(user.active_keys(), 2);
        let secret = stage.cloud.secret(&secret_name(PRIMARY_ACCOUNT, "root-bot")).expect("there");
        assert_eq!(secret.last_rotation, Some(Ok(())));
    });
}

#[test]
fn upstream_defect_51_an_account_without_the_role_is_reported() {
    rehearse(async {
        let stage = TestStack::new();
        stage.cloud.add_account(OTHER, "unprepared", Some("unprepared@example.com"));
        stage.add_user_in(OTHER, "unreached", &[90]);
        stage.add_user("ci-bot", &[90]);
        let answer = stage.sweep().await;
        assert_eq!(answer["accounts"], 2);
        assert_eq!(answer["skipped"][0]["account"], OTHER);
        assert_eq!(answer["failures"][0]["account"], OTHER);
        assert!(failures(&answer).contains("sts:AssumeRole"), "{answer}");
        assert_eq!(done(&answer, "rotate"), 1);
    });
}

#[test]
fn one_account_is_swept_alone_and_its_contact_is_found() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_member(OTHER, "other");
        stage.add_user("ci-bot", &[85]);
        stage.add_user_in(OTHER, "untouched", &[85]);
        let answer = stage.keywheel.sweep(json!({"account": MEMBER})).await.expect("an answer");
        assert_eq!((answer["accounts"].clone(), answer["users"].clone()), (json!(1), json!(1)));
        assert_eq!(stage.cloud.secret(&secret_name(OTHER, "untouched")), None);
        let to: Vec<_> = stage.cloud.mails().into_iter().flat_map(|mail| mail.to).collect();
        assert_eq!(to, ["prod@example.com"]);
        let given = json!({"account": OTHER, "name": "n", "email": "given@example.com"});
        stage.keywheel.sweep(given).await.expect("an answer");
        assert_eq!(stage.cloud.mails().last().map(|mail| mail.to.clone()), Some(vec!["other@example.com".to_owned()]));
    });
}

#[test]
fn the_inventory_comes_in_pages_that_add_up() {
    rehearse(async {
        let stage = organization(50);
        stage.cloud.set_account_state("200000000007", AccountStatus::Suspended);
        stage.cloud.switch(|aws| aws.empty_account_pages = true);
        let mut seen: Vec<Value> = Vec::new();
        let (mut token, mut skipped, mut pages) = (Value::Null, 0, 0);
        loop {
            let event = json!({"inventory": {"next_token": token, "limit": 25}});
            let page = stage.keywheel.sweep(event).await.expect("a page");
            let accounts = page["accounts"].as_array().expect("accounts").clone();
            assert!(accounts.len() <= 25, "{}", accounts.len());
            seen.extend(accounts);
            skipped += page["skipped"].as_array().map_or(0, Vec::len);
            pages += 1;
            token = page["next_token"].clone();
            if token.is_null() {
                break;
            }
        }
        let mut ids: Vec<String> = seen.iter().map(|account| account["account"].to_string()).collect();
        ids.dedup();
        assert_eq!((ids.len(), skipped), (50, 1));
        assert!(pages >= 2, "{pages}");
        assert_eq!(seen[0], json!({"account": MEMBER, "name": "prod", "email": "prod@example.com"}));
        let swept = stage.keywheel.sweep(seen[0].clone()).await;
        assert_eq!(swept.expect("an item is an event")["accounts"], 1);
    });
}

#[test]
fn upstream_defect_35_another_partition_works_throughout() {
    rehearse(async {
        let cloud = Cloud::new(Clock::starting_at(start()), 1).with_partition("aws-cn").with_region("cn-north-1");
        let function = "arn:aws-cn:lambda:cn-north-1:999988887777:function:keywheel-rotation";
        let key = "arn:aws-cn:kms:cn-north-1:999988887777:key/7f1c2d3e-0000-4000-8000-000000000001";
        let stage = TestStack::on(cloud, &[("ROTATION_FUNCTION_ARN", function), ("SECRETS_KMS_KEY_ID", key)]);
        stage.add_user("ci-bot", &[90]);
        let answer = stage.live().await;
        assert_eq!(failures(&answer), "[]");
        let secret = stage.secret("ci-bot");
        assert_eq!(secret.last_rotation, Some(Ok(())));
        assert!(secret.policy.expect("a policy").to_string().contains("arn:aws-cn:iam::111122223333:user/ci-bot"));
        stage.live_days(22).await;
        assert_eq!(stage.user("ci-bot").keys.len(), 1, "the whole life");
    });
}

#[test]
fn a_denied_page_of_accounts_is_an_error_in_an_organization() {
    rehearse(async {
        for (organization, listed) in [("o-keywheel0001", false), ("", true)] {
            let cloud = Cloud::new(Clock::starting_at(start()), 1);
            cloud.add_account(PRIMARY_ACCOUNT, "security", None);
            cloud.leave_organization();
            let keywheel = Deployment::new(&cloud, &[("AWS_ORG_ID", organization)]).expect("settings");
            let page = keywheel.sweep(json!({"inventory": {}})).await;
            assert_eq!(page.is_ok(), listed, "{page:?}");
        }
    });
}

/// The organization is there, and the list is not whole.
#[test]
fn reported_c1_a_later_page_that_is_denied_is_an_error() {
    rehearse(async {
        for organization in ["", "o-keywheel0001"] {
            for event in [json!({}), json!({"inventory": {}})] {
                let stage = TestStack::with(&[("AWS_ORG_ID", organization)]);
                for n in 1..25 {
                    stage.add_member(&format!("2000000000{n:02}"), "many");
                }
                stage.add_user("ci-bot", &[90]);
                stage.cloud.faults().inject(Fault::on("organizations", "ListAccounts", FaultKind::AccessDenied).nth(2));
                let error = stage.keywheel.sweep(event.clone()).await.expect_err("no part of a list");
                assert!(error.to_string().contains("organizations:ListAccounts"), "{error}");
                let rest = json!({"inventory": {"next_token": "full/111122223333"}});
                stage.cloud.faults().inject(Fault::on("organizations", "ListAccounts", FaultKind::AccessDenied));
                stage.keywheel.sweep(rest).await.expect_err("the first page was listed by an earlier run");
            }
        }
    });
}

#[test]
fn reported_c7_an_account_that_is_listed_twice_is_swept_once() {
    rehearse(async {
        let stage = organization(45);
        stage.add_user_in("200000000001", "ci-bot", &[90]);
        stage.cloud.switch(|aws| aws.repeated_accounts = true);
        let answer = stage.sweep_well().await;
        assert_eq!((answer["accounts"].clone(), done(&answer, "rotate")), (json!(46), 1), "{answer}");
        let page = stage.keywheel.sweep(json!({"inventory": {"limit": 1000}})).await.expect("a page");
        assert_eq!(page["accounts"].as_array().map(Vec::len), Some(46));
    });
}

/// The management account is always listed.
#[test]
fn reported_c7_no_account_at_all_is_a_failure() {
    rehearse(async {
        for event in [json!({}), json!({"inventory": {}})] {
            let stage = TestStack::with(&[("AWS_ORG_ID", "o-keywheel0001")]);
            stage.add_user("ci-bot", &[90]);
            stage.cloud.switch(|aws| aws.no_accounts = true);
            let error = stage.keywheel.sweep(event).await.expect_err("an empty organization");
            assert!(error.to_string().contains("not even the management account"), "{error}");
        }
    });
}

/// A state machine tries an account again if a service throttles or does not answer, but not if the role is missing.
#[test]
fn an_account_that_is_not_swept_for_what_passes_is_marked_so() {
    rehearse(async {
        let lost = Fault::on("sts", "AssumeRole", FaultKind::LostAnswer).every();
        let throttled = Fault::on("secretsmanager", "ListSecrets", FaultKind::Throttle { times: 100 }).about(MEMBER);
        let failing = FaultKind::ErrorBefore { status: 503, code: "ServiceFailure".to_owned(), message: String::new() };
        let failing = Fault::on("iam", "GetAccountAuthorizationDetails", failing).in_account(MEMBER).every();
        let denied = Fault::on("sts", "AssumeRole", FaultKind::AccessDenied).every();
        for (fault, transient) in [(lost, true), (throttled, true), (failing, true), (denied, false)] {
            let stage = TestStack::new();
            stage.add_user("ci-bot", &[90]);
            stage.cloud.faults().inject(fault.clone());
            let answer = stage.sweep_and_hold(MEMBER).await;
            let skipped = answer["skipped"][0].as_object().unwrap_or_else(|| panic!("{fault:?}: {answer}"));
            assert_eq!(skipped.get("transient"), transient.then_some(&json!(true)), "{fault:?}: {answer}");
            stage.cloud.faults().clear();
            let answer = stage.sweep_and_hold(MEMBER).await;
            assert_eq!((failures(&answer), done(&answer, "rotate")), ("[]".to_owned(), 1), "{fault:?}");
        }
    });
}

#[test]
fn one_session_of_the_organizations_role_serves_all_calls() {
    rehearse(async {
        let (stage, role) = TestStack::with_organization_reader();
        for n in 0..60_u64 {
            stage.cloud.add_account(&format!("{}", 300_000_000_000 + n), "many", None);
        }
        let sessions = || {
            let calls = stage.cloud.calls();
            calls.iter().filter(|call| call.operation == "AssumeRole" && call.resource == role).count()
        };
        let page = json!({"inventory": {"next_token": null, "limit": 1000}});
        let listed = stage.keywheel.sweep(page.clone()).await.expect("a page");
        assert_eq!((listed["accounts"].as_array().map(Vec::len), stage.count("ListAccounts")), (Some(63), 4));
        stage.sweep_and_hold(MEMBER).await;
        assert_eq!((stage.count("DescribeAccount"), sessions()), (1, 1), "pages and the account");
        stage.pass_days(1).await;
        stage.keywheel.sweep(page).await.expect("a page");
        assert_eq!(sessions(), 2, "it does not outlast the session");
    });
}

/// AWS may answer with few secrets of those that a filter lets pass, or none, and say that there are more.
#[test]
fn secrets_are_listed_to_the_end_however_few_a_page_holds() {
    rehearse(async {
        let stage = organization(10);
        for n in 0..10 {
            stage.add_user(&format!("user-{n}"), &[20]);
        }
        for n in 1..10 {
            stage.add_user_in(&format!("2000000000{n:02}"), "ci-bot", &[85]);
        }
        stage.cloud.switch(|aws| aws.secrets_looked_at = Some(3));
        assert_eq!(done(&stage.sweep_well().await, "provision"), 19);
        stage.pass_days(1).await;
        let (lists, answer) = (stage.count("ListSecrets"), stage.sweep_and_hold("200000000005").await);
        assert_eq!((failures(&answer), &answer["users"]), ("[]".to_owned(), &json!(1)), "{answer}");
        assert_eq!(stage.count("ListSecrets") - lists, 7, "of 19 secrets in all");
        stage.cloud.delete_user(MEMBER, "user-3");
        stage.pass_days(65).await;
        for account in stage.cloud.account_ids() {
            let answer = stage.sweep_and_hold(&account).await;
            assert_eq!((failures(&answer), done(&answer, "provision")), ("[]".to_owned(), 0), "{answer}");
        }
        let (held, digest) = (stage.held(), stage.digest().await);
        assert_eq!((failures(&digest), held > 9, stage.held()), ("[]".to_owned(), true, 0), "{held}: {digest}");
        assert!(stage.secret("user-3").deletion_date.is_some(), "the secret of a deleted user is found");
    });
}
