//! The modelled services, and an operation of one of them.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Iam,
    Sts,
    SecretsManager,
    Organizations,
    Ses,
    Sns,
}

impl Service {
    /// The service of a credential scope's name.
    pub(crate) fn of_scope(name: &str) -> Option<Self> {
        Some(match name {
            "iam" => Self::Iam,
            "sts" => Self::Sts,
            "secretsmanager" => Self::SecretsManager,
            "organizations" => Self::Organizations,
            "ses" => Self::Ses,
            "sns" => Self::Sns,
            _ => return None,
        })
    }

    /// The name in policies, logs and faults.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
            Self::SecretsManager => "secretsmanager",
            Self::Organizations => "organizations",
            Self::Ses => "ses",
            Self::Sns => "sns",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Iam | Self::Sts | Self::Sns => "text/xml",
            Self::SecretsManager | Self::Organizations => "application/x-amz-json-1.1",
            Self::Ses => "application/json",
        }
    }

    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sns => "http://sns.amazonaws.com/doc/2010-03-31/",
            _ => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }
}

/// An operation of a service.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) service: Service,
    pub(crate) name: String,
}
