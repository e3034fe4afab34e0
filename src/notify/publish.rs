//! Publishes the notices of a run to an SNS topic, in batches of the size that SNS accepts.

use super::addressed::Addressed;
use super::delivery::{DeliveryOptions, MailFailure};
use super::last_start::last_start;
use super::phrases::counted;
use super::template::Templates;
use super::topic_message::topic_message;
use crate::aws::{CallFailure, FailureKind, MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, SweeperAws, TopicMessage};

/// The result of publishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Publication {
    /// Whether SNS accepted each notice, in the order in which the notices were passed.
    pub(super) accepted: Vec<bool>,
    /// Why notices were not published. The next run publishes them.
    pub(super) failures: Vec<MailFailure>,
}

/// Publishes these notices to a topic. Safe to repeat: a notice that is published twice on one day has the same `id`,
/// by which readers recognize it.
///
/// No batch is started without time to record it afterwards. If the topic cannot be published to, or does not answer,
/// no further batch is tried in this run.
pub(super) async fn publish(
    aws: &SweeperAws,
    options: &DeliveryOptions<'_>,
    topic_arn: &str,
    templates: &Templates,
    due: &[&Addressed<'_>],
) -> Publication {
    let messages: Vec<TopicMessage> =
        due.iter().map(|item| topic_message(templates, options.mode, aws.now(), item)).collect();
    let mut accepted = Vec::with_capacity(due.len());
    let mut failures = PublishFailures::default();
    let mut remaining = &messages[..];
    while !remaining.is_empty() {
        let size = first_batch(remaining);
        if aws.now() > last_start(options.deadline, accepted.len() + size, options.settings.max_concurrency) {
            failures.late = remaining.len();
            break;
        }
        let (batch, rest) = remaining.split_at(size);
        remaining = rest;
        match aws.topics().publish(topic_arn, batch).await {
            Ok(results) => {
                for result in results {
                    accepted.push(result.is_ok());
                    result.err().into_iter().for_each(|failure| failures.add(1, failure));
                }
            }
            Err(failure) => {
                // A problem with one message stops only its batch. A problem with the topic's key stops all batches.
                let is_for_all = failure.kind() != FailureKind::Refused || failure.code().starts_with("KMS");
                accepted.resize(accepted.len() + batch.len(), false);
                failures.add(batch.len() + if is_for_all { remaining.len() } else { 0 }, failure);
                if is_for_all {
                    break;
                }
            }
        }
    }
    accepted.resize(due.len(), false);
    Publication { accepted, failures: failures.into_failures() }
}

/// Returns how many of the messages fit into one batch, at least one. SNS refuses a message that is too large alone.
fn first_batch(messages: &[TopicMessage]) -> usize {
    let sizes = messages.iter().take(MAX_BATCH_MESSAGES).scan(0, |total, message| {
        *total += message.size();
        Some(*total)
    });
    sizes.take_while(|total| *total <= MAX_BATCH_BYTES).count().max(1)
}

/// Why notices were not published. Each kind of failure is reported once, with the number of notices.
#[derive(Default)]
struct PublishFailures {
    failures: Vec<(usize, CallFailure)>,
    late: usize,
}

impl PublishFailures {
    fn add(&mut self, notices: usize, failure: CallFailure) {
        match self.failures.iter_mut().find(|(_, other)| other.code() == failure.code()) {
            Some((count, _)) => *count += notices,
            None => self.failures.push((notices, failure)),
        }
    }

    fn into_failures(self) -> Vec<MailFailure> {
        let report = |count: usize, why: String| MailFailure {
            account: None,
            user: None,
            error: format!("{} not published to NOTICE_TOPIC_ARN: {why}", counted(count, "notice")),
        };
        let failures = self.failures.into_iter().map(|(count, failure)| {
            let remedy = remedy(&failure);
            report(count, format!("{remedy}: {failure}"))
        });
        let late = (self.late > 0)
            .then(|| report(self.late, "the function's time is nearly over; the next run publishes them".to_owned()));
        failures.chain(late).collect()
    }
}

/// Returns the remedy for a failure.
/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html#API_PublishBatch_Errors>
fn remedy(failure: &CallFailure) -> &'static str {
    match failure.kind() {
        FailureKind::Denied => {
            "the sweeper's role lacks sns:Publish, or the topic's policy denies it; deploy the template"
        }
        FailureKind::NotFound => "this Region has no such topic; correct the setting",
        _ if failure.code().starts_with("KMSThrottling") => "KMS throttles requests; the next run publishes them",
        FailureKind::Refused if failure.code().starts_with("KMS") => {
            "the sweeper's role may not use the topic's KMS key; allow kms:GenerateDataKey and kms:Decrypt"
        }
        FailureKind::Refused => "SNS refuses them",
        FailureKind::Throttled | FailureKind::Conflict | FailureKind::NoAnswer => "the next run publishes them",
    }
}

#[cfg(all(test, feature = "rehearsal"))]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::aws::Access;
    use crate::lifecycle::{Notice, NoticeKind};
    use crate::model::{Clock, Cloud, Fault, FaultKind};
    use crate::notify::fixtures::{contact, key, notice, now, settings, templates};
    use crate::notify::{Mode, Scope};
    use crate::state::Notified;

    const ACCOUNT: &str = "999988887777";

    struct TopicFixture {
        cloud: Cloud,
        aws: SweeperAws,
        topic: String,
        time: TimeDelta,
    }

    impl TopicFixture {
        fn new() -> Self {
            let cloud = Cloud::new(Clock::starting_at(now()), 1);
            cloud.add_account(ACCOUNT, "security", None);
            let topic = cloud.add_topic(ACCOUNT, "notices");
            let access = Access {
                primary_account: ACCOUNT.parse().expect("twelve digits"),
                member_role: "member".to_owned(),
                session_name: "session".to_owned(),
                org_list_role_arn: None,
                mail_region: None,
            };
            let aws = SweeperAws::new(cloud.sdk_config(ACCOUNT, "sweeper"), access);
            Self { cloud, aws, topic, time: TimeDelta::minutes(10) }
        }

        async fn publish(&self, notices: usize) -> Publication {
            let (account, notified) = (contact("prod", None), Notified::default());
            let notices: Vec<Notice> =
                (0..notices).map(|n| Notice { key: key(n), ..notice(NoticeKind::Deleted) }).collect();
            let due: Vec<Addressed<'_>> =
                notices.iter().map(|notice| Addressed { notice, account: &account, notified: &notified }).collect();
            let options = DeliveryOptions {
                mode: Mode::Enforced,
                scope: Scope::Run,
                defers: false,
                now: self.aws.now(),
                deadline: self.aws.now() + self.time,
                settings: &settings(&[]),
            };
            let due: Vec<&Addressed<'_>> = due.iter().collect();
            publish(&self.aws, &options, &self.topic, &templates(), &due).await
        }

        fn calls(&self) -> usize {
            self.cloud.calls().len()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn notices_are_published_ten_at_a_time() {
        let fixture = TopicFixture::new();
        let publication = fixture.publish(25).await;
        assert_eq!(publication, Publication { accepted: vec![true; 25], failures: Vec::new() });
        assert_eq!(fixture.calls(), 3);
        let messages = fixture.cloud.topic_messages(&fixture.topic);
        assert_eq!((messages.len(), messages[24].json()["key"].clone()), (25, key(24).to_string().into()));
        assert_eq!(messages[0].attributes["phase"], "deleted");
        assert_eq!(fixture.publish(0).await, Publication { accepted: Vec::new(), failures: Vec::new() });
        assert_eq!(fixture.calls(), 3, "nothing to publish, nothing called");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_sns_refuses_stays_due_alone() {
        let fixture = TopicFixture::new();
        fixture.cloud.switch(|aws| aws.topic_refuses = Some(key(13).to_string()));
        let publication = fixture.publish(25).await;
        let accepted: Vec<bool> = (0..25).map(|n| n != 13).collect();
        assert_eq!(publication.accepted, accepted);
        let [failure] = &publication.failures[..] else { panic!("{publication:?}") };
        assert!(
            failure.error.starts_with("1 notice not published to NOTICE_TOPIC_ARN: the next run publishes them: sns:"),
            "{failure:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_unusable_topic_is_tried_once() {
        for (kind, words) in [
            (FaultKind::AccessDenied, "lacks sns:Publish"),
            (FaultKind::Hang, "the next run publishes them"),
            (FaultKind::Throttle { times: 100 }, "the next run publishes them"),
        ] {
            let fixture = TopicFixture::new();
            fixture.cloud.faults().inject(Fault::on("sns", "PublishBatch", kind.clone()).every());
            let publication = fixture.publish(25).await;
            assert_eq!(publication.accepted, [false; 25], "{kind:?}");
            let [failure] = &publication.failures[..] else { panic!("{publication:?}") };
            assert!(failure.error.starts_with("25 notices not published"), "{failure:?}");
            assert!(failure.error.contains(words), "{failure:?}");
            assert!(fixture.calls() <= 3, "the SDK's attempts at one call");
        }
        let gone = TopicFixture { topic: "arn:aws:sns:us-east-1:999988887777:gone".to_owned(), ..TopicFixture::new() };
        let publication = gone.publish(25).await;
        assert!(publication.failures[0].error.contains("has no such topic"), "{publication:?}");
        assert_eq!(gone.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_batch_does_not_stop_the_others() {
        let fixture = TopicFixture::new();
        let refuse =
            FaultKind::ErrorBefore { status: 400, code: "InvalidParameter".to_owned(), message: String::new() };
        fixture.cloud.faults().inject(Fault::on("sns", "PublishBatch", refuse));
        let publication = fixture.publish(25).await;
        assert_eq!(publication.accepted, [vec![false; 10], vec![true; 15]].concat());
        assert!(publication.failures[0].error.starts_with("10 notices not published"), "{publication:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_published_without_time_to_record_it() {
        let fixture = TopicFixture { time: TimeDelta::seconds(30), ..TopicFixture::new() };
        let publication = fixture.publish(3).await;
        assert_eq!((publication.accepted, fixture.calls()), (vec![false; 3], 0));
        assert!(publication.failures[0].error.contains("time is nearly over"), "{:?}", publication.failures);
    }

    #[test]
    fn a_batch_respects_the_limits_of_sns() {
        let message = |bytes: usize| TopicMessage { body: "x".repeat(bytes), attributes: Vec::new() };
        let half = MAX_BATCH_BYTES / 2;
        assert_eq!(first_batch(&[message(half), message(half), message(1)]), 2);
        assert_eq!(first_batch(&vec![message(1); 30]), MAX_BATCH_MESSAGES);
        assert_eq!(first_batch(&[message(MAX_BATCH_BYTES + 1), message(1)]), 1, "alone, to be refused alone");
    }
}
