//! Whether a secret is keywheel's at this moment: its tag, its KMS key and its resource policy.
//!
//! A person who may write secrets in the store's account can make a secret with a user's name, or change one, and have
//! it rotated. If the function made a key for such a secret, that person could read the key.

use std::time::Duration;

use super::Job;
use crate::aws::{SecretDescription, Tries, until};
use crate::error::Error;
use crate::keys::UserArn;
use crate::provision::{kms_key_differs, policy};
use crate::settings::Settings;
use crate::state::State;

/// The KMS key of a secret that names none.
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html>
const DEFAULT_KMS_KEY: &str = "the AWS managed key aws/secretsmanager";

/// Limits the reads of a policy that is not keywheel's. The sweeper may have put it right so recently that a read does
/// not show it.
const POLICIES: Tries = Tries { count: 3, wait: Duration::from_secs(2) };

/// Returns why a secret with this description gets no key: it lacks the tag, or has another KMS key than a setting
/// names. [`Error::NotManaged`] or [`Error::ForeignKmsKey`].
pub(super) fn refusal(settings: &Settings, found: &SecretDescription) -> Option<Error> {
    let secret = || found.arn.clone();
    if !State::read(&found.tags).managed {
        return Some(Error::NotManaged(secret()));
    }
    let wanted = settings.kms_key.clone().filter(|wanted| kms_key_differs(found, Some(wanted)))?;
    let found = found.kms_key.as_deref().unwrap_or(DEFAULT_KMS_KEY).to_owned();
    Some(Error::ForeignKmsKey { secret: secret(), found, wanted })
}

/// Checks that the resource policy lets the user read the secret, and nobody else. It is read now, because no tag
/// proves it.
///
/// # Errors
/// [`Error::ForeignPolicy`]. The failure of the call if the policy cannot be read: an unknown policy is not a right
/// one.
pub(super) async fn check_policy(job: &Job<'_>, arn: &UserArn) -> Result<(), Error> {
    let fits = |found: &Option<String>| found.as_ref().is_some_and(|found| policy::is_for_user(found, arn));
    let found = until(job.aws, POLICIES, || job.aws.secrets().policy(job.secret()), fits).await?;
    if fits(&found) {
        return Ok(());
    }
    Err(Error::ForeignPolicy { secret: job.secret().to_owned(), user: job.user().clone() })
}
