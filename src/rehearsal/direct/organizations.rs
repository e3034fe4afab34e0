//! Calls to the model's Organizations.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::Actor;
use crate::aws::{AccountPage, AccountState, CallFailure, ListedAccount, Organizations, organization_of, read_email};
use crate::keys::AccountId;

#[derive(Debug)]
pub(super) struct DirectOrganizations(Actor);

impl DirectOrganizations {
    pub(super) fn new(actor: &Actor) -> Self {
        Self(actor.clone())
    }
}

#[async_trait]
impl Organizations for DirectOrganizations {
    async fn accounts(&self, next_token: Option<String>, at_most: usize) -> Result<AccountPage, CallFailure> {
        const OPERATION: &str = "organizations:ListAccounts";
        const ABOUT: &str = "the organization";
        let input = json!({"NextToken": next_token, "MaxResults": at_most.clamp(1, 20)});
        let answer = self.0.ask(OPERATION, ABOUT, input).await?.json();
        let accounts = answer["Accounts"].as_array().into_iter().flatten();
        let (count, accounts) = (accounts.clone().count(), accounts.filter_map(listed).collect::<Vec<_>>());
        Ok(AccountPage {
            unreadable: count - accounts.len(),
            accounts,
            next_token: answer["NextToken"].as_str().map(str::to_owned),
        })
    }

    async fn account(&self, id: &AccountId) -> Result<ListedAccount, CallFailure> {
        const OPERATION: &str = "organizations:DescribeAccount";
        let about = format!("account {id}");
        let answer = self.0.ask(OPERATION, &about, json!({"AccountId": id.as_str()})).await?.json();
        listed(&answer["Account"]).ok_or_else(|| CallFailure::incomplete(OPERATION, about, "account"))
    }
}

fn listed(account: &Value) -> Option<ListedAccount> {
    // `State` replaces `Status`, which counts only if `State` is absent.
    let state = account["State"].as_str().or(account["Status"].as_str()).unwrap_or("UNKNOWN");
    let state = if state == "ACTIVE" { AccountState::Active } else { AccountState::Other(state.to_owned()) };
    let (email, malformed_email) = read_email(account["Email"].as_str().map(str::to_owned));
    Some(ListedAccount {
        id: account["Id"].as_str()?.parse().ok()?,
        name: account["Name"].as_str().unwrap_or_default().to_owned(),
        email,
        malformed_email,
        state,
        organization: account["Arn"].as_str().and_then(organization_of),
    })
}
