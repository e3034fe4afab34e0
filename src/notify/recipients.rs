//! Who hears of a notice: the contact of the account, and the owner that a tag on the user names. Pure.

use super::{AccountContact, Audience};
use crate::keys::EmailAddress;

/// Where the audiences of one notice are reached. An audience without an address is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipients {
    /// The account's contact.
    pub(super) account: Option<EmailAddress>,
    /// The owners, each once.
    pub(super) owners: Vec<EmailAddress>,
    /// What the owner tag holds that is no address.
    pub(super) malformed: Vec<String>,
}

impl Recipients {
    /// `fallback` stands in for an account without an address.
    pub(super) fn of(account: &AccountContact, owner_tag: Option<&str>, fallback: Option<&EmailAddress>) -> Self {
        let mut recipients =
            Self { account: account.email.as_ref().or(fallback).cloned(), owners: Vec::new(), malformed: Vec::new() };
        for word in owner_tag.unwrap_or_default().split([' ', '\t', ',', ';']).filter(|word| !word.is_empty()) {
            recipients.read_owner(word);
        }
        recipients
    }

    /// A slash is legal before the `@`, so it divides only what is no address as a whole.
    fn read_owner(&mut self, word: &str) {
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

    /// The audiences that there are.
    pub(super) fn audiences(&self) -> Vec<Audience> {
        let account = self.account.is_some().then_some(Audience::Account);
        let owner = (!self.owners.is_empty()).then_some(Audience::Owner);
        account.into_iter().chain(owner).collect()
    }

    /// The addresses of one audience.
    pub(super) fn addresses(&self, audience: Audience) -> &[EmailAddress] {
        match audience {
            Audience::Account => self.account.as_slice(),
            Audience::Owner => &self.owners,
        }
    }
}

/// By what two spellings of an address are taken for the same mailbox: mail systems in use ignore case.
pub(super) fn mailbox(address: &EmailAddress) -> String {
    address.as_str().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::fixtures::{contact, email};

    fn owners(tag: &str) -> (Vec<String>, Vec<String>) {
        let recipients = Recipients::of(&contact("prod", None), Some(tag), None);
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
    fn an_account_without_an_address_is_reached_through_the_fallback() {
        let fallback = email("security@example.com");
        let own = email("prod@example.com");
        let reached = |contact: &AccountContact, fallback| Recipients::of(contact, None, fallback).account;
        assert_eq!(reached(&contact("prod", Some("prod@example.com")), Some(&fallback)), Some(own));
        assert_eq!(reached(&contact("prod", None), Some(&fallback)), Some(fallback.clone()));
        assert_eq!(reached(&contact("prod", None), None), None);
    }

    #[test]
    fn addresses_that_are_all_malformed_make_no_audience() {
        let recipients = Recipients::of(&contact("prod", Some("prod@example.com")), Some("nobody"), None);
        assert_eq!(recipients.audiences(), [Audience::Account]);
    }
}
