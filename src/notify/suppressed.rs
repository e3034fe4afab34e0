//! The recipients to whom SES delivers nothing. Pure.

use std::collections::BTreeMap;

use super::recipients::mailbox;
use crate::keys::EmailAddress;

/// The recipients of a run that are on SES's suppression list, each with the reason, such as `BOUNCE`.
///
/// SES accepts a message to such an address and delivers nothing, so the message would count as sent. AWS does not say
/// whether the list distinguishes case. Here it does not: otherwise an owner might get nothing.
/// <https://docs.aws.amazon.com/ses/latest/dg/sending-email-suppression-list.html>
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Suppressed(pub(super) BTreeMap<String, String>);

impl Suppressed {
    /// Returns the reason for which SES drops mail to the address; `None` if it delivers.
    pub(super) fn reason(&self, address: &EmailAddress) -> Option<&str> {
        self.0.get(&mailbox(address)).map(String::as_str)
    }

    /// Returns `address` or, if SES drops its mail, the recipient of the settings; `None` if SES drops mail to both.
    pub(super) fn replaced<'a>(
        &self,
        address: &'a EmailAddress,
        recipient: Option<&'a EmailAddress>,
    ) -> Option<&'a EmailAddress> {
        [Some(address), recipient].into_iter().flatten().find(|address| self.reason(address).is_none())
    }
}
