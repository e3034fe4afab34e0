//! What SES allows before anything is sent: asked once in a run.

use std::time::Duration;

use super::refusal::without_address;
use crate::aws::{CallFailure, FailureKind, SendQuota, SendingAccount, SweeperAws};
use crate::keys::EmailAddress;

/// The pace where SES does not say how much it takes: that of the sandbox.
/// <https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html>
const CAUTIOUS_SPACING: Duration = Duration::from_secs(1);

/// How much may be sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Readiness {
    /// Why nothing can be sent at all; known for certain.
    pub(super) obstacle: Option<String>,
    /// What is to be told to whoever runs keywheel.
    pub(super) reports: Vec<String>,
    /// From the beginning of one message to that of the next.
    pub(super) spacing: Duration,
    pub(super) room: Room,
}

/// What is left of the day's quota; all there is, where SES does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Room(Option<SendQuota>);

impl Room {
    /// How many of so many messages may be sent.
    pub(super) fn of(self, messages: usize) -> usize {
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

    /// Why the others are not sent.
    pub(super) fn exceeded(self) -> String {
        let quota = self.0.map(|quota| quota.per_24_hours).unwrap_or_default();
        format!(
            "SES takes {quota} messages in 24 hours, and the most urgent came first; they are due on the next run; ask \
             AWS for a higher sending quota"
        )
    }
}

/// Whether the sender may send, as SES knows it.
enum Sender {
    Verified,
    NotVerified,
    Unknown(CallFailure),
}

impl Readiness {
    /// Where SES is not asked.
    pub(super) fn unasked() -> Self {
        Self { obstacle: None, reports: Vec::new(), spacing: CAUTIOUS_SPACING, room: Room(None) }
    }

    /// Asks SES. What it does not answer is unknown, and keeps nothing from being sent.
    pub(super) async fn ask(aws: &SweeperAws, sender: &EmailAddress) -> Self {
        let account = aws.mailer().account().await;
        if let Some(obstacle) = account.as_ref().ok().and_then(obstacle) {
            return Self { obstacle: Some(obstacle), ..Self::unasked() };
        }
        let standing = standing(aws, sender).await;
        Self::judge(account, standing, sender)
    }

    fn judge(account: Result<SendingAccount, CallFailure>, standing: Sender, sender: &EmailAddress) -> Self {
        let mut readiness = Self::unasked();
        let mut unknown = Vec::new();
        match account {
            Ok(account) => {
                readiness.reports = warnings(&account);
                readiness.spacing = spacing(account.quota.per_second);
                readiness.room = Room(Some(account.quota));
            }
            Err(failure) => unknown.push(failure),
        }
        match standing {
            Sender::Verified => {}
            Sender::NotVerified => {
                readiness.obstacle = Some(
                    "SENDER_EMAIL is not verified in SES, in this account and Region, nor is its domain; verify one of them"
                        .to_owned(),
                );
            }
            Sender::Unknown(failure) => unknown.push(failure),
        }
        readiness.reports.extend(not_known(&unknown, sender));
        readiness
    }
}

/// The address itself, its domain, or one above that: a verified domain speaks for all below it.
/// <https://docs.aws.amazon.com/ses/latest/dg/creating-identities.html>
async fn standing(aws: &SweeperAws, sender: &EmailAddress) -> Sender {
    let mut unknown = None;
    for identity in identities(sender.as_str()) {
        match aws.mailer().is_verified(identity).await {
            Ok(true) => return Sender::Verified,
            Ok(false) => {}
            Err(failure) => unknown = unknown.or(Some(failure)),
        }
    }
    unknown.map_or(Sender::NotVerified, Sender::Unknown)
}

fn identities(address: &str) -> Vec<&str> {
    let mut identities = vec![address];
    let mut rest = address.rsplit_once('@').map(|(_, domain)| domain);
    while let Some(domain) = rest.filter(|domain| domain.contains('.')) {
        identities.push(domain);
        rest = domain.split_once('.').map(|(_, above)| above);
    }
    identities
}

/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetAccount.html>
fn obstacle(account: &SendingAccount) -> Option<String> {
    if account.enforcement.as_deref() == Some("SHUTDOWN") {
        return Some(
            "AWS has stopped sending from this account in this Region (SHUTDOWN); see SES's account dashboard for the \
             reason, and answer AWS's case"
                .to_owned(),
        );
    }
    (!account.is_sending_enabled).then(|| {
        "sending is paused for this account in this Region; see SES's account dashboard, or resume it with \
         `aws sesv2 put-account-sending-attributes --sending-enabled`"
            .to_owned()
    })
}

fn warnings(account: &SendingAccount) -> Vec<String> {
    let mut warnings = Vec::new();
    if !account.has_production_access {
        let quota = account.quota.per_24_hours;
        warnings.push(format!(
            "SES is in its sandbox in this account and Region: only verified addresses get mail, and {quota} messages in \
             24 hours at most; request production access on SES's account dashboard"
        ));
    }
    if account.enforcement.as_deref() == Some("PROBATION") {
        warnings.push(
            "AWS reviews how this account sends (PROBATION), and may stop it; mail goes out meanwhile; see SES's account \
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

/// One report of all that is not known.
fn not_known(failures: &[CallFailure], sender: &EmailAddress) -> Option<String> {
    let denied = failures.iter().any(|failure| failure.kind() == FailureKind::Denied);
    let way_out = if denied {
        "; the sweeper's role needs ses:GetAccount and, for the sender and its domain, ses:GetEmailIdentity: deploy the \
         template, with SesDomain where the verified domain is one above the sender's"
    } else {
        ""
    };
    let said: Vec<String> =
        failures.iter().map(|failure| without_address(&failure.to_string(), sender, "(the sender)")).collect();
    let report =
        format!("what SES allows is not fully known, and mail is sent all the same{way_out}: {}", said.join("; "));
    (!failures.is_empty()).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(per_24_hours: f64, sent_in_24_hours: f64) -> Room {
        Room(Some(SendQuota { per_24_hours, per_second: 1.0, sent_in_24_hours }))
    }

    #[test]
    fn no_more_fits_than_is_left_of_the_day() {
        for (room, messages, fit) in [
            (quota(200.0, 0.0), 10, 10),
            (quota(200.0, 195.0), 10, 5),
            (quota(200.0, 199.5), 10, 0),
            (quota(200.0, 300.0), 10, 0),
            (quota(0.0, 0.0), 10, 0),
            (quota(-1.0, 1e9), 10, 10),
            (quota(f64::NAN, 0.0), 10, 10),
            (Room(None), 10, 10),
            (quota(200.0, 0.0), 0, 0),
        ] {
            assert_eq!(room.of(messages), fit, "{room:?}");
        }
    }

    #[test]
    fn the_pace_is_the_accounts_and_cautious_where_that_makes_no_sense() {
        assert_eq!(spacing(4.0), Duration::from_millis(250));
        assert_eq!(spacing(0.5), Duration::from_secs(2));
        for nonsense in [0.0, -1.0, f64::NAN, 1e-300] {
            assert_eq!(spacing(nonsense), CAUTIOUS_SPACING, "{nonsense}");
        }
    }

    #[test]
    fn a_sender_is_verified_by_itself_or_by_any_domain_above() {
        assert_eq!(identities("a@example.com"), ["a@example.com", "example.com"]);
        assert_eq!(
            identities("a@mail.example.co.uk"),
            ["a@mail.example.co.uk", "mail.example.co.uk", "example.co.uk", "co.uk"]
        );
    }
}
