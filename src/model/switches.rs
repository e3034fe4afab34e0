//! The model's behaviour where the real AWS varies: waits, lags, short pages, the state of the mail service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Switches of the model, set with [`super::Cloud::switch`]. The defaults are AWS without lags and failures.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, in any combination")]
pub struct Switches {
    /// Attempts of the SDK per call. Fewer than in production, so that a lasting fault takes less time.
    pub sdk_attempts: u32,
    /// Count calls without keeping them, and keep no changes of keys. For runs of years.
    pub counts_only: bool,
    /// Keep mails without texts and files. For runs with many thousands of mails.
    pub mail_headers_only: bool,
    /// How long a new access key is refused everywhere (10 to 15 seconds are reported).
    pub key_propagation: Duration,
    /// How long services other than STS refuse a new access key, if that is longer.
    pub key_propagation_elsewhere: Duration,
    /// `GetAccountAuthorizationDetails`, `ListUsers` and `GetGroup` return pages of a third of the size, and every
    /// second page empty.
    pub short_iam_pages: bool,
    /// `GetAccountAuthorizationDetails` fails with status 504 for a page with more users than this: their inline
    /// policies take too long. `None`: no page is too large.
    pub details_of_at_most: Option<usize>,
    /// The credential report writes every second user's row with `TRUE` and `FALSE`, and the last row twice.
    pub odd_report_rows: bool,
    /// How long `ListAccessKeys` shows the state before a change.
    pub list_access_keys_lag: Duration,
    /// Every second page of `ListAccounts` is empty and has a `NextToken`.
    pub empty_account_pages: bool,
    /// Every page of `ListAccounts` but the first begins with the last account of the page before.
    pub repeated_accounts: bool,
    /// `ListAccounts` lists no account at all.
    pub no_accounts: bool,
    /// Accounts that `ListAccounts` leaves out, because the list is behind. `DescribeAccount` shows them.
    pub unlisted_accounts: BTreeSet<String>,
    /// Lists of accounts leave out the retired member `Status`.
    pub omit_account_status: bool,
    /// Lists of accounts leave out the new member `State`.
    pub omit_account_state: bool,
    /// How long `ListSecrets` shows the state before a change (up to about five minutes).
    pub list_secrets_lag: Duration,
    /// How long `DescribeSecret` shows the tags before a change.
    pub describe_tags_lag: Duration,
    /// How long calls on a new secret answer that it does not exist.
    pub new_secret_lag: Duration,
    /// How many secrets one call of `ListSecrets` examines before its filter applies. Pages are then shorter than
    /// asked, or empty, and have a `NextToken`. `None`: pages are full.
    pub secrets_looked_at: Option<usize>,
    /// How long a value put under AWSPENDING cannot be read.
    pub pending_read_lag: Duration,
    /// AWSPENDING stays on the current version after a rotation that succeeded.
    pub pending_label_lingers: bool,
    /// The hour of the UTC day at which the native schedule starts a rotation that is due on that day. The window opens
    /// at midnight and closes at the end of the day. `None`: the time of day of the last rotation.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html>
    pub schedule_hour: Option<u8>,
    /// A version that is put by hand takes AWSPENDING off the version of an unfinished rotation.
    pub put_abandons_rotation: bool,
    /// How often a rotation is tried before it counts as failed.
    pub rotation_attempts: u32,
    /// The wait before the second attempt; it doubles before each further one.
    pub rotation_retry_wait: Duration,
    /// How long one step of the rotation function may run.
    pub rotation_step_limit: Duration,
    /// While AWSPENDING sits on a version that is not current, `RotateSecret` and the schedule attempt nothing. AWS
    /// answers that the rotation "will be reattempted", and does not document when.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html>
    pub never_reattempts: bool,
    /// A pending version whose value the rotation function did not put is refused for good, before any step.
    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot_rotation.html>
    pub refuses_foreign_pending: bool,
    /// How many rotations run at once.
    pub rotations_at_once: usize,
    /// Percentage of the rotation function's invocations that start a new process, as after a deployment or a long
    /// pause.
    pub cold_starts: u32,
    /// Only verified addresses and domains receive mail.
    pub mail_sandbox: bool,
    /// The account's sending is paused.
    pub mail_paused: bool,
    /// The Region in which the account has set SES up; `None`: the model's own. In any other Region SES has no verified
    /// identity and is in its sandbox, because SES keeps both by Region.
    /// <https://docs.aws.amazon.com/ses/latest/dg/regions.html>
    pub mail_region: Option<String>,
    /// SES answers every call with status 500.
    pub mail_down: bool,
    /// The status of DKIM of the domains that are identities; `None`: it was never set up, and SES signs nothing.
    /// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_DkimAttributes.html>
    pub dkim_status: Option<&'static str>,
    /// The status of the custom MAIL FROM domain of the identities; `None`: they have none.
    /// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_MailFromAttributes.html>
    pub mail_from_status: Option<&'static str>,
    /// Messages per second that SES accepts; `None`: no limit.
    pub mails_per_second: Option<u32>,
    /// The account's `EnforcementStatus`: `HEALTHY`, `PROBATION` or `SHUTDOWN`. With `SHUTDOWN` SES sends nothing.
    pub mail_enforcement: &'static str,
    /// Messages per 24 hours that SES accepts; `None`: 200 in the sandbox, 50,000 outside.
    pub mails_per_day: Option<u32>,
    /// The reasons for which SES drops mail to addresses on its suppression list; empty: the list is switched off.
    pub suppressed_reasons: BTreeSet<&'static str>,
    /// The addresses on SES's suppression list, each with its reason: `BOUNCE` or `COMPLAINT`.
    pub suppressed_addresses: BTreeMap<String, &'static str>,
    /// Most addresses on one page of the suppression list; `None`: as many as the caller asks for.
    pub suppressed_page_size: Option<usize>,
    /// SNS refuses each message that contains this text, with an error of the service.
    pub topic_refuses: Option<String>,
    /// Tags that a policy of the organization demands: `CreateSecret` without one of them is denied.
    /// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_examples_tagging.html>
    pub demanded_secret_tags: BTreeSet<String>,
    /// Configuration sets that mail can be sent with.
    pub configuration_sets: BTreeSet<String>,
    /// Verified addresses and domains. Mail must come from one of them, unless the set is empty.
    pub verified_identities: BTreeSet<String>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            sdk_attempts: 3,
            counts_only: false,
            mail_headers_only: false,
            key_propagation: Duration::from_secs(12),
            key_propagation_elsewhere: Duration::ZERO,
            short_iam_pages: false,
            details_of_at_most: None,
            odd_report_rows: false,
            list_access_keys_lag: Duration::ZERO,
            empty_account_pages: false,
            repeated_accounts: false,
            no_accounts: false,
            unlisted_accounts: BTreeSet::new(),
            omit_account_status: false,
            omit_account_state: false,
            list_secrets_lag: Duration::ZERO,
            describe_tags_lag: Duration::ZERO,
            new_secret_lag: Duration::ZERO,
            secrets_looked_at: None,
            pending_read_lag: Duration::ZERO,
            pending_label_lingers: false,
            schedule_hour: None,
            put_abandons_rotation: true,
            rotation_attempts: 5,
            rotation_retry_wait: Duration::from_mins(2),
            rotation_step_limit: Duration::from_mins(2),
            never_reattempts: false,
            refuses_foreign_pending: false,
            rotations_at_once: 32,
            cold_starts: 0,
            mail_sandbox: false,
            mail_paused: false,
            mail_region: None,
            mail_down: false,
            dkim_status: Some("SUCCESS"),
            mail_from_status: None,
            mails_per_second: None,
            mail_enforcement: "HEALTHY",
            mails_per_day: None,
            suppressed_reasons: BTreeSet::from(["BOUNCE", "COMPLAINT"]),
            suppressed_addresses: BTreeMap::new(),
            suppressed_page_size: None,
            topic_refuses: None,
            demanded_secret_tags: BTreeSet::new(),
            configuration_sets: BTreeSet::new(),
            verified_identities: BTreeSet::new(),
        }
    }
}
