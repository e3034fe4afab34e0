//! Environment → [`Settings`]. Pure: the environment arrives as a lookup function.
//!
//! Every value is read before any error is reported, and all errors are reported together: a wrong configuration
//! never runs, and is never discovered one variable at a time.

mod notices;

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;

use crate::keys::{AccountId, EmailAddress, is_arn_word};
use crate::redact;

pub use notices::NoticeSettings;

/// Role names hold 64 characters; the rotation function's roles add `-rotation`.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const MAX_ROLE_NAME_LENGTH: usize = 64 - ROTATION_ROLE_SUFFIX.len();
const ROTATION_ROLE_SUFFIX: &str = "-rotation";

/// Days that a rotation schedule takes (`AutomaticallyAfterDays`).
/// <https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotationRulesType.html>
const ROTATION_DAYS: std::ops::RangeInclusive<i64> = 1..=1000;
const GRACE_DAYS: std::ops::RangeInclusive<i64> = 0..=1000;
const CONCURRENCY: std::ops::RangeInclusive<i64> = 1..=256;
const USERS: std::ops::RangeInclusive<i64> = 1..=64;

/// Every variable that is read from the environment.
pub const VARIABLES: [&str; 30] = [
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
    "IAM_EXEMPTION_GROUP",
    "IAM_ASSUMED_ROLE_NAME",
    "EXECUTION_ROLE_NAME",
    "ROLE_SESSION_NAME",
    "EMAIL_TEMPLATE_ENFORCE",
    "EMAIL_TEMPLATE_AUDIT",
    "ROTATION_FUNCTION_ARN",
    "SECRETS_KMS_KEY_ID",
    "RESOURCE_OWNER_TAG",
    "READER_GROUP",
    "MAX_CONCURRENCY",
    "MAX_CONCURRENT_USERS",
    "ORG_LIST_ROLE_ARN",
    "REPLY_TO_EMAIL",
    "NOTICE_CONTACT",
    "RECIPIENT_EMAIL_IN_COPY",
    "SES_CONFIGURATION_SET",
    "NOTICE_TOPIC_ARN",
    "NOTICE_REPEAT_PERIOD",
    "AUDIT_NOTICE_PERIOD",
];

/// Which executable is starting: some settings are needed by one of them only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The rotation function, called by Secrets Manager.
    Rotation,
    /// The sweeper, called by a schedule, by events or by hand.
    Sweeper,
}

/// The periods of a key's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// From a key's creation to its rotation. Whole days, 1–1000.
    pub rotation: TimeDelta,
    /// From a rotation to the disabling of the old key. Whole days.
    pub installation_grace: TimeDelta,
    /// From the observed disabling of a key to its deletion. Whole days.
    pub recovery_grace: TimeDelta,
    /// How long before an action its owner is told. Whole days.
    pub warn: TimeDelta,
    /// `NOTICE_REPEAT_PERIOD`: after how long a trouble that lasts is told again; `None` (0 days) tells it once.
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
    /// `SENDER_EMAIL`: the address that notices come from. Without it no mail is sent, which is
    /// reported whenever there is something to tell.
    pub sender: Option<EmailAddress>,
    /// `RECIPIENT_EMAIL`: who gets the notices of accounts without an address of their own.
    pub recipient: Option<EmailAddress>,
    /// Who else is told, in whose name, and how often.
    pub notices: NoticeSettings,
    /// `ROTATION_PERIOD`, `INSTALLATION_GRACE_PERIOD`, `RECOVERY_GRACE_PERIOD`, `PENDING_ACTION_WARN_PERIOD`,
    /// `NOTICE_REPEAT_PERIOD`.
    pub periods: Periods,
    /// `IAM_EXEMPTION_GROUP`: members of this group, in any account, are left alone.
    pub exemption_group: String,
    /// `IAM_ASSUMED_ROLE_NAME`: the sweeper's role in member accounts.
    pub member_role: String,
    /// `EXECUTION_ROLE_NAME`: the role that the sweeper runs as.
    pub execution_role: String,
    /// `ROLE_SESSION_NAME`: how sessions in member accounts show up in their trails.
    pub session_name: String,
    /// `EMAIL_TEMPLATE_ENFORCE`: file name of the template for notices of what is done.
    pub template_enforce: String,
    /// `EMAIL_TEMPLATE_AUDIT`: file name of the template for notices of what would be done.
    pub template_audit: String,
    /// `ROTATION_FUNCTION_ARN`: the function that secrets are rotated by. Needed by the sweeper.
    pub rotation_function_arn: Option<String>,
    /// `SECRETS_KMS_KEY_ID`: the customer managed key that secrets are encrypted with. Needed for other accounts.
    pub kms_key: Option<String>,
    /// `RESOURCE_OWNER_TAG`: name of the tag on a user that holds its owner's address.
    pub owner_tag: Option<String>,
    /// `READER_GROUP`: group through which users of member accounts may read their own secret.
    pub reader_group: Option<String>,
    /// `MAX_CONCURRENCY`: accounts worked on at the same time, 1–256.
    pub max_concurrency: usize,
    /// `MAX_CONCURRENT_USERS`: users of each account worked on at the same time, 1–64. IAM is throttled per account.
    pub max_concurrent_users: usize,
    /// `ORG_LIST_ROLE_ARN`: role to assume before asking Organizations.
    pub org_list_role_arn: Option<String>,
}

impl Settings {
    /// Reads and checks every setting that `function` uses; `lookup` answers a variable's value.
    ///
    /// # Errors
    /// [`InvalidSettings`] with every mistake at once.
    pub fn read(function: Function, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidSettings> {
        let mut read = Reader { lookup: &lookup, mistakes: Vec::new() };
        let primary_account = read.required("PRIMARY_ACCOUNT_ID", "the 12 digits of the stack's account");
        let rotation_function_arn = read.text("ROTATION_FUNCTION_ARN", is_function_arn, FUNCTION_ARN_SHAPE);
        if function == Function::Sweeper && read.is_unset("ROTATION_FUNCTION_ARN") {
            read.mistake("ROTATION_FUNCTION_ARN", "", FUNCTION_ARN_SHAPE);
        }
        read.check_function_account(rotation_function_arn.as_deref(), primary_account.as_ref());
        let sender: Option<EmailAddress> = read.optional("SENDER_EMAIL", "an address, local@domain.tld");
        read.check_sender_domain(sender.as_ref());
        let recipient: Option<EmailAddress> = read.optional("RECIPIENT_EMAIL", "an address, local@domain.tld");
        let settings = Self {
            dry_run: read.flag("DRY_RUN_FLAG", true),
            // Stands in where the setting is wrong, in which case this value is dropped below.
            primary_account: primary_account.unwrap_or_else(nowhere),
            organization_id: read.text(
                "AWS_ORG_ID",
                is_organization_id,
                "o- and 10 to 32 lower-case letters and digits",
            ),
            sender,
            notices: NoticeSettings::read(&mut read, recipient.as_ref()),
            recipient,
            periods: read.periods(),
            exemption_group: read.name("IAM_EXEMPTION_GROUP", "ASAIAMExemptionsGroup", 128),
            member_role: read.name("IAM_ASSUMED_ROLE_NAME", DEFAULT_MEMBER_ROLE, MAX_ROLE_NAME_LENGTH),
            execution_role: read.name("EXECUTION_ROLE_NAME", DEFAULT_EXECUTION_ROLE, MAX_ROLE_NAME_LENGTH),
            session_name: read.session_name(),
            template_enforce: read.file_name("EMAIL_TEMPLATE_ENFORCE"),
            template_audit: read.file_name("EMAIL_TEMPLATE_AUDIT"),
            rotation_function_arn,
            kms_key: read.text("SECRETS_KMS_KEY_ID", is_kms_key, "a KMS key id, key ARN, alias/… or alias ARN"),
            owner_tag: read.text(
                "RESOURCE_OWNER_TAG",
                is_tag_key,
                "1 to 128 letters, digits, spaces and _ . : / = + - @",
            ),
            reader_group: read.reader_group(),
            max_concurrency: usize::try_from(read.number("MAX_CONCURRENCY", 16, CONCURRENCY)).unwrap_or(1),
            max_concurrent_users: usize::try_from(read.number("MAX_CONCURRENT_USERS", 8, USERS)).unwrap_or(1),
            org_list_role_arn: read.text(
                "ORG_LIST_ROLE_ARN",
                is_role_arn,
                "arn:<partition>:iam::<account>:role/<name>",
            ),
        };
        if read.mistakes.is_empty() { Ok(settings) } else { Err(InvalidSettings { mistakes: read.mistakes }) }
    }

    /// The role that the rotation function runs as: the sweeper's name with `-rotation`.
    pub fn rotation_execution_role(&self) -> String {
        format!("{}{ROTATION_ROLE_SUFFIX}", self.execution_role)
    }

    /// The rotation function's role in member accounts: the sweeper's name with `-rotation`.
    pub fn rotation_member_role(&self) -> String {
        format!("{}{ROTATION_ROLE_SUFFIX}", self.member_role)
    }
}

const DEFAULT_MEMBER_ROLE: &str = "aws-iam-access-key-auto-rotation-lambda-assumed-role";
const DEFAULT_EXECUTION_ROLE: &str = "aws-iam-access-key-auto-rotation-lambda-execution-role";
const DEFAULT_SESSION_NAME: &str = "aws-iam-access-key-auto-rotation-dev-AccessKeyRotate";
const DEFAULT_TEMPLATE: &str = "iam-auto-key-rotation-enforcement.html";
const FUNCTION_ARN_SHAPE: &str = "arn:<partition>:lambda:<region>:<account>:function:<name>";

/// Every mistake in the settings: variable, value, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InvalidSettings {
    mistakes: Vec<Mistake>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    variable: &'static str,
    value: String,
    allowed: String,
}

impl InvalidSettings {
    /// The variables that are wrong, in the order in which they are read.
    pub fn variables(&self) -> impl Iterator<Item = &'static str> {
        self.mistakes.iter().map(|mistake| mistake.variable)
    }
}

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wrong setting(s):", self.mistakes.len())?;
        for Mistake { variable, value, allowed } in &self.mistakes {
            match value.as_str() {
                "" => write!(f, " {variable} is not set; set it to {allowed}.")?,
                value => write!(f, " {variable} is `{value}`; allowed: {allowed}.")?,
            }
        }
        Ok(())
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn mistake(&mut self, variable: &'static str, value: &str, allowed: impl Into<String>) {
        // Somebody may have put a secret where it does not belong.
        self.mistakes.push(Mistake { variable, value: redact::secret_like(value), allowed: allowed.into() });
    }

    /// An empty variable is one that is not set: templates cannot leave a variable out.
    fn value(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn is_unset(&self, variable: &str) -> bool {
        self.value(variable).is_none()
    }

    fn optional<T: FromStr>(&mut self, variable: &'static str, allowed: &'static str) -> Option<T> {
        let value = self.value(variable)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.mistake(variable, &value, allowed);
        }
        parsed
    }

    fn required<T: FromStr>(&mut self, variable: &'static str, allowed: &'static str) -> Option<T> {
        if self.is_unset(variable) {
            self.mistake(variable, "", allowed);
        }
        self.optional(variable, allowed)
    }

    fn text(&mut self, variable: &'static str, fits: fn(&str) -> bool, allowed: &'static str) -> Option<String> {
        let value = self.value(variable)?;
        if !fits(&value) {
            self.mistake(variable, &value, allowed);
            return None;
        }
        Some(value)
    }

    fn flag(&mut self, variable: &'static str, default: bool) -> bool {
        match self.value(variable).map(|value| value.to_ascii_lowercase()).as_deref() {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.mistake(variable, other, "true or false");
                default
            }
        }
    }

    fn number(&mut self, variable: &'static str, default: i64, range: std::ops::RangeInclusive<i64>) -> i64 {
        let Some(value) = self.value(variable) else { return default };
        match value.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                self.mistake(variable, &value, format!("a whole number from {} to {}", range.start(), range.end()));
                default
            }
        }
    }

    fn name(&mut self, variable: &'static str, default: &str, longest: usize) -> String {
        let Some(value) = self.value(variable) else { return default.to_owned() };
        if value.len() > longest || !value.bytes().all(is_name_byte) {
            self.mistake(variable, &value, format!("1 to {longest} characters of A-Z a-z 0-9 _ + = , . @ -"));
        }
        value
    }

    /// 2 to 64 characters. <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>
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

    /// Set but empty switches the group off, so this is the one setting whose emptiness says something.
    fn reader_group(&mut self) -> Option<String> {
        if (self.lookup)("READER_GROUP").is_some_and(|value| value.trim().is_empty()) {
            return None;
        }
        Some(self.name("READER_GROUP", "keywheel-secret-readers", 128))
    }

    fn periods(&mut self) -> Periods {
        let rotation = self.number("ROTATION_PERIOD", 90, ROTATION_DAYS);
        let installation = self.number("INSTALLATION_GRACE_PERIOD", 10, GRACE_DAYS);
        let recovery = self.number("RECOVERY_GRACE_PERIOD", 10, GRACE_DAYS);
        let warn = self.number("PENDING_ACTION_WARN_PERIOD", 7, GRACE_DAYS);
        let repeat = self.number("NOTICE_REPEAT_PERIOD", 7, GRACE_DAYS);
        if rotation <= installation + recovery {
            // Otherwise the old key still holds the second slot when the next rotation needs it.
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

    /// No role is assumed into the primary account: with another account's id, the users of this one would pass for that
    /// one's.
    fn check_function_account(&mut self, arn: Option<&str>, primary: Option<&AccountId>) {
        let (Some(arn), Some(primary)) = (arn, primary) else { return };
        if arn.split(':').nth(4) != Some(primary.as_str()) {
            let allowed = format!("a function in PRIMARY_ACCOUNT_ID, which is {primary}");
            self.mistake("ROTATION_FUNCTION_ARN", arn, allowed);
        }
    }

    /// SES refuses a sender whose domain is not the verified one: better said at start than on every mail.
    fn check_sender_domain(&mut self, sender: Option<&EmailAddress>) {
        let Some(domain) = self.text("SES_DOMAIN", is_domain, "a domain name, such as example.com") else { return };
        let Some(sender) = sender else { return };
        let sender_domain = sender.as_str().rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        let domain = domain.to_ascii_lowercase();
        if sender_domain != domain && !sender_domain.ends_with(&format!(".{domain}")) {
            self.mistake("SENDER_EMAIL", sender.as_str(), format!("an address in SES_DOMAIN, which is {domain}"));
        }
    }
}

fn nowhere() -> AccountId {
    "000000000000".parse().expect("twelve digits are an account id")
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)
}

fn is_organization_id(text: &str) -> bool {
    text.strip_prefix("o-").is_some_and(|id| {
        (10..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

fn is_function_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(7, ':').collect();
    matches!(parts[..], ["arn", partition, "lambda", region, account, "function", name]
        if is_arn_word(partition) && is_arn_word(region) && account.parse::<AccountId>().is_ok()
            && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:$".contains(&byte)))
}

fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, "iam", "", account, role]
        if is_arn_word(partition) && account.parse::<AccountId>().is_ok()
            && role.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.ends_with('/'))
            && role.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn is_kms_key(text: &str) -> bool {
    let id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-".contains(&byte));
    match text.strip_prefix("arn:") {
        Some(arn) => arn.split(':').nth(1) == Some("kms") && arn.rsplit(':').next().is_some_and(id),
        None => id(text),
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html>
fn is_tag_key(text: &str) -> bool {
    let fits = |character: char| character.is_alphanumeric() || " _.:/=+-@".contains(character);
    (1..=128).contains(&text.chars().count()) && text.chars().all(fits)
}

fn is_domain(text: &str) -> bool {
    format!("postmaster@{text}").parse::<EmailAddress>().is_ok()
}

#[cfg(test)]
mod tests;
