//! The limits that SES sets, read once per run before anything is sent.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::warn;

use super::refusal::without_address;
use super::suppression::{self, SuppressionAnswer};
use crate::aws::{CallFailure, FailureKind, SendQuota, SendingAccount, SweeperAws};
use crate::keys::EmailAddress;
use crate::notify::suppressed::Suppressed;

/// The time between two messages if SES does not say its rate: that of the sandbox.
/// <https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html>
const CAUTIOUS_SPACING: Duration = Duration::from_secs(1);

/// The smallest share of an account's owners, in messages: a tenth of the quota in SES's sandbox.
/// <https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html>
const SMALLEST_SHARE: usize = 20;

/// Whether messages can be sent, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Readiness {
    /// Why nothing can be sent; set only if that is certain.
    pub(super) obstacle: Option<String>,
    /// Reports for the team that runs keywheel.
    pub(super) reports: Vec<String>,
    /// The time between the starts of two messages.
    pub(super) spacing: Duration,
    pub(super) quota: RemainingQuota,
    /// The recipients to whom SES delivers nothing.
    pub(super) suppressed: Suppressed,
}

/// The remaining quota of the day; unlimited if SES does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RemainingQuota(Option<SendQuota>);

impl RemainingQuota {
    /// Returns how many of this number of messages may be sent.
    pub(super) fn allows(self, messages: usize) -> usize {
        match self.0 {
            Some(SendQuota { per_24_hours, sent_in_24_hours, .. }) if per_24_hours >= 0.0 => {
                let fits = |count: &usize| {
                    u32::try_from(*count).is_ok_and(|count| sent_in_24_hours + f64::from(count) <= per_24_hours)
                };
                (1..=messages).take_while(fits).count()
            }
            _ => messages,
        }
    }

    /// Returns how many messages the owners of one account may get in a run: a tenth of the day's quota. Each account
    /// is swept by an invocation of its own, which does not know how many accounts share the quota.
    pub(super) fn share_of_owners(self) -> usize {
        match self.0 {
            Some(SendQuota { per_24_hours, .. }) if per_24_hours >= 0.0 => {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
                let tenth = (per_24_hours / 10.0) as usize;
                tenth.max(SMALLEST_SHARE)
            }
            _ => usize::MAX,
        }
    }

    /// Returns why the others are not sent.
    pub(super) fn exceeded(self) -> String {
        let quota = self.0.map(|quota| quota.per_24_hours).unwrap_or_default();
        format!(
            "SES takes {quota} messages in 24 hours, and the most urgent were sent first; the next run sends the others; \
             ask AWS for a higher sending quota"
        )
    }
}

/// Whether SES has verified the sender.
enum SenderStatus {
    /// And whether its mail passes DMARC; `None` if that is not known.
    Verified {
        is_aligned: Option<bool>,
    },
    NotVerified,
    Unknown(CallFailure),
}

impl Readiness {
    /// Returns a cautious value for when SES's limits are not read.
    pub(super) fn unasked() -> Self {
        Self {
            obstacle: None,
            reports: Vec::new(),
            spacing: CAUTIOUS_SPACING,
            quota: RemainingQuota(None),
            suppressed: Suppressed::default(),
        }
    }

    /// Reads where SES delivers nothing, but not SES's limits, for the one or two messages of an event. SES throttles
    /// this read, and many events may come at once, so a list that cannot be read is logged and not reported each time.
    pub(super) async fn for_event(aws: &SweeperAws, mailboxes: &BTreeSet<String>) -> Self {
        let SuppressionAnswer { suppressed, unknown } = suppression::read(aws, mailboxes, None).await;
        if let Some(why) = unknown {
            warn!("{why}");
        }
        Self { suppressed, ..Self::unasked() }
    }

    /// Reads SES's limits and where it delivers nothing. A read that fails leaves that unknown, and mail goes on.
    pub(super) async fn ask(
        aws: &SweeperAws,
        sender: &EmailAddress,
        region: &str,
        mailboxes: &BTreeSet<String>,
    ) -> Self {
        let account = aws.mailer().account().await;
        if let Some(obstacle) = account.as_ref().ok().and_then(|account| obstacle(account, region)) {
            return Self { obstacle: Some(obstacle), ..Self::unasked() };
        }
        let status = sender_status(aws, sender).await;
        let reasons = account.as_ref().ok().and_then(|account| account.suppressed_reasons.clone());
        let mut readiness = Self::of(account, status, sender, region);
        if readiness.obstacle.is_none() {
            let answer = suppression::read(aws, mailboxes, reasons.as_deref()).await;
            readiness.suppressed = answer.suppressed;
            readiness.reports.extend(answer.unknown);
        }
        readiness
    }

    fn of(
        account: Result<SendingAccount, CallFailure>,
        status: SenderStatus,
        sender: &EmailAddress,
        region: &str,
    ) -> Self {
        let mut readiness = Self::unasked();
        let mut unknown = Vec::new();
        match account {
            Ok(account) => {
                readiness.reports = warnings(&account, region);
                readiness.spacing = spacing(account.quota.per_second);
                readiness.quota = RemainingQuota(Some(account.quota));
            }
            Err(failure) => unknown.push(failure),
        }
        match status {
            SenderStatus::Verified { is_aligned } => {
                readiness.reports.extend((is_aligned == Some(false)).then(|| not_aligned(sender, region)));
            }
            SenderStatus::NotVerified => {
                readiness.obstacle = Some(format!(
                    "SENDER_EMAIL is not verified in SES in this account in Region {region}, and neither is its domain; \
                     verify one of them, or set SES_REGION to the Region where one is verified"
                ));
            }
            SenderStatus::Unknown(failure) => unknown.push(failure),
        }
        readiness.reports.extend(not_known(&unknown, sender));
        readiness
    }
}

/// Reads whether the address, its domain or a domain above is verified, and whether one of them aligns its mail. A
/// verified domain covers all domains below it. Reading ends with what is verified and aligned, usually the domain.
/// <https://docs.aws.amazon.com/ses/latest/dg/creating-identities.html>
async fn sender_status(aws: &SweeperAws, sender: &EmailAddress) -> SenderStatus {
    let (mut is_verified, mut is_alignment_unknown, mut unknown) = (false, false, None);
    for identity in identities(sender.as_str()) {
        // The sweeper may read no domain above, such as `co.uk`, unless SES_DOMAIN names it.
        let is_above = !identity.contains('@') && !identity.eq_ignore_ascii_case(sender.domain());
        match aws.mailer().identity(&identity).await {
            Ok(Some(found)) if found.is_verified => {
                is_verified = true;
                is_alignment_unknown |= found.is_aligned.is_none();
                if found.is_aligned == Some(true) {
                    return SenderStatus::Verified { is_aligned: Some(true) };
                }
            }
            Ok(_) => {}
            Err(failure) => {
                is_alignment_unknown |= !(is_above && failure.kind() == FailureKind::Denied);
                unknown = unknown.or(Some(failure));
            }
        }
        if is_verified && is_alignment_unknown {
            break;
        }
    }
    match unknown {
        _ if is_verified => SenderStatus::Verified { is_aligned: (!is_alignment_unknown).then_some(false) },
        Some(failure) => SenderStatus::Unknown(failure),
        None => SenderStatus::NotVerified,
    }
}

/// Receivers that follow DMARC drop such mail if the domain's policy says so. SES signs it for amazonses.com alone, and
/// that domain is its envelope's, too.
/// <https://docs.aws.amazon.com/ses/latest/dg/send-email-authentication-dmarc.html>
fn not_aligned(sender: &EmailAddress, region: &str) -> String {
    let domain = sender.domain();
    format!(
        "nothing aligns the mail of SENDER_EMAIL with its domain {domain}, so DMARC fails and receivers may drop it: in \
         Region {region} SES neither signs for that domain (DKIM) nor uses a MAIL FROM domain of it; set up Easy DKIM \
         for the domain"
    )
}

/// Returns the identities of SES that can verify an address: the address, its domain and the domains above. SES ignores
/// case in domains, and policies that name the identity's ARN do not.
fn identities(address: &str) -> Vec<String> {
    let mut identities = vec![address.to_owned()];
    let domain = address.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
    let mut rest = domain.as_deref();
    while let Some(domain) = rest.filter(|domain| domain.contains('.')) {
        identities.push(domain.to_owned());
        rest = domain.split_once('.').map(|(_, above)| above);
    }
    identities
}

/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html>
fn obstacle(account: &SendingAccount, region: &str) -> Option<String> {
    if account.enforcement.as_deref() == Some("SHUTDOWN") {
        return Some(format!(
            "AWS has stopped sending from this account in Region {region} (SHUTDOWN); see SES's account dashboard for the \
             reason, and reply to AWS's support case"
        ));
    }
    (!account.is_sending_enabled).then(|| {
        format!(
            "sending is paused for this account in Region {region}; see SES's account dashboard, or resume it with \
             `aws sesv2 put-account-sending-attributes --sending-enabled --region {region}`"
        )
    })
}

fn warnings(account: &SendingAccount, region: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if !account.has_production_access {
        let quota = account.quota.per_24_hours;
        warnings.push(format!(
            "SES is in its sandbox in this account in Region {region}: only verified addresses get mail, at most {quota} messages \
             in 24 hours; request production access on SES's account dashboard"
        ));
    }
    if account.enforcement.as_deref() == Some("PROBATION") {
        warnings.push(
            "AWS reviews how this account sends (PROBATION), and may stop it; mail is still sent; see SES's account \
             dashboard"
                .to_owned(),
        );
    }
    warnings
}

fn spacing(per_second: f64) -> Duration {
    let is_rate = per_second > 0.0;
    Duration::try_from_secs_f64(1.0 / per_second).ok().filter(|_| is_rate).unwrap_or(CAUTIOUS_SPACING)
}

/// Returns one report about everything that could not be read.
fn not_known(failures: &[CallFailure], sender: &EmailAddress) -> Option<String> {
    let denied = failures.iter().any(|failure| failure.kind() == FailureKind::Denied);
    let remedy = if denied {
        "; the sweeper's role needs ses:GetAccount and, for the sender and its domain, ses:GetEmailIdentity; deploy the \
         template, with SesDomain set if the verified domain is above the sender's domain"
    } else {
        ""
    };
    let said: Vec<String> =
        failures.iter().map(|failure| without_address(&failure.to_string(), sender, "(the sender)")).collect();
    let report =
        format!("some of SES's limits could not be read, and mail is sent cautiously{remedy}: {}", said.join("; "));
    (!failures.is_empty()).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(per_24_hours: f64, sent_in_24_hours: f64) -> RemainingQuota {
        RemainingQuota(Some(SendQuota { per_24_hours, per_second: 1.0, sent_in_24_hours }))
    }

    #[test]
    fn the_quota_of_the_day_limits_the_messages() {
        for (room, messages, fit) in [
            (quota(200.0, 0.0), 10, 10),
            (quota(200.0, 195.0), 10, 5),
            (quota(200.0, 199.5), 10, 0),
            (quota(200.0, 300.0), 10, 0),
            (quota(0.0, 0.0), 10, 0),
            (quota(-1.0, 1e9), 10, 10),
            (quota(f64::NAN, 0.0), 10, 10),
            (RemainingQuota(None), 10, 10),
            (quota(200.0, 0.0), 0, 0),
        ] {
            assert_eq!(room.allows(messages), fit, "{room:?}");
        }
    }

    #[test]
    fn nobody_gains_5_owners_of_an_account_share_a_tenth() {
        for (room, share) in [
            (quota(50_000.0, 49_999.0), 5_000),
            (quota(200.0, 0.0), 20),
            (quota(4.0, 0.0), 20),
            (quota(f64::INFINITY, 0.0), usize::MAX),
            (quota(-1.0, 0.0), usize::MAX),
            (RemainingQuota(None), usize::MAX),
        ] {
            assert_eq!(room.share_of_owners(), share, "{room:?}");
        }
    }

    #[test]
    fn an_impossible_rate_becomes_the_cautious_one() {
        assert_eq!(spacing(4.0), Duration::from_millis(250));
        assert_eq!(spacing(0.5), Duration::from_secs(2));
        for nonsense in [0.0, -1.0, f64::NAN, 1e-300] {
            assert_eq!(spacing(nonsense), CAUTIOUS_SPACING, "{nonsense}");
        }
    }

    #[test]
    fn an_address_or_any_domain_above_verifies_a_sender() {
        assert_eq!(identities("a@example.com"), ["a@example.com", "example.com"]);
        assert_eq!(identities("A@Mail.Example.com"), ["A@Mail.Example.com", "mail.example.com", "example.com"]);
        assert_eq!(
            identities("a@mail.example.co.uk"),
            ["a@mail.example.co.uk", "mail.example.co.uk", "example.co.uk", "co.uk"]
        );
    }
}
