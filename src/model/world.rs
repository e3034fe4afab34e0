//! Changes by people: accounts, users, keys, roles. None of them is recorded as a call.
//!
//! These methods panic if a script names an account, user, group or key that does not exist: the script is wrong.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::clock::delta;
use super::cloud::{AccessKeyPair, Cloud};
use super::history::KeyChange;
use super::ids;
use super::secret::Plain;
use super::secretsmanager::plant;
use super::state::{AccessKey, AccountStatus, AwsAccount, Group, IamUser, Organization, RecordedUse, Role, World};

impl World {
    pub(crate) fn expect_account(&mut self, id: &str) -> &mut AwsAccount {
        match self.accounts.get_mut(id) {
            Some(account) => account,
            None => panic!("the script names account {id}, which it never added"),
        }
    }

    pub(crate) fn expect_user(&mut self, account: &str, name: &str) -> &mut IamUser {
        match self.expect_account(account).user_mut(name) {
            Some(user) => user,
            None => panic!("the script names user {name}, who is not in {account}"),
        }
    }

    fn expect_group(&mut self, account: &str, name: &str) -> &mut Group {
        let groups = &mut self.expect_account(account).groups;
        match groups.get_mut(&name.to_ascii_lowercase()) {
            Some(group) => group,
            None => panic!("the script names group {name}, which is not in {account}"),
        }
    }

    fn expect_organization(&mut self) -> &mut Organization {
        match &mut self.organization {
            Some(organization) => organization,
            None => panic!("the script names an organization, which it left"),
        }
    }

    fn expect_key(&mut self, account: &str, user: &str, id: &str) -> &mut AccessKey {
        let keys = &mut self.expect_user(account, user).keys;
        match keys.iter_mut().find(|key| key.id == id) {
            Some(key) => key,
            None => panic!("the script names key {id}, which {user} does not have"),
        }
    }

    /// Makes a key and registers its owner. The caller checks the limit.
    pub(crate) fn make_key(&mut self, account: &str, user: &str, created: DateTime<Utc>) -> AccessKey {
        let accepted_from = created + delta(self.switches.key_propagation);
        let accepted_everywhere_from = accepted_from.max(created + delta(self.switches.key_propagation_elsewhere));
        let key = AccessKey {
            id: ids::unique_id(&mut self.rng, "AKIA"),
            secret: ids::secret_access_key(&mut self.rng),
            created,
            accepted_from,
            accepted_everywhere_from,
            status: "Active".to_owned(),
            last_use: None,
            changed: None,
        };
        let user = self.expect_user(account, user);
        user.keys.push(key.clone());
        let owner = (account.to_owned(), user.name.clone());
        self.key_owners.insert(key.id.clone(), owner);
        key
    }

    /// Removes a key. Returns `None` if the user does not have it.
    pub(crate) fn remove_key(&mut self, account: &str, user: &str, id: &str, now: DateTime<Utc>) -> Option<AccessKey> {
        let user = self.expect_user(account, user);
        let place = user.keys.iter().position(|key| key.id == id)?;
        let key = user.keys.remove(place);
        user.deleted_keys.push((now, key.clone()));
        self.key_owners.remove(id);
        Some(key)
    }

    /// Removes a user with all keys and memberships.
    pub(crate) fn remove_user(&mut self, account: &str, name: &str) -> Option<IamUser> {
        let lower = name.to_ascii_lowercase();
        let account = self.expect_account(account);
        let user = account.users.remove(&lower)?;
        for group in account.groups.values_mut() {
            group.members.remove(&lower);
        }
        for key in &user.keys {
            self.key_owners.remove(&key.id);
        }
        Some(user)
    }
}

impl Cloud {
    /// Adds an account, active and in the organization.
    pub fn add_account(&self, id: &str, name: &str, email: Option<&str>) {
        let account = AwsAccount {
            id: id.to_owned(),
            name: name.to_owned(),
            email: email.map(ToOwned::to_owned),
            state: AccountStatus::Active,
            is_member: true,
            joined: self.clock().now(),
            alias: None,
            regions_off: BTreeSet::new(),
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: BTreeMap::new(),
            report: None,
            secrets: BTreeMap::new(),
            secret_order: BTreeMap::new(),
        };
        self.world().accounts.insert(id.to_owned(), account);
    }

    /// Makes a standard SNS topic. Returns its ARN.
    pub fn add_topic(&self, account: &str, name: &str) -> String {
        let mut world = self.world();
        let arn = format!("arn:{}:sns:{}:{account}:{name}", world.partition, world.region);
        world.topics.entry(arn.clone()).or_default();
        arn
    }

    /// Suspends, closes or reopens an account.
    pub fn set_account_state(&self, id: &str, state: AccountStatus) {
        self.world().expect_account(id).state = state;
    }

    /// Takes an account out of the organization, or lets it join again. Outside it is an account as before: its users,
    /// its roles and what they trust stay.
    /// <https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_accounts_remove.html>
    pub fn set_membership(&self, id: &str, is_member: bool) {
        self.world().expect_account(id).is_member = is_member;
    }

    /// Changes an account's e-mail address.
    pub fn set_account_email(&self, id: &str, email: Option<&str>) {
        self.world().expect_account(id).email = email.map(ToOwned::to_owned);
    }

    /// Gives an account an alias.
    pub fn set_account_alias(&self, id: &str, alias: &str) {
        self.world().expect_account(id).alias = Some(alias.to_owned());
    }

    /// Sets the management account of the organization.
    pub fn set_management_account(&self, id: &str) {
        self.world().expect_organization().management = Some(id.to_owned());
    }

    /// Gives the organization an id, `o-…`.
    pub fn set_organization_id(&self, id: &str) {
        if let Some(organization) = &mut self.world().organization {
            id.clone_into(&mut organization.id);
        }
    }

    /// Lets an account read the organization.
    pub fn add_delegated_administrator(&self, id: &str) {
        self.world().expect_organization().delegated.insert(id.to_owned());
    }

    /// Dissolves the organization.
    pub fn leave_organization(&self) {
        self.world().organization = None;
    }

    /// Adds or replaces a role. `trusts` are ARNs of roles and users, or `arn:aws:iam::<account>:root` for a whole
    /// account.
    pub fn add_role(&self, account: &str, name: &str, trusts: &[&str]) {
        let mut world = self.world();
        let role = Role {
            name: name.to_owned(),
            id: ids::unique_id(&mut world.rng, "AROA"),
            trusts: trusts.iter().map(|it| (*it).to_owned()).collect(),
            encrypts_only_under: None,
        };
        let roles = &mut world.expect_account(account).roles;
        roles.insert(name.to_owned(), role);
    }

    /// Removes a role; its sessions stop working.
    pub fn remove_role(&self, account: &str, name: &str) {
        self.world().expect_account(account).roles.remove(name);
    }

    /// Adds a user; `path` is `/` or `/a/b/`.
    pub fn add_user(&self, account: &str, name: &str, path: &str) {
        let now = self.clock().now();
        self.add_user_made_at(account, name, path, now);
    }

    /// Adds a user who was made at `created`.
    ///
    /// # Panics
    /// If the account has a user of this name, ignoring case.
    pub fn add_user_made_at(&self, account: &str, name: &str, path: &str, created: DateTime<Utc>) {
        let mut world = self.world();
        let user = IamUser {
            name: name.to_owned(),
            path: path.to_owned(),
            id: ids::unique_id(&mut world.rng, "AIDA"),
            created,
            tags: BTreeMap::new(),
            groups: BTreeSet::new(),
            keys: Vec::new(),
            deleted_keys: Vec::new(),
        };
        let users = &mut world.expect_account(account).users;
        let before = users.insert(name.to_ascii_lowercase(), user);
        assert!(before.is_none(), "{account} already has a user {name}");
    }

    /// Deletes a user with all keys and memberships.
    pub fn delete_user(&self, account: &str, name: &str) {
        let now = self.clock().now();
        let mut world = self.world();
        let keys = world.remove_user(account, name).map(|user| user.keys).unwrap_or_default();
        for key in keys {
            world.note_key(account, name, &key, KeyChange::Deleted, None, now);
        }
    }

    /// Gives a user another name, as `UpdateUser` does: the id, the keys, the tags and the groups stay.
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateUser.html>
    ///
    /// # Panics
    /// If the account lacks the user, or has a user of the new name, ignoring case.
    pub fn rename_user(&self, account: &str, name: &str, new_name: &str) {
        let mut world = self.world();
        let found = world.expect_account(account);
        let mut user = found.users.remove(&name.to_ascii_lowercase()).expect("the user is there");
        new_name.clone_into(&mut user.name);
        let keys: Vec<String> = user.keys.iter().map(|key| key.id.clone()).collect();
        let before = found.users.insert(new_name.to_ascii_lowercase(), user);
        assert!(before.is_none(), "{account} already has a user {new_name}");
        for group in found.groups.values_mut() {
            if group.members.remove(&name.to_ascii_lowercase()) {
                group.members.insert(new_name.to_ascii_lowercase());
            }
        }
        for key in keys {
            world.key_owners.insert(key, (account.to_owned(), new_name.to_owned()));
        }
    }

    /// Sets a tag of an existing user, or replaces its value. Limits of IAM are not checked.
    pub fn tag_user(&self, account: &str, user: &str, key: &str, value: &str) {
        let mut world = self.world();
        let tags = &mut world.expect_user(account, user).tags;
        // Keys of IAM's tags are one whatever their case. The user keeps the last spelling.
        tags.retain(|known, _| known.to_lowercase() != key.to_lowercase());
        tags.insert(key.to_owned(), value.to_owned());
    }

    /// Removes a tag of a user.
    pub fn untag_user(&self, account: &str, user: &str, key: &str) {
        self.world().expect_user(account, user).tags.retain(|known, _| known.to_lowercase() != key.to_lowercase());
    }

    /// Adds a group without members to an existing account. The name keeps its case, and is found in any case.
    pub fn add_group(&self, account: &str, name: &str) {
        let now = self.clock().now();
        let mut world = self.world();
        let group = Group {
            name: name.to_owned(),
            id: ids::unique_id(&mut world.rng, "AGPA"),
            created: now,
            members: BTreeSet::new(),
            grants_reads: false,
        };
        let groups = &mut world.expect_account(account).groups;
        groups.insert(name.to_ascii_lowercase(), group);
    }

    /// Deletes a group and its memberships.
    pub fn delete_group(&self, account: &str, name: &str) {
        let mut world = self.world();
        let account = world.expect_account(account);
        let Some(group) = account.groups.remove(&name.to_ascii_lowercase()) else {
            return;
        };
        for member in &group.members {
            if let Some(user) = account.users.get_mut(member) {
                user.groups.remove(&group.name);
            }
        }
    }

    /// Puts a user into a group.
    pub fn add_to_group(&self, account: &str, group: &str, user: &str) {
        let mut world = self.world();
        let found = world.expect_group(account, group);
        found.members.insert(user.to_ascii_lowercase());
        let name = found.name.clone();
        world.expect_user(account, user).groups.insert(name);
    }

    /// Removes a user from a group.
    pub fn remove_from_group(&self, account: &str, group: &str, user: &str) {
        let mut world = self.world();
        let found = world.expect_group(account, group);
        found.members.remove(&user.to_ascii_lowercase());
        let name = found.name.clone();
        world.expect_user(account, user).groups.remove(&name);
    }

    /// Gives the group a policy that lets its members read secrets of other accounts.
    pub fn allow_reader_group(&self, account: &str, group: &str) {
        self.world().expect_group(account, group).grants_reads = true;
    }

    /// Makes a key that dates from `created`. Does not check the limit of two keys.
    pub fn add_access_key(&self, account: &str, user: &str, created: DateTime<Utc>) -> AccessKeyPair {
        let now = self.clock().now();
        let mut world = self.world();
        let key = world.make_key(account, user, created);
        world.note_key(account, user, &key, KeyChange::Created, None, now);
        AccessKeyPair::new(key.id, key.secret)
    }

    /// A key with its secret, as its owner keeps it.
    pub fn user_key(&self, account: &str, user: &str, id: &str) -> Option<AccessKeyPair> {
        let world = self.world();
        let keys = &world.accounts.get(account)?.user(user)?.keys;
        keys.iter().find(|key| key.id == id).map(|key| AccessKeyPair::new(&key.id, &key.secret))
    }

    /// Sets a key's status: `Active`, `Inactive` or `Expired`.
    pub fn set_key_status(&self, account: &str, user: &str, id: &str, status: &str) {
        let now = self.clock().now();
        let mut world = self.world();
        let key = world.expect_key(account, user, id);
        let was = key.clone();
        key.set_status(status, now);
        world.note_key(account, user, &was, KeyChange::to_status(status), None, now);
    }

    /// Deletes a key, whatever its status.
    pub fn delete_key(&self, account: &str, user: &str, id: &str) {
        let now = self.clock().now();
        let mut world = self.world();
        if let Some(key) = world.remove_key(account, user, id, now) {
            world.note_key(account, user, &key, KeyChange::Deleted, None, now);
        }
    }

    /// Uses a key as its owner would, for example with `s3`.
    ///
    /// # Errors
    /// Fails if AWS would refuse the key: it does not exist, is not active, or is too new at `at`.
    pub fn use_key(&self, account: &str, user: &str, id: &str, service: &str, at: DateTime<Utc>) -> Result<(), String> {
        let mut world = self.world();
        let region = world.region.clone();
        let found = world.accounts.get_mut(account).and_then(|it| it.user_mut(user));
        let keys = found.map(|it| &mut it.keys).into_iter().flatten();
        let Some(key) = keys.into_iter().find(|key| key.id == id) else {
            return Err(format!("InvalidClientTokenId: {user} in {account} has no key {id}"));
        };
        if !key.accepted_at(at, service == "sts") {
            return Err(format!("InvalidClientTokenId: key {id} of {user} is {}", key.status));
        }
        key.note_use(service, &region, at);
        Ok(())
    }

    /// Switches an opt-in Region off in an account. STS of that Region then knows none of the account's access keys,
    /// while roles of the account can be assumed there.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_temp_enable-regions.html>
    pub fn switch_region_off(&self, account: &str, region: &str) {
        self.world().expect_account(account).regions_off.insert(region.to_owned());
    }

    /// Adds a secret with one current version, as a predecessor leaves it. Returns its ARN.
    pub fn put_secret(&self, account: &str, name: &str, value: &str, created: DateTime<Utc>) -> String {
        plant(&mut self.world(), account, name, Plain::Text(value.to_owned()), created)
    }
}

impl AccessKey {
    /// Changes the status, and keeps the status before for lists that lag.
    pub(crate) fn set_status(&mut self, status: &str, now: DateTime<Utc>) {
        let before = std::mem::replace(&mut self.status, status.to_owned());
        self.changed = Some((now, before));
    }

    /// Whether AWS accepts the key at `at`: STS, or any other service.
    pub(crate) fn accepted_at(&self, at: DateTime<Utc>, by_sts: bool) -> bool {
        let from = if by_sts { self.accepted_from } else { self.accepted_everywhere_from };
        self.status == "Active" && from <= at
    }

    /// Records a use: the first one per quarter of an hour.
    /// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKeyLastUsed.html>
    pub(crate) fn note_use(&mut self, service: &str, region: &str, at: DateTime<Utc>) {
        let recorded = self.last_use.as_ref().map(|it| it.at);
        if recorded.is_none_or(|last| at - last >= chrono::TimeDelta::minutes(15)) {
            self.last_use = Some(RecordedUse { at, service: service.to_owned(), region: region.to_owned() });
        }
    }
}
