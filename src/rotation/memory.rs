//! What a process remembers between the steps of one rotation, so that it need not ask for it again.
//!
//! Lambda hands the steps of a rotation to a function one after the other, mostly to the same process. What it saw and made in
//! createSecret is true for the seconds that the other steps take, as nobody but Secrets Manager moves the labels of a rotation
//! under way; where somebody did, the service refuses the last step. Whatever is not sure is asked for as by a process that
//! has just started: a step that fails, or is stopped, leaves nothing behind.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use zeroize::ZeroizeOnDrop;

use super::event::{RotationEvent, Step};
use crate::aws::{ListedKey, SecretDescription};
use crate::keys::VersionId;
use crate::value::{KeyIdentity, StoredKey};

/// So long what createSecret saw counts. The other steps take seconds; a key that takes longer to work is looked at anew.
const COUNTS_FOR: TimeDelta = TimeDelta::minutes(2);

/// The memory of one process: of one rotation at most, and empty at the start. `Debug` shows nothing of it.
#[derive(Default)]
pub struct Memory(Mutex<Option<Rotation>>);

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory(redacted)")
    }
}

/// The secret half of the key wipes itself, as soon as the rotation is forgotten.
impl ZeroizeOnDrop for Memory {}

/// A rotation that this process has begun.
pub(super) struct Rotation {
    /// The secret as createSecret left it, by its ARN in the event.
    secret: String,
    version: VersionId,
    /// When createSecret began, which looked at the secret after that.
    began: DateTime<Utc>,
    /// As createSecret saw it, with the tags that it wrote.
    pub(super) description: SecretDescription,
    pub(super) progress: Progress,
}

/// How far it is, and what is needed from there on.
pub(super) enum Progress {
    /// The key is made and put.
    Created(StoredKey),
    /// It is on the user and active, among these.
    Set(StoredKey, Vec<ListedKey>),
    /// It works. Its secret half is not needed any more.
    Tested(KeyIdentity, Vec<ListedKey>),
}

impl Progress {
    /// The step that follows.
    fn next(&self) -> Step {
        match self {
            Self::Created(_) => Step::SetSecret,
            Self::Set(..) => Step::TestSecret,
            Self::Tested(..) => Step::FinishSecret,
        }
    }
}

impl Rotation {
    /// What createSecret has just done; it began at that time.
    pub(super) fn new(
        event: &RotationEvent,
        began: DateTime<Utc>,
        description: SecretDescription,
        key: StoredKey,
    ) -> Self {
        let (secret, version) = (event.secret.as_str().to_owned(), event.version.clone());
        Self { secret, version, began, description, progress: Progress::Created(key) }
    }

    /// A clock that was set back makes it old, too.
    fn counts(&self, now: DateTime<Utc>) -> bool {
        (TimeDelta::zero()..=COUNTS_FOR).contains(&(now - self.began))
    }
}

impl Memory {
    /// Takes out the rotation that this event goes on with. The step puts it back when it succeeded: when it fails or is
    /// stopped, it is forgotten.
    ///
    /// What there is is wiped when a rotation begins, and when its secret's next event is not the next step.
    pub(super) fn take(&self, event: &RotationEvent) -> Option<Rotation> {
        let begins = event.step == Step::CreateSecret;
        let taken = self.held().take_if(|rotation| begins || rotation.secret == event.secret.as_str())?;
        let goes_on = taken.version == event.version && taken.progress.next() == event.step;
        (goes_on && !begins).then_some(taken)
    }

    /// Keeps a rotation until its next step.
    pub(super) fn keep(&self, rotation: Rotation) {
        *self.held() = Some(rotation);
    }

    /// Wipes what is too old.
    pub(super) fn forget_old(&self, now: DateTime<Utc>) {
        self.held().take_if(|rotation| !rotation.counts(now));
    }

    fn held(&self) -> MutexGuard<'_, Option<Rotation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::aws::RotationSchedule;
    use crate::keys::SecretKey;

    const SECRET_HALF: &str = "not/a+real=secret";

    fn now() -> DateTime<Utc> {
        "2026-11-22T09:00:00Z".parse().unwrap()
    }

    fn event(step: &str, user: &str, version: u8) -> RotationEvent {
        let arn = format!(
            "arn:aws:secretsmanager:us-east-1:999988887777:secret:Account_111122223333_User_{user}_AccessKey-a1B2c3"
        );
        let version = format!("{version:032}");
        RotationEvent::read(json!({"Step": step, "SecretId": arn, "ClientRequestToken": version})).unwrap()
    }

    fn begun(user: &str) -> Rotation {
        let event = event("createSecret", user, 1);
        let identity = KeyIdentity {
            id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
            arn: format!("arn:aws:iam::111122223333:user/{user}").parse().unwrap(),
            created: now(),
        };
        let description = SecretDescription {
            arn: event.secret.as_str().to_owned(),
            name: event.secret.name().clone(),
            kms_key: None,
            rotation_enabled: true,
            schedule: RotationSchedule::default(),
            next_rotation: None,
            deleted: None,
            tags: BTreeMap::new(),
            stages: BTreeMap::new(),
        };
        Rotation::new(
            &event,
            now(),
            description,
            StoredKey { identity, secret: SecretKey::new(SECRET_HALF.to_owned()) },
        )
    }

    fn of(rotation: Rotation) -> Memory {
        let memory = Memory::default();
        memory.keep(rotation);
        memory
    }

    fn is_empty(memory: &Memory) -> bool {
        memory.held().is_none()
    }

    #[test]
    fn the_next_step_of_the_very_rotation_gets_it_once() {
        let memory = of(begun("ci-bot"));
        let taken = memory.take(&event("setSecret", "ci-bot", 1)).expect("remembered");
        assert!(matches!(&taken.progress, Progress::Created(key) if key.secret.expose() == SECRET_HALF));
        assert!(is_empty(&memory), "a step that fails leaves nothing behind");
        let Progress::Created(key) = taken.progress else { panic!("another step") };
        memory.keep(Rotation { progress: Progress::Set(key, Vec::new()), ..begun("ci-bot") });
        let taken = memory.take(&event("testSecret", "ci-bot", 1)).expect("remembered");
        let Progress::Set(key, keys) = taken.progress else { panic!("another step") };
        memory.keep(Rotation { progress: Progress::Tested(key.identity, keys), ..begun("ci-bot") });
        assert!(memory.take(&event("finishSecret", "ci-bot", 1)).is_some());
    }

    #[test]
    fn any_other_step_of_that_secret_wipes_it_and_so_does_the_beginning_of_any_rotation() {
        for (step, user, version) in [
            ("createSecret", "ci-bot", 1),
            ("createSecret", "ci-bot", 2),
            ("createSecret", "another", 1),
            ("testSecret", "ci-bot", 1),
            ("finishSecret", "ci-bot", 1),
            ("setSecret", "ci-bot", 2),
        ] {
            let memory = of(begun("ci-bot"));
            assert!(memory.take(&event(step, user, version)).is_none(), "{step} {user} {version}");
            assert!(is_empty(&memory), "{step} {user} {version}");
        }
        let memory = of(begun("ci-bot"));
        assert!(memory.take(&event("setSecret", "another", 1)).is_none());
        assert!(!is_empty(&memory), "another's steps in between change nothing");
        memory.keep(begun("another"));
        assert!(memory.take(&event("setSecret", "ci-bot", 1)).is_none(), "one at a time");
    }

    #[test]
    fn it_is_wiped_after_two_minutes_and_when_the_clock_is_set_back() {
        for (seconds, wiped) in [(-1, true), (0, false), (120, false), (121, true), (86_400, true)] {
            let memory = of(begun("ci-bot"));
            memory.forget_old(now() + TimeDelta::seconds(seconds));
            assert_eq!(is_empty(&memory), wiped, "{seconds}");
        }
    }

    #[test]
    fn nothing_of_it_is_shown() {
        assert_eq!(format!("{:?}", of(begun("ci-bot"))), "Memory(redacted)");
    }
}
