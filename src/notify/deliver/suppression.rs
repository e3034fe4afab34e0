//! Reads SES's suppression list before a run sends mail: SES accepts mail to these addresses and delivers none.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::aws::{CallFailure, FailureKind, SuppressedAddress, SweeperAws};
use crate::keys::EmailAddress;
use crate::notify::recipients::mailbox;
use crate::notify::suppressed::Suppressed;

/// Limits the pages of the list that a run reads: 20,000 addresses. A longer list is read in part, which is reported.
const MAX_PAGES: usize = 20;

/// The pause between two pages. SES answers one request of this kind in a second.
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>
const BETWEEN_PAGES: Duration = Duration::from_millis(1_100);

/// The recipients that are on the list, and why the list is not known as a whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SuppressionAnswer {
    pub(super) suppressed: Suppressed,
    pub(super) unknown: Option<String>,
}

/// Reads which of these mailboxes are on the list. `reasons` are those for which SES drops mail; `None` if they are not
/// known. A read that fails leaves the list unknown, and mail goes on.
pub(super) async fn read(
    aws: &SweeperAws,
    mailboxes: &BTreeSet<String>,
    reasons: Option<&[String]>,
) -> SuppressionAnswer {
    let mut answer = SuppressionAnswer::default();
    if mailboxes.is_empty() || reasons.is_some_and(<[String]>::is_empty) {
        return answer;
    }
    let mut from = None;
    for page in 0..MAX_PAGES {
        if page > 0 {
            aws.sleep(BETWEEN_PAGES).await;
        }
        match aws.mailer().suppressed(from.take()).await {
            Ok(listed) => {
                answer.add(listed.addresses, mailboxes);
                from = listed.next;
            }
            Err(failure) => answer.unknown = Some(unreadable(&failure)),
        }
        if from.is_none() {
            break;
        }
    }
    if from.is_some() {
        answer.unknown = Some(format!("SES's suppression list was read in part: it has more than {MAX_PAGES} pages"));
    }
    answer.keep_reasons(aws, reasons).await;
    answer
}

impl SuppressionAnswer {
    fn add(&mut self, listed: Vec<SuppressedAddress>, mailboxes: &BTreeSet<String>) {
        let listed = listed.into_iter().filter_map(|SuppressedAddress { address, reason }| {
            let address: EmailAddress = address.parse().ok()?;
            Some((mailbox(&address), reason)).filter(|(mailbox, _)| mailboxes.contains(mailbox))
        });
        self.suppressed.0.extend(listed);
    }

    /// Drops the addresses that are listed for a reason for which SES delivers all the same. The reasons are read if
    /// they are not known and matter.
    async fn keep_reasons(&mut self, aws: &SweeperAws, reasons: Option<&[String]>) {
        if self.suppressed.0.is_empty() {
            return;
        }
        let reasons = match reasons {
            Some(reasons) => Some(reasons.to_vec()),
            None => aws.mailer().account().await.ok().and_then(|account| account.suppressed_reasons),
        };
        if let Some(reasons) = reasons {
            self.suppressed.0.retain(|_, reason| reasons.contains(reason));
        }
    }
}

fn unreadable(failure: &CallFailure) -> String {
    let remedy = if failure.kind() == FailureKind::Denied {
        "; the sweeper's role needs ses:ListSuppressedDestinations; deploy the template"
    } else {
        ""
    };
    format!(
        "SES's suppression list could not be read, so mail to an address on it would be lost and count as sent{remedy}: \
         {failure}"
    )
}
