//! `sam/remove`, with a command in the place of the AWS CLI: the stack stays while a role elsewhere trusts its roles'
//! names.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const PRIMARY: &str = "999988887777";
const MANAGEMENT: &str = "111111111111";
const MEMBER: &str = "111122223333";

/// Answers like the AWS CLI. An account's role is there while the file `roles/ACCOUNT-ROLE` is; its text is the trust.
const AWS: &str = r#"#!/usr/bin/env bash
call=$*
echo "$call" >>"$ESTATE/calls"
case "$call" in
    *get-caller-identity*) printf '999988887777\tarn:aws:sts::999988887777:assumed-role/deployment/me\n' ;;
    *describe-stacks*) [[ -f $ESTATE/stack ]] || { echo 'Stack with id keywheel does not exist' >&2; exit 254; }
        case "$call" in
            *MemberRoleName*) echo member-role ;; *OrganizationId*) cat "$ESTATE/stack" ;;
            *StackSetCallAs*) echo SELF ;; *OrgListRoleArn*) cat "$ESTATE/list-role" ;;
        esac ;;
    *list-stack-instances*) cat "$ESTATE/instances" ;;
    *delete-stack-instances*) rm -f "$ESTATE"/roles/111122223333-*; echo operation-1 ;;
    *describe-stack-set-operation*) cat "$ESTATE/operation" ;;
    *list-accounts*) printf '999988887777\t111111111111\t111122223333\n' ;;
    *assume-role*) account=${call#*iam::}; account=${account%%:*}
        [[ ! -f $ESTATE/closed-$account ]] || { echo 'An error occurred (AccessDenied)' >&2; exit 254; }
        printf '%s\tsecret\ttoken\n' "$account" ;;
    *get-role*) role=${call#*--role-name }; role=$ESTATE/roles/$AWS_ACCESS_KEY_ID-${role%% *}
        [[ -f $role ]] || { echo 'An error occurred (NoSuchEntity)' >&2; exit 254; }
        cat "$role" ;;
esac
"#;

/// The answers of one organization, in a folder.
struct Removal {
    folder: PathBuf,
}

impl Removal {
    /// The stack is there, and the stack set has its roles in the member account.
    fn new(test: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("roles")).expect("a folder");
        let removal = Self { folder };
        removal.write("aws", AWS);
        fs::set_permissions(removal.folder.join("aws"), fs::Permissions::from_mode(0o755)).expect("executable");
        removal.write("stack", "o-keywheel0001");
        removal.write("list-role", "None");
        removal.write("operation", "SUCCEEDED");
        removal.write("instances", &format!("{MEMBER}\tou-abcd-11112222"));
        removal.add_roles(MEMBER);
        removal
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).expect(name);
    }

    fn add_roles(&self, account: &str) {
        for role in ["member-role", "member-role-rotation"] {
            self.write(&format!("roles/{account}-{role}"), &format!("{{\"AWS\": \"arn:aws:iam::{PRIMARY}:root\"}}"));
        }
    }

    /// Runs the script. Returns whether it ended well, and its words.
    #[expect(clippy::disallowed_methods, reason = "the script finds its tools on the path")]
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let path = format!("{}:{}", self.folder.display(), std::env::var("PATH").expect("a PATH"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sam/remove");
        let mut command = Command::new("bash");
        command.arg(script).args(arguments).env("PATH", path).env("ESTATE", &self.folder);
        command.env("AWS_REGION", "eu-central-1").env("KEYWHEEL_POLL_SECONDS", "0");
        let run = command.output().expect("the script runs");
        let words = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
        (run.status.success(), words)
    }

    fn called(&self, call: &str) -> bool {
        fs::read_to_string(self.folder.join("calls")).unwrap_or_default().contains(call)
    }
}

#[test]
fn nobody_gains_16_the_stack_goes_after_the_member_roles() {
    let removal = Removal::new("removed");
    let (ended_well, words) = removal.run(&[]);
    assert!(ended_well, "{words}");
    assert!(removal.called("--deployment-targets OrganizationalUnitIds=ou-abcd-11112222 --regions eu-central-1"));
    assert!(removal.called("--no-retain-stacks") && removal.called("delete-stack --stack-name keywheel"), "{words}");
    assert!(words.contains("EncryptByTheFunctions"), "{words}");
}

#[test]
fn nobody_gains_16_the_stack_stays_while_its_names_are_trusted() {
    let removal = Removal::new("left");
    removal.add_roles(MANAGEMENT);
    let (ended_well, words) = removal.run(&[]);
    assert!(!ended_well && !removal.called("delete-stack --stack-name"), "{words}");
    assert!(words.contains("left: 111111111111 has the role member-role-rotation"), "{words}");
    assert!(!words.contains("left: 111122223333"), "{words}");
    // A role of the same name that trusts another account is somebody else's.
    for role in ["member-role", "member-role-rotation"] {
        removal.write(&format!("roles/{MANAGEMENT}-{role}"), "{\"AWS\": \"arn:aws:iam::666655554444:root\"}");
    }
    assert!(removal.run(&[]).0);
}

#[test]
fn nobody_gains_16_an_account_that_is_unknown_keeps_the_stack() {
    let removal = Removal::new("unknown");
    removal.write(&format!("closed-{MANAGEMENT}"), "");
    let (ended_well, words) = removal.run(&[]);
    assert!(!ended_well && !removal.called("delete-stack --stack-name"), "{words}");
    assert!(words.contains("not checked: 111111111111") && words.contains("AccessDenied"), "{words}");
    let (ended_well, words) = removal.run(&["--skip", MANAGEMENT]);
    assert!(ended_well && removal.called("delete-stack --stack-name keywheel"), "{words}");
}

#[test]
fn nobody_gains_16_a_failed_operation_keeps_the_stack() {
    let removal = Removal::new("failed");
    removal.write("operation", "FAILED");
    let (ended_well, words) = removal.run(&[]);
    assert!(!ended_well && !removal.called("delete-stack --stack-name"), "{words}");
    assert!(words.contains("is FAILED") && words.contains("readers' group"), "{words}");
}

#[test]
fn nobody_gains_16_a_check_deletes_nothing() {
    let removal = Removal::new("checked");
    let (ended_well, words) = removal.run(&["--check"]);
    assert!(!ended_well && words.contains("left: 111122223333 has the role member-role"), "{words}");
    // After the stack is gone, its name for the roles has to be told.
    fs::remove_file(removal.folder.join("stack")).expect("the stack was there");
    let (ended_well, words) = removal.run(&[]);
    assert!(!ended_well && words.contains("--member-role"), "{words}");
    let (ended_well, words) = removal.run(&["--member-role", "member-role"]);
    assert!(!ended_well && words.contains("left: 111122223333") && words.contains("gone already"), "{words}");
    assert!(!removal.called("delete-stack"), "{words}");
}

#[test]
fn nobody_gains_16_the_role_that_lists_accounts_goes_too() {
    let removal = Removal::new("lists");
    removal.write("list-role", &format!("arn:aws:iam::{MANAGEMENT}:role/lists"));
    removal.write(&format!("roles/{MANAGEMENT}-lists"), &format!("{{\"AWS\": \"arn:aws:iam::{PRIMARY}:root\"}}"));
    let (ended_well, words) = removal.run(&[]);
    assert!(!ended_well && words.contains("left: 111111111111 has the role lists"), "{words}");
    // Without an organization there are no member accounts.
    let alone = Removal::new("alone");
    alone.write("stack", "None");
    alone.write("instances", "");
    let (ended_well, words) = alone.run(&[]);
    assert!(ended_well && !alone.called("list-accounts"), "{words}");
}
