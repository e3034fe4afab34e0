//! The order of a run's messages, and the share of SES's quota that the owners of one account may use up. Pure.
//!
//! A person who controls an account can give thousands of users an owner each. Other accounts still get their mail.

use std::collections::BTreeMap;

use crate::keys::AccountId;
use crate::notify::delivery::MailFailure;
use crate::notify::dispatch::Envelope;
use crate::notify::phrases::counted;

/// The messages to owners that are held back, because other owners of their account have used up its share. They stay
/// due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HeldBack(pub(super) BTreeMap<AccountId, usize>);

impl HeldBack {
    pub(super) fn messages(&self) -> usize {
        self.0.values().sum()
    }

    /// Returns one failure for each account.
    pub(super) fn failures(&self) -> impl Iterator<Item = MailFailure> {
        self.0.iter().map(|(account, messages)| MailFailure {
            account: Some(account.clone()),
            user: None,
            error: format!(
                "{} to owners in account {account} not sent: in a run, the owners of one account get at most a tenth of the \
                 messages that SES takes in 24 hours, so that the other accounts get theirs; the next run sends them",
                counted(*messages, "message")
            ),
        })
    }
}

/// Sorts the messages. Those to accounts come first, because their number is small. Those to owners follow, one of each
/// account by turns. Equal ones are sorted by urgency. Messages to owners beyond an account's `share` are the last.
pub(super) fn sort(envelopes: &mut Vec<Envelope<'_>>, share: usize) -> HeldBack {
    envelopes.sort_by_key(Envelope::urgency);
    let mut sent: BTreeMap<AccountId, usize> = BTreeMap::new();
    let mut held = HeldBack::default();
    let mut in_turn = Vec::with_capacity(envelopes.len());
    for envelope in envelopes.drain(..) {
        let mut turn = 0;
        if let Some(account) = charged_account(&envelope, &sent) {
            turn = sent.get(&account).copied().unwrap_or_default() + 1;
            if turn > share {
                *held.0.entry(account.clone()).or_default() += 1;
            }
            sent.insert(account, turn);
        }
        in_turn.push((turn, envelope));
    }
    in_turn.sort_by_key(|(turn, _)| *turn);
    envelopes.extend(in_turn.into_iter().map(|(_, envelope)| envelope));
    held
}

/// Returns the account whose share a message to an owner uses up: of its accounts the one with the fewest messages, so
/// that one account cannot spoil the mail of an owner that it shares with others. `None` for a message to an account.
fn charged_account(envelope: &Envelope<'_>, sent: &BTreeMap<AccountId, usize>) -> Option<AccountId> {
    let accounts = envelope.accounts_of_owner()?;
    accounts.into_iter().min_by_key(|account| sent.get(*account).copied().unwrap_or_default()).cloned()
}
