//! Publishes the messages of a run, as many at a time as SNS takes.

use super::super::deliver::last_start;
use super::super::phrases::counted;
use super::super::{Addressed, MailFailure, Telling, Templates};
use super::message;
use crate::aws::{CallFailure, FailureKind, MAX_BATCH_BYTES, MAX_BATCH_MESSAGES, SweeperAws, TopicMessage};

/// What became of the notices that were to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::notify) struct Publication {
    /// Whether SNS took each of them, in the order in which they came.
    pub(in crate::notify) taken: Vec<bool>,
    /// What went wrong. What was not taken is to be published on the next run.
    pub(in crate::notify) failures: Vec<MailFailure>,
}

/// Publishes these notices to a topic. Safe to repeat: what is published twice on one day has the same `id`, by which its
/// readers know it.
///
/// Nothing is begun when there would be no time left to write down what was told. A topic that cannot be published to, or
/// does not answer, is not asked again in the same run.
pub(in crate::notify) async fn publish(
    aws: &SweeperAws,
    telling: &Telling<'_>,
    topic_arn: &str,
    templates: &Templates,
    due: &[&Addressed<'_>],
) -> Publication {
    let messages: Vec<TopicMessage> =
        due.iter().map(|item| message(templates, telling.mode, aws.now(), item)).collect();
    let mut taken = Vec::with_capacity(due.len());
    let mut refused = Refused::default();
    let mut left = &messages[..];
    while !left.is_empty() {
        let size = first_batch(left);
        if aws.now() > last_start(telling.deadline, taken.len() + size, telling.settings.max_concurrency) {
            refused.late = left.len();
            break;
        }
        let (batch, rest) = left.split_at(size);
        left = rest;
        match aws.topics().publish(topic_arn, batch).await {
            Ok(results) => {
                for result in results {
                    taken.push(result.is_ok());
                    result.err().into_iter().for_each(|failure| refused.add(1, failure));
                }
            }
            Err(failure) => {
                // What is wrong with a message keeps no other from being taken; what is wrong with the topic's key does.
                let is_for_all = failure.kind() != FailureKind::Refused || failure.code().starts_with("KMS");
                taken.resize(taken.len() + batch.len(), false);
                refused.add(batch.len() + if is_for_all { left.len() } else { 0 }, failure);
                if is_for_all {
                    break;
                }
            }
        }
    }
    taken.resize(due.len(), false);
    Publication { taken, failures: refused.into_failures() }
}

/// How many of the messages go together. One that is too large alone is left to SNS to refuse.
fn first_batch(messages: &[TopicMessage]) -> usize {
    let sizes = messages.iter().take(MAX_BATCH_MESSAGES).scan(0, |total, message| {
        *total += message.size();
        Some(*total)
    });
    sizes.take_while(|total| *total <= MAX_BATCH_BYTES).count().max(1)
}

/// What was not taken: each kind of failure is reported once, with the number of notices.
#[derive(Default)]
struct Refused {
    failures: Vec<(usize, CallFailure)>,
    late: usize,
}

impl Refused {
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
        let refused = self.failures.into_iter().map(|(count, failure)| {
            let words = way_out(&failure);
            report(count, format!("{words}: {failure}"))
        });
        let late = (self.late > 0)
            .then(|| report(self.late, "the function's time is nearly over; they are due on the next run".to_owned()));
        refused.chain(late).collect()
    }
}

/// <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html#API_PublishBatch_Errors>
fn way_out(failure: &CallFailure) -> &'static str {
    match failure.kind() {
        FailureKind::Denied => {
            "the sweeper's role lacks sns:Publish, or the topic's policy denies it; deploy the template"
        }
        FailureKind::NotFound => "there is no such topic in this Region; correct the setting",
        _ if failure.code().starts_with("KMSThrottling") => {
            "KMS takes no more for the moment; tried again on the next run"
        }
        FailureKind::Refused if failure.code().starts_with("KMS") => {
            "the topic's KMS key does not serve the sweeper's role; allow kms:GenerateDataKey and kms:Decrypt"
        }
        FailureKind::Refused => "SNS refuses them",
        FailureKind::Throttled | FailureKind::Conflict | FailureKind::NoAnswer => "tried again on the next run",
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

    struct World {
        cloud: Cloud,
        aws: SweeperAws,
        topic: String,
        time: TimeDelta,
    }

    impl World {
        fn new() -> Self {
            let cloud = Cloud::new(Clock::starting_at(now()), 1);
            cloud.add_account(ACCOUNT, "security", None);
            let topic = cloud.add_topic(ACCOUNT, "notices");
            let access = Access {
                primary_account: ACCOUNT.parse().expect("twelve digits"),
                member_role: "member".to_owned(),
                session_name: "session".to_owned(),
                org_list_role_arn: None,
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
            let telling = Telling {
                mode: Mode::Enforced,
                scope: Scope::Run,
                now: self.aws.now(),
                deadline: self.aws.now() + self.time,
                settings: &settings(&[]),
            };
            let due: Vec<&Addressed<'_>> = due.iter().collect();
            publish(&self.aws, &telling, &self.topic, &templates(), &due).await
        }

        fn calls(&self) -> usize {
            self.cloud.calls().len()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn notices_are_published_ten_at_a_time() {
        let world = World::new();
        let publication = world.publish(25).await;
        assert_eq!(publication, Publication { taken: vec![true; 25], failures: Vec::new() });
        assert_eq!(world.calls(), 3);
        let messages = world.cloud.topic_messages(&world.topic);
        assert_eq!((messages.len(), messages[24].json()["key"].clone()), (25, key(24).to_string().into()));
        assert_eq!(messages[0].attributes["phase"], "deleted");
        assert_eq!(world.publish(0).await, Publication { taken: Vec::new(), failures: Vec::new() });
        assert_eq!(world.calls(), 3, "nothing to publish, nothing called");
    }

    #[tokio::test(start_paused = true)]
    async fn what_sns_refuses_of_a_batch_is_due_again_and_the_others_are_not() {
        let world = World::new();
        world.cloud.switch(|aws| aws.topic_refuses = Some(key(13).to_string()));
        let publication = world.publish(25).await;
        let taken: Vec<bool> = (0..25).map(|n| n != 13).collect();
        assert_eq!(publication.taken, taken);
        let [failure] = &publication.failures[..] else { panic!("{publication:?}") };
        assert!(
            failure.error.starts_with("1 notice not published to NOTICE_TOPIC_ARN: tried again on the next run: sns:"),
            "{failure:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_cannot_be_published_to_is_asked_once() {
        for (kind, words) in [
            (FaultKind::AccessDenied, "lacks sns:Publish"),
            (FaultKind::Hang, "tried again on the next run"),
            (FaultKind::Throttle { times: 100 }, "tried again on the next run"),
        ] {
            let world = World::new();
            world.cloud.faults().inject(Fault::on("sns", "PublishBatch", kind.clone()).every());
            let publication = world.publish(25).await;
            assert_eq!(publication.taken, [false; 25], "{kind:?}");
            let [failure] = &publication.failures[..] else { panic!("{publication:?}") };
            assert!(failure.error.starts_with("25 notices not published"), "{failure:?}");
            assert!(failure.error.contains(words), "{failure:?}");
            assert!(world.calls() <= 3, "the SDK's attempts at one call");
        }
        let gone = World { topic: "arn:aws:sns:us-east-1:999988887777:gone".to_owned(), ..World::new() };
        let publication = gone.publish(25).await;
        assert!(publication.failures[0].error.contains("there is no such topic"), "{publication:?}");
        assert_eq!(gone.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_refused_does_not_stop_the_others() {
        let world = World::new();
        let refuse =
            FaultKind::ErrorBefore { status: 400, code: "InvalidParameter".to_owned(), message: String::new() };
        world.cloud.faults().inject(Fault::on("sns", "PublishBatch", refuse));
        let publication = world.publish(25).await;
        assert_eq!(publication.taken, [vec![false; 10], vec![true; 15]].concat());
        assert!(publication.failures[0].error.starts_with("10 notices not published"), "{publication:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_published_that_could_not_be_recorded() {
        let world = World { time: TimeDelta::seconds(30), ..World::new() };
        let publication = world.publish(3).await;
        assert_eq!((publication.taken, world.calls()), (vec![false; 3], 0));
        assert!(publication.failures[0].error.contains("time is nearly over"), "{:?}", publication.failures);
    }

    #[test]
    fn a_batch_holds_no_more_than_sns_takes() {
        let message = |bytes: usize| TopicMessage { body: "x".repeat(bytes), attributes: Vec::new() };
        let half = MAX_BATCH_BYTES / 2;
        assert_eq!(first_batch(&[message(half), message(half), message(1)]), 2);
        assert_eq!(first_batch(&vec![message(1); 30]), MAX_BATCH_MESSAGES);
        assert_eq!(first_batch(&[message(MAX_BATCH_BYTES + 1), message(1)]), 1, "alone, to be refused alone");
    }
}
