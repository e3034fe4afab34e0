//! The recipients of a notice: the account's contact, the owner in a tag on the user, and the recipient of the
//! settings. Pure.

use super::addressed::AccountContact;
use super::delivered::Audience;
use crate::keys::EmailAddress;
use crate::settings::{OwnerDomains, Settings};

/// The mail addresses of one notice's audiences. An audience without an address does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recipients {
    /// The account's contact, or the recipient of the settings in its place.
    pub(super) account: Option<EmailAddress>,
    /// The owners, each once, at most [`MAX_OWNERS`].
    pub(super) owners: Vec<EmailAddress>,
    /// The recipient of the settings, if it gets a copy of everything.
    pub(super) copy: Option<EmailAddress>,
    /// The parts of the owner tag that are not addresses.
    pub(super) malformed: Vec<String>,
    /// The addresses of the owner tag that are in no domain of `OWNER_DOMAINS`. They get no mail.
    pub(super) outside: Vec<EmailAddress>,
    /// Whether the owner tag has more addresses than a user may have owners. The others get no mail.
    pub(super) has_too_many: bool,
}

/// The most owners of one user. A tag has room for many addresses, and each would get every notice of its user.
pub(super) const MAX_OWNERS: usize = 3;

/// Characters between addresses, besides white space. IAM refuses them in tags today. An address that a person copies
/// from a mail comes with them, as in `Jo <jo@example.com>`, and an address itself never has one.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>
const SEPARATORS: &str = ",;<>()[]|\"'";

/// Characters that people join addresses with where a tag holds no comma, the likeliest first.
const JOINTS: [&[char]; 2] = [&['/', ':'], &['+', '=']];

/// Returns the word without `mailto:`, which links to addresses begin with.
fn without_scheme(word: &str) -> &str {
    const SCHEME: &str = "mailto:";
    match word.get(..SCHEME.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &word[SCHEME.len()..],
        _ => word,
    }
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
            outside: Vec::new(),
            has_too_many: false,
        };
        let is_between_words = |c: char| c.is_whitespace() || SEPARATORS.contains(c);
        for word in owner_tag.unwrap_or_default().split(is_between_words) {
            recipients.read_owner(word, &settings.owner_domains, &JOINTS);
        }
        recipients
    }

    /// Adds the addresses in one word. The characters that may join two addresses are legal in one, so they separate
    /// only if the word is not an address.
    fn read_owner(&mut self, word: &str, domains: &OwnerDomains, joints: &[&[char]]) {
        let word = without_scheme(word).trim_end_matches('.');
        match (word.parse(), joints) {
            _ if word.is_empty() => {}
            (Ok(address), _) => self.add_owner(address, domains),
            (Err(_), [joint, weaker @ ..]) => {
                word.split(*joint).for_each(|part| self.read_owner(part, domains, weaker));
            }
            (Err(_), []) => self.malformed.push(word.to_owned()),
        }
    }

    fn add_owner(&mut self, address: EmailAddress, domains: &OwnerDomains) {
        let is_known = self.owners.iter().any(|known| mailbox(known) == mailbox(&address));
        match (domains.admits(&address), is_known) {
            (false, _) => self.outside.push(address),
            (true, true) => {}
            (true, false) if self.owners.len() == MAX_OWNERS => self.has_too_many = true,
            (true, false) => self.owners.push(address),
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
        let any = settings(&[("OWNER_DOMAINS", "*")]);
        let recipients = Recipients::of(&contact("prod", None), Some(tag), &any);
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
            assert_owners(tag, good, bad);
        }
    }

    #[test]
    fn reported_c4_addresses_are_found_however_people_join_them() {
        for (tag, good, bad) in [
            ("a@x.org; b@x.org", &["a@x.org", "b@x.org"][..], &[][..]),
            ("a@x.org : b@x.org", &["a@x.org", "b@x.org"], &[]),
            ("a@x.org:b@x.org", &["a@x.org", "b@x.org"], &[]),
            ("a@x.org+b@x.org", &["a@x.org", "b@x.org"], &[]),
            ("a+keys@x.org/b+keys@x.org", &["a+keys@x.org", "b+keys@x.org"], &[]),
            ("a@x.org\u{a0}b@x.org\u{3000}c@x.org\na@x.org", &["a@x.org", "b@x.org", "c@x.org"], &[]),
            ("<a@x.org>,<b@x.org>", &["a@x.org", "b@x.org"], &[]),
            ("\"Jo\" <a@x.org>", &["a@x.org"], &["Jo"]),
            ("mailto:a@x.org MailTo:b@x.org", &["a@x.org", "b@x.org"], &[]),
            ("a@x.org.", &["a@x.org"], &[]),
            ("jörg@x.org", &[], &["jörg@x.org"]),
            ("a@münchen.de b@xn--mnchen-3ya.de", &["b@xn--mnchen-3ya.de"], &["a@münchen.de"]),
            ("ａ@x.org", &[], &["ａ@x.org"]),
        ] {
            assert_owners(tag, good, bad);
        }
    }

    fn assert_owners(tag: &str, good: &[&str], bad: &[&str]) {
        let (addresses, malformed) = owners(tag);
        assert_eq!((addresses, malformed), (texts(good), texts(bad)), "{tag:?}");
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
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
