//! The recipients of a notice: the account's contact, the owner in a tag on the user, and the recipient of the
//! settings. Pure.

use super::addressed::AccountContact;
use super::delivered::Audience;
use crate::keys::EmailAddress;
use crate::settings::Settings;

/// The mail addresses of one notice's audiences. An audience without an address does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipients {
    /// The account's contact, or the recipient of the settings in its place.
    pub(super) account: Option<EmailAddress>,
    /// The owners, each once.
    pub(super) owners: Vec<EmailAddress>,
    /// The recipient of the settings, if it gets a copy of everything.
    pub(super) copy: Option<EmailAddress>,
    /// The parts of the owner tag that are not addresses.
    pub(super) malformed: Vec<String>,
}

impl Recipients {
    /// Returns the recipients of a notice. The recipient of the settings replaces an account's missing address.
    pub(super) fn of(account: &AccountContact, owner_tag: Option<&str>, settings: &Settings) -> Self {
        let recipient = settings.recipient.as_ref();
        let mut recipients = Self {
            account: account.email.as_ref().or(recipient).cloned(),
            owners: Vec::new(),
            copy: recipient.filter(|_| settings.notices.recipient_in_copy).cloned(),
            malformed: Vec::new(),
        };
        for word in owner_tag.unwrap_or_default().split([' ', '\t', ',', ';']).filter(|word| !word.is_empty()) {
            recipients.read_owner(word);
        }
        recipients
    }

    /// Adds the addresses in one word. A slash is legal before the `@`, so it separates only if the word is not an
    /// address.
    fn read_owner(&mut self, word: &str) {
        // In `Jo <jo@example.com>` only the second word is an address.
        let word = word.strip_prefix('<').and_then(|word| word.strip_suffix('>')).unwrap_or(word);
        match word.parse() {
            Ok(address) => self.add_owner(address),
            Err(_) => {
                for part in word.split('/').filter(|part| !part.is_empty()) {
                    match part.parse() {
                        Ok(address) => self.add_owner(address),
                        Err(_) => self.malformed.push(part.to_owned()),
                    }
                }
            }
        }
    }

    fn add_owner(&mut self, address: EmailAddress) {
        if !self.owners.iter().any(|known| mailbox(known) == mailbox(&address)) {
            self.owners.push(address);
        }
    }

    /// Returns the audiences that have an address.
    pub(super) fn audiences(&self) -> Vec<Audience> {
        let account = self.account.is_some().then_some(Audience::Account);
        let owner = (!self.owners.is_empty()).then_some(Audience::Owner);
        let copy = self.copy.is_some().then_some(Audience::Copy);
        account.into_iter().chain(owner).chain(copy).collect()
    }

    /// Returns the addresses of one audience.
    pub(super) fn addresses(&self, audience: Audience) -> &[EmailAddress] {
        match audience {
            Audience::Account => self.account.as_slice(),
            Audience::Owner => &self.owners,
            Audience::Copy => self.copy.as_slice(),
            Audience::Topic => &[],
        }
    }
}

/// Returns a text that is the same for all spellings of a mailbox. The mail systems in use ignore case.
pub(super) fn mailbox(address: &EmailAddress) -> String {
    address.as_str().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{contact, email, settings};

    fn owners(tag: &str) -> (Vec<String>, Vec<String>) {
        let recipients = Recipients::of(&contact("prod", None), Some(tag), &settings(&[]));
        (recipients.owners.iter().map(ToString::to_string).collect(), recipients.malformed)
    }

    #[test]
    fn an_owner_tag_holds_one_or_several_addresses() {
        for (tag, good, bad) in [
            ("a@x.org", &["a@x.org"][..], &[][..]),
            ("a@x.org b@x.org", &["a@x.org", "b@x.org"], &[]),
            (" a@x.org;b@x.org,, c@x.org ", &["a@x.org", "b@x.org", "c@x.org"], &[]),
            ("a@x.org/b@x.org", &["a@x.org", "b@x.org"], &[]),
            ("team/ops@x.org", &["team/ops@x.org"], &[]),
            ("a@x.org/nobody", &["a@x.org"], &["nobody"]),
            ("a@x.org A@X.ORG", &["a@x.org"], &[]),
            ("Jane Doe", &[], &["Jane", "Doe"]),
            ("Jane <jane@x.org>", &["jane@x.org"], &["Jane"]),
            ("a@localhost", &[], &["a@localhost"]),
            ("", &[], &[]),
            (" / ", &[], &[]),
        ] {
            let (addresses, malformed) = owners(tag);
            assert_eq!(
                (addresses, malformed.iter().map(String::as_str).collect::<Vec<_>>()),
                (good.iter().map(ToString::to_string).collect(), bad.to_vec()),
                "{tag:?}"
            );
        }
    }

    #[test]
    fn an_account_without_an_address_uses_the_fallback() {
        let (own, recipient) = (email("prod@example.com"), ("RECIPIENT_EMAIL", "security@example.com"));
        let reached = |contact: &AccountContact, given: &[_]| Recipients::of(contact, None, &settings(given)).account;
        assert_eq!(reached(&contact("prod", Some("prod@example.com")), &[recipient]), Some(own));
        assert_eq!(reached(&contact("prod", None), &[recipient]), Some(email("security@example.com")));
        assert_eq!(reached(&contact("prod", None), &[]), None);
    }

    #[test]
    fn the_recipient_of_the_settings_can_be_in_copy() {
        let (recipient, copy) = (("RECIPIENT_EMAIL", "security@example.com"), ("RECIPIENT_EMAIL_IN_COPY", "true"));
        let recipients = Recipients::of(&contact("prod", None), None, &settings(&[recipient, copy]));
        assert_eq!(recipients.audiences(), [Audience::Account, Audience::Copy]);
        assert_eq!(recipients.addresses(Audience::Copy), [email("security@example.com")]);
        let without = Recipients::of(&contact("prod", None), None, &settings(&[recipient]));
        assert_eq!(without.audiences(), [Audience::Account]);
    }

    #[test]
    fn malformed_addresses_make_no_audience() {
        let recipients = Recipients::of(&contact("prod", Some("prod@example.com")), Some("nobody"), &settings(&[]));
        assert_eq!(recipients.audiences(), [Audience::Account]);
    }
}
