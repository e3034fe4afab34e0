//! Which caller may use which KMS key through Secrets Manager.
//!
//! A key has the callers that its policy admits. A role can be denied to encrypt under any key but some, as by a denial
//! with `NotResource` and `kms:ViaService`. Anybody in an account may use the key that Secrets Manager makes itself
//! there, through Secrets Manager alone.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html>

use std::collections::BTreeSet;

use super::cloud::Cloud;
use super::kms::{KmsKey, KmsKeyState, KmsUse};
use super::operator::OPERATOR;
use super::secretsmanager::glob;
use super::signature::{Caller, CallerKind};
use super::state::World;

impl World {
    /// The state of a key as this caller finds it when it uses the key through Secrets Manager, for a secret of that
    /// account.
    pub(crate) fn kms_key_for(&self, caller: &Caller, account: &str, key: &str, purpose: KmsUse) -> KmsKeyState {
        if purpose == KmsUse::Encrypt && self.is_denied_to_encrypt(caller, key) {
            return KmsKeyState::Denied;
        }
        match self.kms_keys.get(key) {
            Some(found) if self.is_admitted(caller, found) => found.state,
            None if caller.account == account => KmsKeyState::Enabled,
            Some(_) | None => KmsKeyState::Denied,
        }
    }

    fn is_admitted(&self, caller: &Caller, key: &KmsKey) -> bool {
        let is_operator = matches!(&caller.kind, CallerKind::Role { name } if name == OPERATOR);
        let identity = caller.identity(self);
        is_operator || key.callers.iter().any(|pattern| glob(pattern, &identity))
    }

    fn is_denied_to_encrypt(&self, caller: &Caller, key: &str) -> bool {
        let CallerKind::Role { name } = &caller.kind else { return false };
        let role = self.accounts.get(&caller.account).and_then(|account| account.roles.get(name));
        let allowed = role.and_then(|role| role.encrypts_only_under.as_ref());
        allowed.is_some_and(|allowed| !allowed.contains(key))
    }
}

impl Cloud {
    /// Adds a KMS key, which secrets may then name. Its policy admits everybody.
    pub fn add_kms_key(&self, arn: &str) {
        let key = KmsKey { state: KmsKeyState::Enabled, callers: vec!["*".to_owned()] };
        self.world().kms_keys.insert(arn.to_owned(), key);
    }

    /// Changes the policy of a KMS key: only these callers may use it through Secrets Manager, and the operator. Each
    /// is the ARN of a user or a role; `*` stands for any part.
    ///
    /// # Panics
    /// If that key was never added.
    pub fn admit_to_kms_key(&self, arn: &str, callers: &[String]) {
        self.change_kms_key(arn, |key| key.callers = callers.to_vec());
    }

    /// Changes the state of a KMS key.
    ///
    /// # Panics
    /// If that key was never added.
    pub fn set_kms_key_state(&self, arn: &str, state: KmsKeyState) {
        self.change_kms_key(arn, |key| key.state = state);
    }

    fn change_kms_key(&self, arn: &str, change: impl FnOnce(&mut KmsKey)) {
        match self.world().kms_keys.get_mut(arn) {
            Some(key) => change(key),
            None => panic!("the script names KMS key {arn}, which it never added"),
        }
    }

    /// Denies a role to encrypt through Secrets Manager under any key but these, whatever the policies of the keys say.
    /// It may still decrypt. `None` removes the denial.
    ///
    /// # Panics
    /// If the account lacks the role.
    pub fn deny_other_kms_keys(&self, account: &str, role: &str, allowed: Option<&[&str]>) {
        let allowed = allowed.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>());
        match self.world().expect_account(account).roles.get_mut(role) {
            Some(role) => role.encrypts_only_under = allowed,
            None => panic!("the script names role {role}, which is not in {account}"),
        }
    }
}
