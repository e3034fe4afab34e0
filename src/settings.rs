//! Environment → [`Settings`]. Pure: the environment is passed as a lookup function.
//!
//! `reader` reads single variables, and `format` checks their forms. Every variable is read before a mistake is
//! reported, and all mistakes are reported together. A wrong configuration never runs.

mod format;
mod notices;
mod owners;
mod reader;
mod tags;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use chrono::TimeDelta;

use crate::keys::{AccountId, EmailAddress, is_kms_key_arn};
use format::{is_domain, is_function_arn, is_kms_key, is_organization_id, is_role_arn, is_tag_key};
pub use notices::NoticeSettings;
pub use owners::OwnerDomains;
pub use reader::InvalidSettings;
use reader::SettingsReader;
pub use tags::MAX_SECRET_TAGS;

/// The longest name of a role: IAM allows 64 characters, and the rotation function's roles add `-rotation`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const MAX_ROLE_NAME_LENGTH: usize = 64 - ROTATION_ROLE_SUFFIX.len();
const ROTATION_ROLE_SUFFIX: &str = "-rotation";

/// The days that a rotation schedule allows (`AutomaticallyAfterDays`).
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotationRulesType.html>
const ROTATION_DAYS: RangeInclusive<i64> = 1..=1000;
/// Limits the other periods to the longest rotation period.
const GRACE_DAYS: RangeInclusive<i64> = 0..=1000;
/// Limits `CHANGES_PER_RUN` to the users that IAM allows in one account.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const CHANGES: RangeInclusive<i64> = 0..=5_000;
/// Limits `MAX_CONCURRENCY`.
const ACCOUNTS_AT_ONCE: RangeInclusive<i64> = 1..=256;
/// Limits `MAX_CONCURRENT_USERS`, because IAM throttles per account.
const USERS_AT_ONCE: RangeInclusive<i64> = 1..=64;

/// The names of all variables that [`Settings::read`] reads. A test holds the list to the code.
pub const VARIABLES: [&str; 34] = [
    "DRY_RUN_FLAG",
    "PRIMARY_ACCOUNT_ID",
    "AWS_ORG_ID",
    "SENDER_EMAIL",
    "RECIPIENT_EMAIL",
    "SES_DOMAIN",
    "ROTATION_PERIOD",
    "INSTALLATION_GRACE_PERIOD",
    "RECOVERY_GRACE_PERIOD",
    "PENDING_ACTION_WARN_PERIOD",
    "CHANGES_PER_RUN",
    "IAM_EXEMPTION_GROUP",
    "IAM_ASSUMED_ROLE_NAME",
    "EXECUTION_ROLE_NAME",
    "ROLE_SESSION_NAME",
    "EMAIL_TEMPLATE_ENFORCE",
    "EMAIL_TEMPLATE_AUDIT",
    "ROTATION_FUNCTION_ARN",
    "SECRETS_KMS_KEY_ID",
    "SECRET_TAGS",
    "RESOURCE_OWNER_TAG",
    "OWNER_DOMAINS",
    "READER_GROUP",
    "MAX_CONCURRENCY",
    "MAX_CONCURRENT_USERS",
    "ORG_LIST_ROLE_ARN",
    "REPLY_TO_EMAIL",
    "NOTICE_CONTACT",
    "RECIPIENT_EMAIL_IN_COPY",
    "SES_CONFIGURATION_SET",
    "SES_REGION",
    "NOTICE_TOPIC_ARN",
    "NOTICE_REPEAT_PERIOD",
    "AUDIT_NOTICE_PERIOD",
];

/// The executable that reads the settings. The sweeper needs settings that the rotation function does not need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The rotation function, called by Secrets Manager.
    Rotation,
    /// The sweeper, called by a schedule, by events or by hand.
    Sweeper,
}

/// The periods of a key's life, all in whole days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// `ROTATION_PERIOD`: from a key's creation to its rotation, 1–1000 days.
    pub rotation: TimeDelta,
    /// `INSTALLATION_GRACE_PERIOD`: from a rotation to the disable of the previous key.
    pub installation_grace: TimeDelta,
    /// `RECOVERY_GRACE_PERIOD`: from the observed disable of a key to its deletion.
    pub recovery_grace: TimeDelta,
    /// `PENDING_ACTION_WARN_PERIOD`: how long before an action its owner gets a notice.
    pub warn: TimeDelta,
    /// `NOTICE_REPEAT_PERIOD`: the time after which the notice of a lasting problem is repeated. `None` (0 days):
    /// never.
    pub repeat: Option<TimeDelta>,
}

/// All settings, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `DRY_RUN_FLAG`: plan and report, change nothing.
    pub dry_run: bool,
    /// `PRIMARY_ACCOUNT_ID`: the account of the stack and of the central store of secrets.
    pub primary_account: AccountId,
    /// `AWS_ORG_ID`: the organization, `o-…`.
    pub organization_id: Option<String>,
    /// `SENDER_EMAIL`: the sender of all mail. Without it no mail is sent, and every notice is reported as not sent.
    pub sender: Option<EmailAddress>,
    /// `RECIPIENT_EMAIL`: the recipient of notices of accounts that have no address of their own.
    pub recipient: Option<EmailAddress>,
    /// How notices are sent.
    pub notices: NoticeSettings,
    /// `ROTATION_PERIOD`, `INSTALLATION_GRACE_PERIOD`, `RECOVERY_GRACE_PERIOD`, `PENDING_ACTION_WARN_PERIOD`,
    /// `NOTICE_REPEAT_PERIOD`.
    pub periods: Periods,
    /// `CHANGES_PER_RUN`: rotations started, keys disabled and keys deleted, each, per account and run. 0: no limit.
    pub changes_per_run: usize,
    /// `IAM_EXEMPTION_GROUP`: members of this group, in any account, are exempt.
    pub exemption_group: String,
    /// `IAM_ASSUMED_ROLE_NAME`: the sweeper's role in member accounts.
    pub member_role: String,
    /// `EXECUTION_ROLE_NAME`: the role that the sweeper runs as.
    pub execution_role: String,
    /// `ROLE_SESSION_NAME`: the name that sessions have in the trails of member accounts.
    pub session_name: String,
    /// `EMAIL_TEMPLATE_ENFORCE`: file name of the template for notices of actions.
    pub template_enforce: String,
    /// `EMAIL_TEMPLATE_AUDIT`: file name of the template for notices of dry runs.
    pub template_audit: String,
    /// `ROTATION_FUNCTION_ARN`: the rotation function. The sweeper needs it.
    pub rotation_function_arn: Option<String>,
    /// `SECRETS_KMS_KEY_ID`: the customer managed key that encrypts the secrets. Users of
    /// member accounts cannot read a secret without it.
    pub kms_key: Option<String>,
    /// `SECRET_TAGS`: tags that every secret gets, values by names, for policies that demand them.
    pub secret_tags: BTreeMap<String, String>,
    /// `RESOURCE_OWNER_TAG`: name of the tag on a user that holds the address of its owner.
    pub owner_tag: Option<String>,
    /// `OWNER_DOMAINS`: the domains that an owner's address may be in. By default that of the sender.
    pub owner_domains: OwnerDomains,
    /// `READER_GROUP`: the group through which users of member accounts may read their own secrets.
    pub reader_group: Option<String>,
    /// `MAX_CONCURRENCY`: accounts that are swept at the same time, 1–256.
    pub max_concurrency: usize,
    /// `MAX_CONCURRENT_USERS`: users of one account that are handled at the same time, 1–64.
    pub max_concurrent_users: usize,
    /// `ORG_LIST_ROLE_ARN`: the role that is assumed to list the accounts of the organization.
    pub org_list_role_arn: Option<String>,
}

impl Settings {
    /// Reads and checks all settings for `function`. `lookup` returns the value of a variable.
    ///
    /// # Errors
    /// [`InvalidSettings`] with every mistake at once.
    ///
    /// # Examples
    /// ```
    /// use keywheel::settings::{Function, Settings};
    ///
    /// let lookup = |variable: &str| match variable {
    ///     "PRIMARY_ACCOUNT_ID" => Some("999988887777".to_owned()),
    ///     "ROTATION_PERIOD" => Some("60".to_owned()),
    ///     _ => None,
    /// };
    /// let settings = Settings::read(Function::Rotation, lookup)?;
    /// assert!(settings.dry_run, "a dry run is the default");
    /// assert_eq!(settings.periods.rotation.num_days(), 60);
    ///
    /// // The sweeper also has to know the rotation function.
    /// let error = Settings::read(Function::Sweeper, lookup).unwrap_err();
    /// assert_eq!(error.variables().collect::<Vec<_>>(), ["ROTATION_FUNCTION_ARN"]);
    /// # Ok::<(), keywheel::settings::InvalidSettings>(())
    /// ```
    pub fn read(function: Function, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidSettings> {
        let mut read = SettingsReader::new(&lookup);
        let primary_account = read.required("PRIMARY_ACCOUNT_ID", "the 12 digits of the stack's account");
        let rotation_function_arn = read.text("ROTATION_FUNCTION_ARN", is_function_arn, FUNCTION_ARN_SHAPE);
        if function == Function::Sweeper && read.is_unset("ROTATION_FUNCTION_ARN") {
            read.mistake("ROTATION_FUNCTION_ARN", "", FUNCTION_ARN_SHAPE);
        }
        read.check_function_account(rotation_function_arn.as_deref(), primary_account.as_ref());
        let sender: Option<EmailAddress> = read.optional("SENDER_EMAIL", "an address, local@domain.tld");
        read.check_sender_domain(sender.as_ref());
        let recipient: Option<EmailAddress> = read.optional("RECIPIENT_EMAIL", "an address, local@domain.tld");
        let organization_id =
            read.text("AWS_ORG_ID", is_organization_id, "o- and 10 to 32 lower-case letters and digits");
        let is_in_organization = organization_id.is_some();
        let settings = Self {
            dry_run: read.flag("DRY_RUN_FLAG", true),
            // Without a valid account there is a mistake, and `finish` drops these settings.
            primary_account: primary_account.unwrap_or_else(nowhere),
            organization_id,
            owner_domains: read.owner_domains(sender.as_ref()),
            notices: NoticeSettings::read(&mut read, recipient.as_ref()),
            sender,
            recipient,
            periods: read.periods(),
            changes_per_run: usize::try_from(read.number("CHANGES_PER_RUN", 25, CHANGES)).unwrap_or(25),
            exemption_group: read.name("IAM_EXEMPTION_GROUP", "ASAIAMExemptionsGroup", 128),
            member_role: read.name("IAM_ASSUMED_ROLE_NAME", DEFAULT_MEMBER_ROLE, MAX_ROLE_NAME_LENGTH),
            execution_role: read.name("EXECUTION_ROLE_NAME", DEFAULT_EXECUTION_ROLE, MAX_ROLE_NAME_LENGTH),
            session_name: read.session_name(),
            template_enforce: read.file_name("EMAIL_TEMPLATE_ENFORCE"),
            template_audit: read.file_name("EMAIL_TEMPLATE_AUDIT"),
            rotation_function_arn,
            kms_key: read.kms_key(is_in_organization),
            secret_tags: read.secret_tags(),
            owner_tag: read.text(
                "RESOURCE_OWNER_TAG",
                is_tag_key,
                "1 to 128 letters, digits, spaces and _ . : / = + - @",
            ),
            reader_group: read.reader_group(),
            max_concurrency: usize::try_from(read.number("MAX_CONCURRENCY", 16, ACCOUNTS_AT_ONCE)).unwrap_or(1),
            max_concurrent_users: usize::try_from(read.number("MAX_CONCURRENT_USERS", 8, USERS_AT_ONCE)).unwrap_or(1),
            org_list_role_arn: read.text(
                "ORG_LIST_ROLE_ARN",
                is_role_arn,
                "arn:<partition>:iam::<account>:role/<name>",
            ),
        };
        for (variable, arn) in [
            ("SECRETS_KMS_KEY_ID", &settings.kms_key),
            ("NOTICE_TOPIC_ARN", &settings.notices.topic_arn),
            ("ORG_LIST_ROLE_ARN", &settings.org_list_role_arn),
        ] {
            read.check_place(variable, arn.as_deref(), settings.rotation_function_arn.as_deref());
        }
        read.check_groups(&settings.exemption_group, settings.reader_group.as_deref());
        read.finish().map(|()| settings)
    }

    /// Returns the Region that mail is sent from: `SES_REGION`, or the functions' own. `None` without a rotation
    /// function, whose ARN names that Region; the sweeper always has one.
    pub fn mail_region(&self) -> Option<&str> {
        let own = self.rotation_function_arn.as_deref().and_then(|arn| arn.split(':').nth(3));
        self.notices.ses_region.as_deref().or(own)
    }

    /// Returns the name of the role that the rotation function runs as: the sweeper's with `-rotation`.
    pub fn rotation_execution_role(&self) -> String {
        format!("{}{ROTATION_ROLE_SUFFIX}", self.execution_role)
    }

    /// Returns the name of the rotation function's role in member accounts: the sweeper's with `-rotation`.
    pub fn rotation_member_role(&self) -> String {
        format!("{}{ROTATION_ROLE_SUFFIX}", self.member_role)
    }
}

const DEFAULT_MEMBER_ROLE: &str = "aws-iam-access-key-auto-rotation-lambda-assumed-role";
const DEFAULT_EXECUTION_ROLE: &str = "aws-iam-access-key-auto-rotation-lambda-execution-role";
const DEFAULT_SESSION_NAME: &str = "aws-iam-access-key-auto-rotation-dev-AccessKeyRotate";
const DEFAULT_TEMPLATE: &str = "iam-auto-key-rotation-enforcement.html";
const FUNCTION_ARN_SHAPE: &str = "arn:<partition>:lambda:<region>:<account>:function:<name>";

/// The settings with rules of their own.
impl SettingsReader<'_> {
    /// `ROLE_SESSION_NAME`: 2 to 64 characters.
    /// <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
    fn session_name(&mut self) -> String {
        let name = self.name("ROLE_SESSION_NAME", DEFAULT_SESSION_NAME, 64);
        if name.len() < 2 {
            self.mistake("ROLE_SESSION_NAME", &name, "2 to 64 characters of A-Z a-z 0-9 _ + = , . @ -");
        }
        name
    }

    fn file_name(&mut self, variable: &'static str) -> String {
        let Some(value) = self.value(variable) else { return DEFAULT_TEMPLATE.to_owned() };
        let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let is_html = value.rsplit_once('.').is_some_and(|(stem, ending)| !stem.is_empty() && ending == "html");
        if !plain || !is_html || value.starts_with('.') {
            self.mistake(variable, &value, "the name of an .html file in templates/, without a folder");
        }
        value
    }

    /// `READER_GROUP`: an empty value disables the group, so for this setting empty differs from not set.
    fn reader_group(&mut self) -> Option<String> {
        if self.is_set_to_nothing("READER_GROUP") {
            return None;
        }
        Some(self.name("READER_GROUP", "keywheel-secret-readers", 128))
    }

    /// `SECRETS_KMS_KEY_ID`: with other accounts to serve, only the ARN of a key will do. An id or an alias would let
    /// keywheel rotate their users into secrets that they cannot read.
    fn kms_key(&mut self, is_in_organization: bool) -> Option<String> {
        const VARIABLE: &str = "SECRETS_KMS_KEY_ID";
        let key = self.text(VARIABLE, is_kms_key, "a KMS key id, key ARN, alias/… or alias ARN")?;
        if key.rsplit(':').next().is_some_and(|resource| resource.starts_with("alias/aws/")) {
            self.mistake(VARIABLE, &key, "a customer managed key; an AWS managed key cannot serve other accounts");
        } else if is_in_organization && !is_kms_key_arn(&key) {
            let allowed =
                "arn:<partition>:kms:<region>:<account>:key/<id>, since other accounts can use a key only by its ARN";
            self.mistake(VARIABLE, &key, allowed);
        }
        Some(key)
    }

    /// Checks that a key or a topic is in the functions' Region, and any ARN in their partition. Calls would fail for
    /// others.
    fn check_place(&mut self, variable: &'static str, arn: Option<&str>, function_arn: Option<&str>) {
        let (Some(arn), Some(function_arn)) = (arn.filter(|arn| arn.starts_with("arn:")), function_arn) else { return };
        let part = |arn: &str, at| arn.split(':').nth(at).unwrap_or_default().to_owned();
        for (at, what) in [(1, "partition"), (3, "Region")] {
            let (is, own) = (part(arn, at), part(function_arn, at));
            if !is.is_empty() && is != own {
                self.mistake(variable, arn, format!("an ARN in the {what} of ROTATION_FUNCTION_ARN, which is {own}"));
            }
        }
    }

    /// Checks that `READER_GROUP` and `IAM_EXEMPTION_GROUP` are two groups, as IAM compares names. Otherwise keywheel
    /// would exempt each user that it lets read its secret.
    fn check_groups(&mut self, exemption: &str, readers: Option<&str>) {
        if let Some(readers) = readers.filter(|readers| readers.eq_ignore_ascii_case(exemption)) {
            let allowed = "a group other than IAM_EXEMPTION_GROUP, since IAM ignores case in names";
            self.mistake("READER_GROUP", readers, allowed);
        }
    }

    fn periods(&mut self) -> Periods {
        let rotation = self.number("ROTATION_PERIOD", 90, ROTATION_DAYS);
        let installation = self.number("INSTALLATION_GRACE_PERIOD", 10, GRACE_DAYS);
        let recovery = self.number("RECOVERY_GRACE_PERIOD", 10, GRACE_DAYS);
        let warn = self.number("PENDING_ACTION_WARN_PERIOD", 7, GRACE_DAYS);
        let repeat = self.number("NOTICE_REPEAT_PERIOD", 7, GRACE_DAYS);
        if rotation <= installation + recovery {
            // The previous key would still take the second slot when the next rotation needs it.
            let allowed = format!(
                "more than INSTALLATION_GRACE_PERIOD + RECOVERY_GRACE_PERIOD, which are {installation} + {recovery}"
            );
            self.mistake("ROTATION_PERIOD", &rotation.to_string(), allowed);
        }
        if warn >= rotation {
            let allowed = format!("less than ROTATION_PERIOD, which is {rotation}");
            self.mistake("PENDING_ACTION_WARN_PERIOD", &warn.to_string(), allowed);
        }
        Periods {
            rotation: TimeDelta::days(rotation),
            installation_grace: TimeDelta::days(installation),
            recovery_grace: TimeDelta::days(recovery),
            warn: TimeDelta::days(warn),
            repeat: Some(TimeDelta::days(repeat)).filter(|period| *period > TimeDelta::zero()),
        }
    }

    /// `ROTATION_FUNCTION_ARN` and `PRIMARY_ACCOUNT_ID` name the same account. No role is assumed into the primary
    /// account, so with a wrong id the users of this account would look like users of the other.
    fn check_function_account(&mut self, arn: Option<&str>, primary: Option<&AccountId>) {
        let (Some(arn), Some(primary)) = (arn, primary) else { return };
        if arn.split(':').nth(4) != Some(primary.as_str()) {
            let allowed = format!("a function in PRIMARY_ACCOUNT_ID, which is {primary}");
            self.mistake("ROTATION_FUNCTION_ARN", arn, allowed);
        }
    }

    /// `SENDER_EMAIL` is in `SES_DOMAIN`. SES refuses any other sender, and a mistake at start is better than one per
    /// mail.
    fn check_sender_domain(&mut self, sender: Option<&EmailAddress>) {
        let Some(domain) = self.text("SES_DOMAIN", is_domain, "a domain name, such as example.com") else { return };
        let Some(sender) = sender else { return };
        let sender_domain = sender.domain().to_ascii_lowercase();
        let domain = domain.to_ascii_lowercase();
        if sender_domain != domain && !sender_domain.ends_with(&format!(".{domain}")) {
            self.mistake("SENDER_EMAIL", sender.as_str(), format!("an address in SES_DOMAIN, which is {domain}"));
        }
    }
}

/// A placeholder for a wrong `PRIMARY_ACCOUNT_ID`.
fn nowhere() -> AccountId {
    "000000000000".parse().expect("twelve digits are an account id")
}

#[cfg(test)]
mod tests;
