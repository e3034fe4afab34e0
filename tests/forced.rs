//! Forced rotations: everybody learns what was done to which key, and that earlier dates are void.

use keywheel::model::{Fault, FaultKind};

use crate::harness::{MEMBER, TestStack, rehearse};

const OWNER: &str = "jo@example.com";

/// A user with an owner, whose old key is announced to be disabled in seven days, and the id of the old key.
async fn announced() -> (TestStack, String) {
    let stage = TestStack::new();
    let old = stage.add_user("ci-bot", &[90]).remove(0).access_key_id;
    stage.cloud.tag_user(MEMBER, "ci-bot", "owner", OWNER);
    stage.live().await;
    stage.live_days(3).await;
    assert!(!stage.mails_with(&[&old, "will be disabled on"]).is_empty());
    stage.tag_secret("ci-bot", "keywheel:force", "true").await;
    (stage, old)
}

/// The recipients of mails that say that this key was deleted by force.
fn told(stage: &TestStack, key: &str) -> Vec<String> {
    let mails = stage.mails_with(&[key, "disabled and deleted by a forced rotation"]);
    let mut told: Vec<String> = mails.into_iter().flat_map(|mail| mail.to).collect();
    told.sort();
    told
}

#[test]
fn on_aws_a3_a_forced_rotation_is_told_at_once() {
    rehearse(async {
        let (stage, old) = announced().await;
        stage.rotate("ci-bot").await.expect("rotated");
        stage.hand_over_events().await;
        assert_eq!(told(&stage, &old), [OWNER, "prod@example.com"], "by the event of the rotation");
        let new = stage.current_key("ci-bot");
        let mails = stage.mails_with(&[&old, "disabled and deleted by a forced rotation"]);
        let text = mails[0].text.clone().expect("a text part");
        for said in
            ["An earlier notice that named a later date for this key is void", "get-secret-value", "keywheel:force"]
        {
            assert!(text.contains(said), "{said}: {text}");
        }
        let of_rotation = format!("The rotation was forced: it disabled and deleted {old} at once");
        assert_eq!(stage.mails_with(&[&new, &of_rotation]).len(), 2, "the mail about the rotation says it, too");
        let sent = stage.cloud.mails().len();
        stage.live_days(3).await;
        assert_eq!(told(&stage, &old).len(), 2, "once");
        let later: Vec<_> = stage.cloud.mails()[sent..].iter().map(|mail| mail.subject.clone()).collect();
        assert!(!later.iter().any(|subject| subject.contains("deleted")), "{later:?}");
    });
}

#[test]
fn on_aws_a3_a_lost_event_leaves_it_to_the_next_sweep() {
    rehearse(async {
        let (stage, old) = announced().await;
        stage.rotate("ci-bot").await.expect("rotated");
        stage.cloud.drain_events();
        stage.pass_days(1).await;
        stage.sweep_well().await;
        assert_eq!(told(&stage, &old), [OWNER, "prod@example.com"]);
    });
}

#[test]
fn on_aws_a3_it_is_told_although_the_rotation_fails_then() {
    rehearse(async {
        let (stage, old) = announced().await;
        stage.cloud.faults().inject(Fault::on("iam", "CreateAccessKey", FaultKind::AccessDenied).every());
        stage.rotate("ci-bot").await.expect_err("no key can be made");
        stage.cloud.drain_events();
        assert!(stage.user("ci-bot").key(&old).is_none(), "deleted before the rotation failed");
        stage.pass_days(1).await;
        stage.sweep().await;
        assert_eq!(told(&stage, &old), [OWNER, "prod@example.com"]);
        stage.cloud.faults().clear();
        stage.rotate("ci-bot").await.expect("rotated");
        stage.hand_over_events().await;
        assert_eq!(told(&stage, &old).len(), 2, "once");
    });
}

/// The key was announced to be deleted, and the notice of its end is the forced one alone.
#[test]
fn on_aws_a3_a_disabled_key_deleted_by_force_is_told_of_once() {
    rehearse(async {
        let stage = TestStack::new();
        let (old, _) = stage.add_rotated_user("ci-bot").await;
        stage.live_days(12).await;
        assert!(!stage.mails_with(&[&old.access_key_id, "was disabled and will be deleted on"]).is_empty());
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        stage.rotate("ci-bot").await.expect("rotated");
        stage.hand_over_events().await;
        assert_eq!(told(&stage, &old.access_key_id), ["prod@example.com"]);
        stage.live_days(3).await;
        assert_eq!(told(&stage, &old.access_key_id).len(), 1);
        let usual = stage.cloud.mails().into_iter().filter(|mail| mail.subject.contains("was deleted"));
        assert_eq!(usual.count(), 0);
    });
}

#[test]
fn on_aws_a3_a_forced_rotation_that_removes_nothing_is_usual() {
    rehearse(async {
        let stage = TestStack::new();
        stage.add_user("ci-bot", &[30]);
        stage.live().await;
        stage.tag_secret("ci-bot", "keywheel:force", "true").await;
        stage.rotate("ci-bot").await.expect("rotated");
        stage.hand_over_events().await;
        assert!(stage.mails_with(&["forced"]).is_empty());
        assert_eq!(stage.mails_with(&["was rotated"]).len(), 1);
    });
}
