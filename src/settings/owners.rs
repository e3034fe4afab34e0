//! `OWNER_DOMAINS`: the domains that an owner's address may be in. Pure.

use std::collections::BTreeSet;

use super::format::is_domain;
use super::reader::SettingsReader;
use crate::keys::EmailAddress;

/// The domains that an owner's address may be in. A person who may tag a user chooses its owner's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerDomains {
    /// Every domain (`*`).
    Any,
    /// These domains, in lower case. A domain below one of them is another domain.
    Only(BTreeSet<String>),
}

impl OwnerDomains {
    /// Whether an owner's address may be in its domain. Case does not count. An address is ASCII, so an international
    /// domain is in its form `xn--…`, which has one spelling.
    pub fn admits(&self, address: &EmailAddress) -> bool {
        match self {
            Self::Any => true,
            Self::Only(domains) => domains.contains(&address.domain().to_ascii_lowercase()),
        }
    }
}

impl SettingsReader<'_> {
    /// `OWNER_DOMAINS`: domains, separated by spaces or commas, or `*`; by default the sender's.
    pub(super) fn owner_domains(&mut self, sender: Option<&EmailAddress>) -> OwnerDomains {
        const VARIABLE: &str = "OWNER_DOMAINS";
        const ALLOWED: &str = "domain names in ASCII, such as example.com or xn--mnchen-3ya.de, separated by spaces or commas; or * alone";
        let lower = |domain: &str| domain.to_ascii_lowercase();
        let Some(value) = self.value(VARIABLE) else {
            return OwnerDomains::Only(sender.map(|sender| lower(sender.domain())).into_iter().collect());
        };
        if value == "*" {
            return OwnerDomains::Any;
        }
        let listed = value.split(|c: char| c.is_whitespace() || c == ',').filter(|domain| !domain.is_empty());
        let (domains, wrong): (Vec<&str>, Vec<&str>) = listed.partition(|domain| is_domain(domain));
        for domain in &wrong {
            self.mistake(VARIABLE, domain, ALLOWED);
        }
        if domains.is_empty() && wrong.is_empty() {
            self.mistake(VARIABLE, &value, ALLOWED);
        }
        OwnerDomains::Only(domains.into_iter().map(lower).collect())
    }
}
