//! Calls to the model's IAM.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound as _, Utc};
use serde_json::{Value, json};

use super::Actor;
use crate::aws::{
    AccountDetails, CallFailure, CredentialReport, DatedReport, Iam, ListedKey, ListedUser, NewKey, PageTokens,
    UnreadableUser, is_report_capacity_exhausted, is_report_unavailable,
};
use crate::keys::{AccessKeyId, AccountId, KeyStatus, KeyUse, SecretKey, UserName, UserRef};
use crate::model::Xml;

#[derive(Debug)]
pub(super) struct DirectIam {
    actor: Actor,
    account: AccountId,
}

impl DirectIam {
    pub(super) fn new(actor: &Actor, account: AccountId) -> Self {
        Self { actor: actor.clone(), account }
    }

    fn user(&self, name: &UserName) -> UserRef {
        UserRef { account: self.account.clone(), name: name.clone() }
    }

    /// All pages of a list.
    async fn pages(&self, operation: &'static str, about: &str, mut input: Value) -> Result<Vec<Xml>, CallFailure> {
        let (mut pages, mut tokens) = (Vec::new(), PageTokens::default());
        loop {
            let page = self.actor.ask(operation, about, input.clone()).await?.xml()?;
            let marker = tokens.next(operation, about, page.text_of("Marker").map(str::to_owned))?;
            pages.push(page);
            let Some(marker) = marker else { return Ok(pages) };
            input["Marker"] = json!(marker);
        }
    }
}

#[async_trait]
impl Iam for DirectIam {
    fn account(&self) -> &AccountId {
        &self.account
    }

    /// The time as the header `Date` gives it, in whole seconds.
    fn now(&self) -> DateTime<Utc> {
        self.actor.cloud.clock().now().trunc_subsecs(0)
    }

    async fn account_details(&self, from: Option<String>, at_most: usize) -> Result<AccountDetails, CallFailure> {
        const OPERATION: &str = "iam:GetAccountAuthorizationDetails";
        let about = format!("account {}", self.account);
        let mut input = json!({"Filter": ["User", "Group"], "MaxItems": at_most});
        if let Some(from) = from {
            input["Marker"] = json!(from);
        }
        let page = self.actor.ask(OPERATION, &about, input).await?.xml()?;
        let mut details = AccountDetails::default();
        for user in page.items("UserDetailList") {
            let groups = user.texts_of("GroupList").iter().cloned().collect();
            let Some(user) = listed(user, groups) else {
                let name = user.text_of("UserName").and_then(|name| name.parse().ok());
                details
                    .unreadable
                    .push(UnreadableUser { name, why: CallFailure::incomplete(OPERATION, &about, "user") });
                continue;
            };
            if user.arn.user().account != self.account {
                return Err(CallFailure::incomplete(OPERATION, about, "user of that account"));
            }
            details.users.push(user);
        }
        let groups = page.items("GroupDetailList").iter();
        details.groups.extend(groups.filter_map(|group| group.text_of("GroupName")).map(str::to_owned));
        details.next = page.text_of("Marker").map(str::to_owned);
        Ok(details)
    }

    async fn request_report(&self) -> Result<bool, CallFailure> {
        let about = format!("account {}", self.account);
        match self.actor.ask("iam:GenerateCredentialReport", about, json!({})).await {
            Err(failure) if is_report_capacity_exhausted(&failure) => Ok(false),
            answer => Ok(answer?.xml()?.text_of("State") == Some("COMPLETE")),
        }
    }

    async fn credential_report(&self) -> Result<Option<DatedReport>, CallFailure> {
        const OPERATION: &str = "iam:GetCredentialReport";
        let about = format!("account {}", self.account);
        let answer = match self.actor.ask(OPERATION, &about, json!({})).await {
            Err(failure) if is_report_unavailable(&failure) => return Ok(None),
            answer => answer?.xml()?,
        };
        let content = answer.blob_of("Content").and_then(|content| CredentialReport::read(content).ok());
        match (answer.time_of("GeneratedTime"), content) {
            (Some(made_at), Some(content)) => Ok(Some(DatedReport { made_at, content })),
            _ => Err(CallFailure::incomplete(OPERATION, about, "time and content")),
        }
    }

    async fn find_user(&self, name: &UserName) -> Result<Option<ListedUser>, CallFailure> {
        const OPERATION: &str = "iam:GetUser";
        let answer = self.actor.ask(OPERATION, self.user(name), json!({"UserName": name.as_str()})).await;
        let answer = match answer {
            Err(failure) if failure.is_not_found() => return Ok(None),
            answer => answer?.xml()?,
        };
        let found = answer.inside("User").and_then(|user| listed(user, BTreeSet::new()));
        let found = found.ok_or_else(|| CallFailure::incomplete(OPERATION, self.user(name), "user"))?;
        Ok(Some(found).filter(|user| user.arn.user().name == *name))
    }

    async fn groups_of(&self, name: &UserName) -> Result<BTreeSet<String>, CallFailure> {
        let input = json!({"UserName": name.as_str(), "MaxItems": 1000});
        let pages = self.pages("iam:ListGroupsForUser", &self.user(name).to_string(), input).await?;
        let groups = pages.iter().flat_map(|page| page.items("Groups"));
        Ok(groups.filter_map(|group| group.text_of("GroupName")).map(str::to_owned).collect())
    }

    async fn access_keys(&self, name: &UserName) -> Result<Vec<ListedKey>, CallFailure> {
        const OPERATION: &str = "iam:ListAccessKeys";
        let about = self.user(name).to_string();
        let pages = self.pages(OPERATION, &about, json!({"UserName": name.as_str()})).await?;
        let items = || pages.iter().flat_map(|page| page.items("AccessKeyMetadata"));
        let mut owners = items().map(|key| key.text_of("UserName").unwrap_or_default());
        if let Some(owner) = owners.find(|owner| *owner != name.as_str()) {
            return Err(CallFailure::other_user(OPERATION, about, owner));
        }
        let keys = items().map(listed_key);
        let mut keys =
            keys.collect::<Option<Vec<_>>>().ok_or_else(|| CallFailure::incomplete(OPERATION, about, "access key"))?;
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(keys)
    }

    async fn last_use(&self, id: &AccessKeyId) -> Result<Option<KeyUse>, CallFailure> {
        const OPERATION: &str = "iam:GetAccessKeyLastUsed";
        let about = format!("access key {id} in account {}", self.account);
        let answer = self.actor.ask(OPERATION, &about, json!({"AccessKeyId": id.as_str()})).await?.xml()?;
        let used = answer.inside("AccessKeyLastUsed");
        let used = used.ok_or_else(|| CallFailure::incomplete(OPERATION, about, "last use"))?;
        Ok(used.time_of("LastUsedDate").map(|time| KeyUse {
            time,
            service: used.text_of("ServiceName").unwrap_or_default().to_owned(),
            region: used.text_of("Region").unwrap_or_default().to_owned(),
        }))
    }

    async fn create_access_key(&self, name: &UserName, within: Duration) -> Result<NewKey, CallFailure> {
        const OPERATION: &str = "iam:CreateAccessKey";
        let input = json!({"UserName": name.as_str()});
        let answer = self.actor.ask_within(within, OPERATION, self.user(name), input).await?.xml()?;
        let made = answer.inside("AccessKey").and_then(|key| {
            let secret = SecretKey::new(key.text_of("SecretAccessKey")?.to_owned());
            Some(NewKey { id: key.text_of("AccessKeyId")?.parse().ok()?, secret, created: key.time_of("CreateDate") })
        });
        made.ok_or_else(|| CallFailure::incomplete(OPERATION, self.user(name), "access key"))
    }

    async fn disable_access_key(&self, name: &UserName, id: &AccessKeyId) -> Result<(), CallFailure> {
        let about = format!("access key {id} of {}", self.user(name));
        let input = json!({"UserName": name.as_str(), "AccessKeyId": id.as_str(), "Status": "Inactive"});
        self.actor.ask("iam:UpdateAccessKey", about, input).await.map(drop)
    }

    async fn delete_access_key(&self, name: &UserName, id: &AccessKeyId) -> Result<(), CallFailure> {
        let about = format!("access key {id} of {}", self.user(name));
        let input = json!({"UserName": name.as_str(), "AccessKeyId": id.as_str()});
        match self.actor.ask("iam:DeleteAccessKey", about, input).await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    async fn add_to_group(&self, group: &str, name: &UserName) -> Result<(), CallFailure> {
        let about = format!("group `{group}` and {}", self.user(name));
        let input = json!({"GroupName": group, "UserName": name.as_str()});
        self.actor.ask("iam:AddUserToGroup", about, input).await.map(drop)
    }
}

fn listed(user: &Xml, groups: BTreeSet<String>) -> Option<ListedUser> {
    let tag = |tag: &Xml| Some((tag.text_of("Key")?.to_owned(), tag.text_of("Value")?.to_owned()));
    Some(ListedUser {
        arn: user.text_of("Arn")?.parse().ok()?,
        id: user.text_of("UserId")?.to_owned(),
        tags: user.items("Tags").iter().map(tag).collect::<Option<BTreeMap<_, _>>>()?,
        groups,
    })
}

fn listed_key(key: &Xml) -> Option<ListedKey> {
    let status = match key.text_of("Status")? {
        "Active" => KeyStatus::Active,
        "Inactive" => KeyStatus::Inactive,
        other => KeyStatus::Other(other.to_owned()),
    };
    Some(ListedKey { id: key.text_of("AccessKeyId")?.parse().ok()?, status, created: key.time_of("CreateDate")? })
}
