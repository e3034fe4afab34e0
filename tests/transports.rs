//! Both transports, through the SDK and around it, lead to the same results, so a test on one is valid for the other.

use keywheel::model::{Clock, Cloud, KeyChange};
use keywheel::rehearsal::Transport;

use crate::harness::{MEMBER, OTHER, TestStack, rehearse, start};

/// Everything that keywheel did, without key ids, which are random.
#[derive(Debug, PartialEq)]
struct Story {
    calls: Vec<(String, String, Option<String>)>,
    keys: Vec<(String, KeyChange, bool)>,
    mails: Vec<(Vec<String>, usize)>,
}

/// The life of a rotated key, of two keys that a person made, of an exempt user, and of a user who is deleted.
async fn story(transport: Transport) -> Story {
    let cloud = Cloud::new(Clock::starting_at(start()), 1);
    cloud.switch(|switches| switches.short_iam_pages = true);
    // One user at a time, because concurrent calls interleave in the order of their waits.
    let stage = TestStack::through(transport, cloud, &[("MAX_CONCURRENCY", "1"), ("MAX_CONCURRENT_USERS", "1")]);
    stage.add_member(OTHER, "test");
    stage.add_user("ci-bot", &[85]);
    stage.add_user("two,keys", &[95, 50]);
    stage.add_user("exempt", &[200]);
    stage.add_user_in(OTHER, "vendor", &[89]);
    stage.cloud.add_to_group(MEMBER, &stage.keywheel.settings().exemption_group, "exempt");
    stage.live().await;
    stage.live_days(27).await;
    stage.cloud.delete_user(OTHER, "vendor");
    stage.live_days(3).await;
    let calls = stage.cloud.calls().into_iter().map(|call| (call.service, call.operation, call.error_code));
    // The number of tests of a new key depends on random waits.
    let calls = calls.filter(|(_, operation, _)| operation != "GetCallerIdentity");
    let keys = stage.cloud.key_history(0).into_iter().map(|event| (event.user, event.change, event.by.is_some()));
    let mails = stage.cloud.mails().into_iter().map(|mail| (mail.to, mail.text.unwrap_or_default().len()));
    Story { calls: calls.collect(), keys: keys.collect(), mails: mails.collect() }
}

#[test]
fn both_transports_make_the_same_calls_with_the_same_effects() {
    rehearse(async {
        let (sdk, direct) = (story(Transport::Sdk).await, story(Transport::Direct).await);
        assert!(sdk.calls.len() > 500 && sdk.keys.len() > 10, "{} calls, {} changes", sdk.calls.len(), sdk.keys.len());
        let differs = sdk.calls.iter().zip(&direct.calls).find(|(sdk, direct)| sdk != direct);
        assert_eq!(differs, None, "the first call that is not the same");
        assert_eq!(sdk, direct);
    });
}
