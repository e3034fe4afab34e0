//! Instructions with a command of the AWS CLI, for one notice. Pure.
//!
//! Commands and snippets consist of values whose characters mean nothing to a shell or in a Python string. User names,
//! key ids and the names of groups and secrets are checked where they enter the program; the rest of an ARN is checked
//! here.

use super::frame::Addressee;
use super::instruction::Instruction;
use super::mode::Mode;
use crate::keys::{AccessKeyId, KeyUse, SecretArn, is_arn_word};
use crate::lifecycle::Notice;
use crate::settings::Periods;

/// The part that owners forget. The profile that fetches the new key holds the old key, and is refused once that key is
/// disabled. And an SDK reads a key once: only a restart gives a running program the new one.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>
const REPLACE_EVERYWHERE: &str = "Replace the key also in the profile that fetches it, and restart the programs: a running one keeps the key that \
     it has.";

/// The texts around the command that fetches a key. A terminal keeps what it prints, and so do recordings and logs of
/// it. `umask` makes the file readable for one person, and `set -C` refuses a file that exists already and may be
/// readable for others.
pub(super) const INTO_FILE_BEGIN: &str = "(umask 077; set -C; ";
pub(super) const INTO_FILE_END: &str = " > new-access-key)";
const INTO_FILE: &str = "The command prints nothing: it writes the key into the new file new-access-key, which only you can read. \
                         Delete the file afterwards.";

/// Builds the commands for one notice.
pub(super) struct Commands<'a> {
    pub(super) notice: &'a Notice,
    pub(super) mode: Mode,
    pub(super) periods: &'a Periods,
    pub(super) exemption_group: &'a str,
    pub(super) addressee: Addressee,
}

impl Commands<'_> {
    /// The account in which an IAM command has to be run.
    pub(super) fn place(&self) -> String {
        format!("in account {}", self.notice.user.account)
    }

    /// Returns the secret's ARN and Region, or `None` without the ARN of one of keywheel's secrets.
    pub(super) fn secret(&self) -> Option<(&str, &str)> {
        let arn = self.notice.secret_arn.as_deref().filter(|arn| arn.parse::<SecretArn>().is_ok())?;
        let part = |position| arn.split(':').nth(position).filter(|part| is_arn_word(part));
        part(1).and(part(3)).map(|region| (arn, region))
    }

    /// Returns a Secrets Manager command for the notice's secret, or an empty text if there is no secret.
    pub(super) fn secret_command(&self, command: &str, rest: &str) -> String {
        let of = |(arn, region)| format!("aws secretsmanager {command} --secret-id {arn} --region {region}{rest}");
        self.secret().map(of).unwrap_or_default()
    }

    pub(super) fn fetch(&self, text: &str) -> Instruction {
        let command = self.secret_command("get-secret-value", " --query SecretString --output text");
        let (command, place) = if command.is_empty() {
            (command, "The key is in the user's secret in Secrets Manager.")
        } else {
            (format!("{INTO_FILE_BEGIN}{command}{INTO_FILE_END}"), INTO_FILE)
        };
        let text = format!("{text} {place} {REPLACE_EVERYWHERE}");
        Instruction {
            snippet: self.secret().map(|(arn, region)| snippet(arn, region)).unwrap_or_default(),
            ..Instruction::run(text, command)
        }
    }

    pub(super) fn enable(&self, text: &str) -> Instruction {
        self.set_status("Active", text).undoing()
    }

    pub(super) fn set_status(&self, status: &str, text: &str) -> Instruction {
        let (user, key) = (&self.notice.user.name, &self.notice.key);
        let command = format!("aws iam update-access-key --user-name {user} --access-key-id {key} --status {status}");
        Instruction::run(format!("{text} An administrator {} can run the command.", self.place()), command)
    }

    /// An exemption has no end, so only the account reads the command.
    pub(super) fn exempt(&self, text: &str) -> Instruction {
        if self.addressee == Addressee::Owner {
            return Instruction::say(format!(
                "{text} Ask the contact of account {} for that.",
                self.notice.user.account
            ))
            .undoing();
        }
        let (group, user) = (self.exemption_group, &self.notice.user.name);
        Instruction::run(
            format!("{text} An administrator adds the user to the group {group} {}.", self.place()),
            format!("aws iam add-user-to-group --group-name {group} --user-name {user}"),
        )
        .undoing()
    }

    /// CloudTrail's event history shows who used a key. It holds the management events of 90 days, Region by Region.
    /// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html>
    pub(super) fn trail(&self, last_use: &KeyUse) -> Instruction {
        let region =
            if is_arn_word(&last_use.region) { format!(" --region {}", last_use.region) } else { String::new() };
        let key = &self.notice.key;
        Instruction::run(
            format!(
                "Find the program that still uses this key. CloudTrail {} may show its address and user agent, but not \
                 calls that read or write data.",
                self.place()
            ),
            format!(
                "aws cloudtrail lookup-events --lookup-attributes AttributeKey=AccessKeyId,AttributeValue={key}{region} \
                 --max-results 20"
            ),
        )
    }

    /// Lists the keys of the notice's user.
    pub(super) fn list_keys(&self, text: &str) -> Instruction {
        let command = format!("aws iam list-access-keys --user-name {}", self.notice.user.name);
        Instruction::run(format!("{text} An administrator {} can run the command.", self.place()), command)
    }
}

pub(super) fn last_used(key: &AccessKeyId) -> Instruction {
    let command = format!("aws iam get-access-key-last-used --access-key-id {key}");
    Instruction::run("Check when and where the key was last used.", command)
}

/// Python that fetches the key and prints nothing of it.
fn snippet(arn: &str, region: &str) -> String {
    format!(
        "import json, boto3\n\
         secrets = boto3.client(\"secretsmanager\", region_name=\"{region}\")\n\
         value = secrets.get_secret_value(SecretId=\"{arn}\")\n\
         key = json.loads(value[\"SecretString\"])\n\
         session = boto3.Session(key[\"AccessKeyId\"], key[\"SecretAccessKey\"])"
    )
}
