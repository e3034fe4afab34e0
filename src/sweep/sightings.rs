//! Reads an account's credential report, and what it shows of a user.

use std::time::Duration;

use tracing::warn;

use super::account_user::AccountUser;
use super::run::Run;
use crate::aws::{CallFailure, DatedReport, Iam};
use crate::lifecycle::{KeySighting, Sighting};

/// Pause before IAM is asked again for a report: it makes one within seconds.
const WAIT_FOR_REPORT: Duration = Duration::from_secs(4);
/// How often a sweep waits for the report. Without one it observes every user.
const WAITS_FOR_REPORT: usize = 8;

/// The credential report that was requested; `None` if IAM did not make one in time.
///
/// # Errors
/// The failure of a call.
pub(super) async fn read_report(
    run: &Run<'_>,
    iam: &dyn Iam,
    requested: Result<bool, CallFailure>,
) -> Result<Option<DatedReport>, CallFailure> {
    // `until` does not fit: between two reads, this loop requests a report again.
    let mut is_made = requested?;
    for _ in 0..=WAITS_FOR_REPORT {
        if run.is_out_of_time() {
            break;
        }
        if !is_made {
            run.aws.sleep(WAIT_FOR_REPORT).await;
        }
        if let Some(report) = iam.credential_report().await? {
            if let Some((rows, first)) = report.content.odd_rows() {
                warn!(account = %iam.account(), rows, %first, "users in odd rows of the credential report are observed");
            }
            return Ok(Some(report));
        }
        // An older report may have expired since the request: IAM then makes another.
        is_made = iam.request_report().await?;
    }
    warn!(account = %iam.account(), "IAM did not make a credential report in time: every user is observed");
    Ok(None)
}

/// Returns the active keys of that user in the credential report; `None` if it has no row for the user.
pub(super) fn sighting(report: &DatedReport, user: &AccountUser) -> Option<Sighting> {
    let keys = report.content.keys_of(user.name())?.iter();
    let active = keys.filter_map(|key| Some(KeySighting { since: key.active_since?, last_use: key.last_use.clone() }));
    Some(Sighting { at: report.made_at, active: active.collect() })
}
