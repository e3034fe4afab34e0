//! Successes that are not the service's: a proxy's page, nothing, another form. The call may have taken effect.

use std::time::Duration;

use keywheel::model::{Fault, FaultKind, Unreadable};
use serde_json::json;

use crate::harness::{MEMBER, TestStack, done, failures, rehearse};

fn unreadable(answer: Unreadable) -> FaultKind {
    FaultKind::Unreadable { takes_effect: true, answer }
}

fn nothing(content_type: &'static str) -> Unreadable {
    Unreadable::Body { status: 200, content_type, text: "" }
}

/// Every active key of ci-bot is the old one or the one in its secret.
fn assert_every_key_is_held(stage: &TestStack, old: &str) {
    let current = stage.current_key("ci-bot");
    for key in stage.user("ci-bot").keys {
        assert!(key.id == old || key.id == current, "nobody holds {}", key.id);
    }
    assert_ne!(current, old, "rotated");
}

#[test]
fn reported_c1_a_key_without_a_readable_answer_is_cleaned_up() {
    rehearse(async {
        for answer in [Unreadable::page(), nothing("text/xml"), Unreadable::OtherTimes, Unreadable::Half] {
            let stage = TestStack::new();
            let old = stage.add_user("ci-bot", &[90]).remove(0);
            let fault = stage.cloud.faults().inject(Fault::on("iam", "CreateAccessKey", unreadable(answer.clone())));
            stage.live().await;
            stage.live_days(2).await;
            assert_eq!(fault.fired(), 1, "{answer:?}");
            assert_eq!(stage.count("CreateAccessKey"), 2, "{answer:?}");
            assert_every_key_is_held(&stage, &old.access_key_id);
        }
    });
}

#[test]
fn reported_c1_a_value_put_without_a_readable_answer_stays() {
    rehearse(async {
        for text in ["not json", "", "{}"] {
            let stage = TestStack::new();
            stage.cloud.switch(|aws| aws.pending_read_lag = Duration::from_secs(6));
            let old = stage.add_user("ci-bot", &[90]).remove(0);
            let answer = Unreadable::Body { status: 200, content_type: "application/json", text };
            stage.cloud.faults().inject(Fault::on("secretsmanager", "PutSecretValue", unreadable(answer)));
            stage.live().await;
            stage.live_days(1).await;
            assert_eq!(stage.count("CreateAccessKey"), 1, "{text}: its key is in the version");
            assert_every_key_is_held(&stage, &old.access_key_id);
        }
    });
}

#[test]
fn reported_c1_a_mail_without_a_readable_answer_may_come_twice() {
    rehearse(async {
        for answer in [Unreadable::page(), nothing("application/json")] {
            let stage = TestStack::new();
            stage.add_user("ci-bot", &[90]);
            stage.live().await;
            stage.pass_days(3).await;
            stage.cloud.drain_mails();
            let fault = Fault::on("ses", "SendEmail", unreadable(answer.clone())).every();
            let fault = stage.cloud.faults().inject(fault);
            let swept = stage.sweep().await;
            assert!(failures(&swept).contains("it may come twice"), "{answer:?}: {swept}");
            fault.remove();
            stage.sweep_well().await;
            assert_eq!(stage.cloud.mails().len(), 2, "{answer:?}");
        }
    });
}

#[test]
fn reported_c1_a_session_that_is_unreadable_is_tried_again() {
    rehearse(async {
        for answer in [Unreadable::page(), Unreadable::OtherTimes, Unreadable::Half] {
            let stage = TestStack::new();
            stage.add_user("ci-bot", &[90]);
            stage.cloud.faults().inject(Fault::on("sts", "AssumeRole", unreadable(answer.clone())).every());
            let swept = stage.sweep_and_hold(MEMBER).await;
            assert_eq!(swept["skipped"][0]["transient"], json!(true), "{answer:?}: {swept}");
        }
    });
}

/// A proxy that answers in place of IAM has changed nothing, whatever its status.
#[test]
fn reported_c1_a_page_is_no_proof_that_a_key_is_disabled() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.pass_days(10).await;
        for (operation, action, before, after) in
            [("UpdateAccessKey", "disable", "Active", "Inactive"), ("DeleteAccessKey", "delete", "Inactive", "gone")]
        {
            let page = FaultKind::Unreadable { takes_effect: false, answer: Unreadable::page() };
            let page = stage.cloud.faults().inject(Fault::on("iam", operation, page).every());
            let swept = stage.sweep().await;
            assert_eq!((done(&swept, action), stage.status("ci-bot", &old).as_str()), (0, before), "{swept}");
            assert!(failures(&swept).contains("UnreadableAnswer"), "{swept}");
            page.remove();
            stage.live().await;
            assert_eq!(stage.status("ci-bot", &old), after);
            stage.pass_days(10).await;
        }
    });
}

/// A tag that was not written must not count as written: without the intent, nothing finds an orphan.
#[test]
fn reported_c1_a_page_is_no_proof_that_the_intent_is_written() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[90]);
        stage.sweep_well().await;
        let page = FaultKind::Unreadable { takes_effect: false, answer: Unreadable::page() };
        let page = stage.cloud.faults().inject(Fault::on("secretsmanager", "TagResource", page).every());
        stage.cloud.run_rotations().await;
        assert_eq!(stage.count("CreateAccessKey"), 0, "no key without an announcement");
        page.remove();
        stage.live_days(1).await;
        assert_eq!(stage.user("ci-bot").active_keys(), 2);
    });
}

#[test]
fn reported_c1_an_unreadable_list_is_no_short_list() {
    rehearse(async {
        for answer in [Unreadable::page(), Unreadable::Half, nothing("text/xml")] {
            for (service, operation) in [
                ("iam", "GetAccountAuthorizationDetails"),
                ("iam", "ListAccessKeys"),
                ("secretsmanager", "ListSecrets"),
                ("organizations", "ListAccounts"),
            ] {
                let stage = TestStack::new();
                stage.add_rotated_user("ci-bot").await;
                stage.pass_days(85).await;
                let before = stage.snapshot();
                stage.cloud.faults().inject(Fault::on(service, operation, unreadable(answer.clone())).every());
                let told = match stage.keywheel.sweep(json!({})).await {
                    Ok(swept) => failures(&swept),
                    Err(error) => error.to_string(),
                };
                let is_reported = told.contains("UnreadableAnswer") || told.contains("IncompleteAnswer");
                assert!(is_reported, "{operation}, {answer:?}: {told}");
                assert_eq!(stage.snapshot(), before, "{operation}, {answer:?}");
            }
        }
    });
}

/// A gateway's error has no code of the service. Whether the service saw the call is unknown.
#[test]
fn reported_c1_an_error_without_a_code_is_no_refusal() {
    rehearse(async {
        for status in [302, 403, 404, 407] {
            let stage = TestStack::new();
            stage.add_user("ci-bot", &[90]);
            let gateway = Unreadable::Body { status, content_type: "text/html", text: "<html></html>" };
            stage.cloud.faults().inject(Fault::on("secretsmanager", "ListSecrets", unreadable(gateway)).every());
            let swept = stage.sweep_and_hold(MEMBER).await;
            assert_eq!(swept["skipped"][0]["transient"], json!(true), "{status}: {swept}");
            assert!(failures(&swept).contains(&format!("HTTP status {status}")), "{swept}");
        }
    });
}
