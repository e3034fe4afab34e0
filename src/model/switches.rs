//! How this AWS behaves where the real one varies: waits, lags, short pages, the state of the mail service.

use std::collections::BTreeSet;
use std::time::Duration;

/// Set with [`super::Cloud::switch`]; the defaults are AWS on a good day.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, in any combination")]
pub struct Switches {
    /// Attempts that the SDK makes of one call; fewer than in production, so that a fault that lasts is soon over.
    pub sdk_attempts: u32,
    /// Calls are counted and not kept, and changes of keys are not kept: for runs of years.
    pub counts_only: bool,
    /// Mails are kept without their texts and files: for runs in which many thousands are sent.
    pub mail_headers_only: bool,
    /// How long a new access key is refused everywhere (10 to 15 seconds are reported).
    pub key_propagation: Duration,
    /// `GetAccountAuthorizationDetails`, `ListUsers` and `GetGroup` return fewer users than asked, truncated, and every second page empty.
    pub short_iam_pages: bool,
    /// How long `ListAccessKeys` shows the state before a change.
    pub list_access_keys_lag: Duration,
    /// Every second page of `ListAccounts` is empty and has a `NextToken`.
    pub empty_account_pages: bool,
    /// Accounts come without the retired member `Status`.
    pub omit_account_status: bool,
    /// Accounts come without the new member `State`.
    pub omit_account_state: bool,
    /// How long `ListSecrets` shows the state before a change (up to about five minutes).
    pub list_secrets_lag: Duration,
    /// So many secrets one call of `ListSecrets` looks at, whatever its filter lets pass, so that pages are shorter than asked, or
    /// empty, and have a `NextToken`; none: pages are full.
    pub secrets_looked_at: Option<usize>,
    /// How long a value put under AWSPENDING cannot be read.
    pub pending_read_lag: Duration,
    /// AWSPENDING stays on the current version after a rotation that succeeded.
    pub pending_label_lingers: bool,
    /// How often a rotation is tried before it counts as failed.
    pub rotation_attempts: u32,
    /// The wait before the second attempt; it doubles before each further one.
    pub rotation_retry_wait: Duration,
    /// How long one step of the rotation function may run.
    pub rotation_step_limit: Duration,
    /// How many rotations run at once.
    pub rotations_at_once: usize,
    /// Of a hundred invocations of the rotation function, how many start it anew, as after a deployment or a long pause.
    pub cold_starts: u32,
    /// Only verified addresses and domains receive mail.
    pub mail_sandbox: bool,
    /// The account's sending is paused.
    pub mail_paused: bool,
    /// The mail service answers 500 to everything.
    pub mail_down: bool,
    /// How many messages a second are taken; none: no limit.
    pub mails_per_second: Option<u32>,
    /// What SES says of the account's reputation: `HEALTHY`, `PROBATION` or `SHUTDOWN`, at which nothing is sent.
    pub mail_enforcement: &'static str,
    /// How many messages are taken in 24 hours; none: 200 in the sandbox, 50,000 outside.
    pub mails_per_day: Option<u32>,
    /// Messages to a topic that hold this text are refused one by one, for a fault that is the service's.
    pub topic_refuses: Option<String>,
    /// Configuration sets that mail can be sent with.
    pub configuration_sets: BTreeSet<String>,
    /// Addresses and domains that are verified; mail must come from one of them unless this is empty.
    pub verified_identities: BTreeSet<String>,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            sdk_attempts: 3,
            counts_only: false,
            mail_headers_only: false,
            key_propagation: Duration::from_secs(12),
            short_iam_pages: false,
            list_access_keys_lag: Duration::ZERO,
            empty_account_pages: false,
            omit_account_status: false,
            omit_account_state: false,
            list_secrets_lag: Duration::ZERO,
            secrets_looked_at: None,
            pending_read_lag: Duration::ZERO,
            pending_label_lingers: false,
            rotation_attempts: 5,
            rotation_retry_wait: Duration::from_mins(2),
            rotation_step_limit: Duration::from_mins(2),
            rotations_at_once: 32,
            cold_starts: 0,
            mail_sandbox: false,
            mail_paused: false,
            mail_down: false,
            mails_per_second: None,
            mail_enforcement: "HEALTHY",
            mails_per_day: None,
            topic_refuses: None,
            configuration_sets: BTreeSet::new(),
            verified_identities: BTreeSet::new(),
        }
    }
}
