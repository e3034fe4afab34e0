//! The people who must act are told: in spite of addresses without mail, missing roles, and users who cannot read their
//! secret.

use serde_json::json;

use crate::harness::{MEMBER, TestStack, failures, rehearse};

const OWNER: &str = "jo@example.com";
const TEAM: &str = "platform@example.com";

fn recipients(stage: &TestStack) -> Vec<String> {
    let mut to: Vec<String> = stage.cloud.mails().into_iter().flat_map(|mail| mail.to).collect();
    to.sort();
    to
}

#[test]
fn reported_c3_a_suppressed_owner_is_not_told_in_vain() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[85]);
        stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
        stage.cloud.switch(|aws| aws.suppressed_addresses = [("JO@example.com".to_owned(), "BOUNCE")].into());
        let answer = stage.live().await;
        assert_eq!(recipients(&stage), [TEAM, "prod@example.com"], "{answer:#}");
        assert!(failures(&answer).contains("j…@example.com, which is on its suppression list"), "{answer:#}");
        stage.pass_days(5).await;
        stage.live().await;
        assert_eq!(stage.mails_with(&["was rotated"]).len(), 2, "an event asks the list, too");
        assert!(!recipients(&stage).contains(&OWNER.to_owned()));
        assert_eq!(stage.live().await["mails"], json!(0), "and nothing is sent twice");
    });
}
