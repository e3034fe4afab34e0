//! The acts around keywheel: on accounts and groups, AWS's behaviour, faults, clocks and settings.

use chrono::TimeDelta;

use super::super::acts::Act;
use super::super::cast::Person;
use super::super::judge::FailingRead;
use super::{Life, TemporaryFault};
use crate::model::{AccountStatus, Fault, FaultKind, Occurrence, Switches, delta};
use crate::rehearsal::chaos;
use crate::rehearsal::deployment::{Clocks, KMS_KEY};

/// The end of a renamed user's name.
const RENAMED: &str = "-renamed";

impl Life {
    pub(super) fn change_account(&mut self, act: &Act) -> bool {
        let (cloud, settings) = (&self.cloud, self.keywheel.settings());
        match act {
            Act::RemoveRole { account, rotation } => {
                let role = if *rotation { settings.rotation_member_role() } else { settings.member_role.clone() };
                cloud.remove_role(account, &role);
            }
            Act::RestoreRoles { account } => {
                if cloud.has_role(account, &settings.member_role)
                    && cloud.has_role(account, &settings.rotation_member_role())
                {
                    return false;
                }
                self.keywheel.prepare_roles(account);
            }
            Act::Suspend { account } => cloud.set_account_state(account, AccountStatus::Suspended),
            Act::Reopen { account } => {
                let was_closed = cloud.world().accounts[account].state != AccountStatus::Active;
                cloud.set_account_state(account, AccountStatus::Active);
                return was_closed;
            }
            Act::LeaveOrganization { account } => cloud.set_membership(account, false),
            Act::JoinOrganization { account } => {
                let was_gone = !cloud.world().accounts[account].is_member;
                cloud.set_membership(account, true);
                return was_gone;
            }
            Act::SetKmsKey(state) => {
                let before = cloud.world().kms_keys.get(KMS_KEY).copied();
                cloud.set_kms_key_state(KMS_KEY, *state);
                return before != Some(*state);
            }
            Act::DeleteGroup { account, readers: true } => match &settings.reader_group {
                Some(group) => cloud.delete_group(account, group),
                None => return false,
            },
            Act::DeleteGroup { account, readers: false } => {
                let group = settings.exemption_group.clone();
                // Its members are no longer exempt.
                self.touch_all();
                self.cloud.delete_group(account, &group);
            }
            Act::MakeGroups { account } => return self.make_groups(account),
            Act::Behave(switches) => self.behave(switches),
            Act::MailDown => cloud.switch(|switches| switches.mail_down = true),
            Act::MailUp => {
                let was_down = cloud.world().switches.mail_down;
                cloud.switch(|switches| switches.mail_down = false);
                return was_down;
            }
            _ => return false,
        }
        true
    }

    pub(super) fn make_groups(&self, account: &str) -> bool {
        let settings = self.keywheel.settings();
        let wanted = settings.reader_group.iter().chain([&settings.exemption_group]);
        let missing: Vec<&String> = wanted.filter(|group| !self.cloud.has_group(account, group)).collect();
        for group in &missing {
            self.cloud.add_group(account, group);
            if settings.reader_group.as_ref() == Some(group) {
                self.cloud.allow_reader_group(account, group);
            }
        }
        !missing.is_empty()
    }

    pub(super) fn behave(&self, wanted: &Switches) {
        self.cloud.switch(|switches| {
            // These follow the settings and other acts.
            let Switches { counts_only, mail_down, mail_region, demanded_secret_tags, .. } = switches.clone();
            *switches = Switches { counts_only, mail_region, mail_down, demanded_secret_tags, ..wanted.clone() };
        });
        let mut judge = self.judge();
        judge.lag = judge.lag.max(delta(wanted.list_access_keys_lag));
    }

    /// Gives a user another name, or its first name back.
    pub(super) fn rename(&mut self, number: usize) -> bool {
        let Person { account, name, .. } = self.people[number].clone();
        if self.cloud.user(&account, &name).is_none() {
            return false;
        }
        let new = name.strip_suffix(RENAMED).map_or_else(|| format!("{name}{RENAMED}"), str::to_owned);
        let now = self.now();
        self.judge().rename((account.clone(), name.clone()), &(account.clone(), new.clone()), now);
        self.cloud.rename_user(&account, &name, &new);
        self.people[number].name = new;
        true
    }

    pub(super) fn touch_all(&self) {
        let now = self.now();
        for person in &self.people {
            self.judge().touch((person.account.clone(), person.name.clone()), now);
        }
    }

    pub(super) fn plant(&mut self, fault: Fault, lasts: TimeDelta) {
        let (now, until) = (self.now(), self.now() + lasts);
        let mut judge = self.judge();
        judge.is_slow_until = judge.is_slow_until.max(Some(until));
        let fails = matches!(fault.kind, FaultKind::AccessDenied | FaultKind::ErrorBefore { .. });
        if fault.nth == Occurrence::Every && fails {
            let (operation, account) = (fault.operation.clone(), fault.account.clone());
            judge.unreadable.push(FailingRead { operation, account, since: now, until });
        }
        drop(judge);
        let kind = fault.kind.name();
        self.planted.push(TemporaryFault { until, kind, handle: self.cloud.faults().inject(fault) });
    }

    pub(super) fn set_clocks(&mut self, clocks: Clocks) {
        self.clocks = clocks;
        self.keywheel = self.keywheel.with_clocks(clocks);
        let mut judge = self.judge();
        judge.skew = judge.skew.max(clocks.sweeper.abs()).max(clocks.rotation.abs());
    }

    pub(super) fn deploy(&mut self, settings: &[(&'static str, String)]) {
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let keywheel = chaos::deploy(&self.cloud, &settings).expect("the settings of a story are right");
        self.keywheel = keywheel.with_clocks(self.clocks);
        let of = |name: &str| settings.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned());
        let demanded = of("SECRET_TAGS").into_iter().filter_map(|tag| Some(tag.split_once('=')?.0.to_owned()));
        self.cloud.switch(|switches| {
            switches.mail_region = of("SES_REGION");
            switches.demanded_secret_tags = demanded.collect();
        });
        let now = self.now();
        self.judge().deployed(self.keywheel.settings(), now);
    }
}
