//! KMS keys, as the callers of Secrets Manager notice them: plain data.

/// The key that Secrets Manager makes itself; it cannot serve other accounts.
pub(crate) const DEFAULT_KEY: &str = "alias/aws/secretsmanager";

/// The state of a KMS key, as far as Secrets Manager's callers notice it.
/// <https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KmsKeyState {
    /// It can be used.
    Enabled,
    /// Somebody disabled it.
    Disabled,
    /// Somebody scheduled it for deletion.
    PendingDeletion,
    /// It does not exist any more, or its policy does not admit the caller. KMS answers both in the same way.
    Denied,
}

/// A customer managed key.
#[derive(Clone, Debug)]
pub(crate) struct KmsKey {
    pub(crate) state: KmsKeyState,
    /// The callers that its policy admits, as patterns of the ARNs of users and roles.
    pub(crate) callers: Vec<String>,
}

/// The purpose of a use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KmsUse {
    /// Decrypt.
    Decrypt,
    /// Encrypt and `GenerateDataKey`.
    Encrypt,
}
