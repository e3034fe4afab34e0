//! Settings from any environment: each is read as it stands there or refused by name, and all at once.

use super::*;
use proptest::prelude::*;

const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:999988887777:function:rotation";

fn read(function: Function, given: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
    Settings::read(function, |variable| {
        given.iter().rfind(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned())
    })
}

fn sweeper(extra: &[(&str, &str)]) -> Result<Settings, InvalidSettings> {
    let base = [("PRIMARY_ACCOUNT_ID", "999988887777"), ("ROTATION_FUNCTION_ARN", FUNCTION_ARN)];
    read(Function::Sweeper, &[&base[..], extra].concat())
}

#[test]
fn every_variable_is_listed_and_explained() {
    let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
    let _ = Settings::read(Function::Sweeper, |variable| {
        asked.borrow_mut().insert(variable.to_owned());
        None
    });
    assert_eq!(asked.into_inner(), VARIABLES.map(str::to_owned).into());
    let page = include_str!("../../docs/reference/settings.md");
    for variable in VARIABLES {
        assert!(page.contains(&format!("| `{variable}` |")), "{variable}");
    }
}

#[test]
fn upstream_defect_22_unset_optional_settings_have_defaults() {
    let settings = sweeper(&[]).unwrap();
    assert!(settings.dry_run, "a dry run is the default");
    assert_eq!(settings.periods.rotation, TimeDelta::days(90));
    assert_eq!(settings.periods.installation_grace, TimeDelta::days(10));
    assert_eq!(settings.periods.recovery_grace, TimeDelta::days(10));
    assert_eq!(settings.periods.warn, TimeDelta::days(7));
    assert_eq!(settings.exemption_group, "ASAIAMExemptionsGroup");
    assert_eq!(settings.rotation_member_role(), format!("{DEFAULT_MEMBER_ROLE}-rotation"));
    assert_eq!(settings.rotation_execution_role(), format!("{DEFAULT_EXECUTION_ROLE}-rotation"));
    assert_eq!(settings.reader_group.as_deref(), Some("keywheel-secret-readers"));
    assert_eq!(settings.owner_tag, None);
}

#[test]
fn an_empty_reader_group_switches_it_off() {
    assert_eq!(sweeper(&[("READER_GROUP", "")]).unwrap().reader_group, None);
}

#[test]
fn only_the_sweeper_needs_the_function_arn() {
    let base = [("PRIMARY_ACCOUNT_ID", "999988887777")];
    assert!(read(Function::Rotation, &base).is_ok());
    let error = read(Function::Sweeper, &base).unwrap_err();
    assert_eq!(error.variables().collect::<Vec<_>>(), ["ROTATION_FUNCTION_ARN"]);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let error =
        sweeper(&[("DRY_RUN_FLAG", "maybe"), ("ROTATION_PERIOD", "0"), ("SENDER_EMAIL", "nobody")]).unwrap_err();
    insta::assert_snapshot!(error, @"3 wrong setting(s): SENDER_EMAIL is `nobody`; allowed: an address, local@domain.tld. DRY_RUN_FLAG is `maybe`; allowed: true or false. ROTATION_PERIOD is `0`; allowed: a whole number from 1 to 1000.");
}

#[test]
fn each_setting_out_of_range_is_refused_by_name() {
    for (variable, value) in [
        ("PRIMARY_ACCOUNT_ID", "12345"),
        ("AWS_ORG_ID", "org-1"),
        ("SENDER_EMAIL", "no address"),
        ("RECIPIENT_EMAIL", "a@b"),
        ("SES_DOMAIN", "no domain"),
        ("OWNER_DOMAINS", "example"),
        ("OWNER_DOMAINS", "* example.com"),
        ("OWNER_DOMAINS", "*.example.com"),
        ("OWNER_DOMAINS", "example.com m\u{fc}nchen.de"),
        ("OWNER_DOMAINS", "jo@example.com"),
        ("OWNER_DOMAINS", ","),
        ("REPLY_TO_EMAIL", "nobody"),
        ("RECIPIENT_EMAIL_IN_COPY", "true"),
        ("RECIPIENT_EMAIL_IN_COPY", "often"),
        ("NOTICE_CONTACT", "two\nlines"),
        ("SES_CONFIGURATION_SET", "a set"),
        ("SES_REGION", "Ireland"),
        ("SES_REGION", "eu-west-1a"),
        ("SES_REGION", "eu-west-1.evil.example"),
        ("SECRET_TAGS", "CostCenter"),
        ("SECRET_TAGS", "CostCenter="),
        ("SECRET_TAGS", "=4711"),
        ("SECRET_TAGS", "AWS:cost=1"),
        ("SECRET_TAGS", "Keywheel:managed=1"),
        ("SECRET_TAGS", "team=a,team=b"),
        ("SECRET_TAGS", "team=a;b"),
        ("NOTICE_TOPIC_ARN", "arn:aws:sns:us-east-1:999988887777:notices.fifo"),
        ("NOTICE_TOPIC_ARN", "notices"),
        ("NOTICE_REPEAT_PERIOD", "-1"),
        ("AUDIT_NOTICE_PERIOD", "0"),
        ("ROTATION_PERIOD", "1001"),
        ("ROTATION_PERIOD", "ninety"),
        ("ROTATION_PERIOD", "20"),
        ("INSTALLATION_GRACE_PERIOD", "-1"),
        ("RECOVERY_GRACE_PERIOD", "10.5"),
        ("PENDING_ACTION_WARN_PERIOD", "90"),
        ("IAM_EXEMPTION_GROUP", "a group"),
        ("IAM_ASSUMED_ROLE_NAME", "a-role-name-that-leaves-no-room-for-the-suffix-of-rotation"),
        ("EXECUTION_ROLE_NAME", "role/name"),
        ("EXECUTION_ROLE_NAME", "a-role-name-that-leaves-no-room-for-the-suffix-of-rotation"),
        ("ROLE_SESSION_NAME", "x"),
        ("EMAIL_TEMPLATE_ENFORCE", "../secrets.html"),
        ("EMAIL_TEMPLATE_AUDIT", "mail.txt"),
        ("ROTATION_FUNCTION_ARN", "rotation"),
        ("ROTATION_FUNCTION_ARN", "arn:aws:lambda:us-east-1:111122223333:function:rotation"),
        ("SECRETS_KMS_KEY_ID", "arn:aws:s3:::bucket"),
        ("RESOURCE_OWNER_TAG", "<owner>"),
        ("READER_GROUP", "a/b"),
        ("MAX_CONCURRENCY", "0"),
        ("CHANGES_PER_RUN", "-1"),
        ("CHANGES_PER_RUN", "5001"),
        ("CHANGES_PER_RUN", "many"),
        ("ORG_LIST_ROLE_ARN", "arn:aws:iam::1:role/x"),
        ("DRY_RUN_FLAG", "1"),
    ] {
        let error = sweeper(&[(variable, value)]).expect_err(variable);
        assert!(error.variables().any(|name| name == variable), "{variable}={value}: {error}");
        assert!(error.to_string().contains(variable), "{error}");
    }
}

/// Members could not read secrets under any other form of a key.
#[test]
fn reported_c2_other_accounts_are_served_by_a_keys_arn_alone() {
    const ID: &str = "11111111-2222-3333-4444-555555555555";
    let arn = format!("arn:aws:kms:us-east-1:999988887777:key/{ID}");
    let elsewhere = format!("arn:aws:kms:us-east-1:111122223333:key/mrk-{ID}");
    let read = |key: &str, organization| sweeper(&[("SECRETS_KMS_KEY_ID", key), ("AWS_ORG_ID", organization)]);
    for (key, organization, allowed) in [
        (&*arn, "o-abcdefghij", None),
        (&elsewhere, "o-abcdefghij", None),
        ("", "o-abcdefghij", None),
        ("alias/aws/secretsmanager", "o-abcdefghij", Some("an AWS managed key cannot serve other accounts")),
        ("alias/aws/secretsmanager", "", Some("an AWS managed key cannot serve other accounts")),
        (
            "arn:aws:kms:us-east-1:999988887777:alias/aws/secretsmanager",
            "o-abcdefghij",
            Some("an AWS managed key cannot serve other accounts"),
        ),
        (ID, "o-abcdefghij", Some("arn:<partition>:kms:<region>:<account>:key/<id>")),
        ("alias/keywheel", "o-abcdefghij", Some("arn:<partition>:kms:<region>:<account>:key/<id>")),
        (ID, "", None),
        ("alias/keywheel", "", None),
        (&arn.replace("us-east-1", "eu-west-1"), "", Some("the Region of ROTATION_FUNCTION_ARN, which is us-east-1")),
        (&arn.replace("aws:", "aws-cn:"), "", Some("the partition of ROTATION_FUNCTION_ARN, which is aws")),
    ] {
        let refused = read(key, organization).map(drop).map_err(|error| error.to_string());
        match (&refused, allowed) {
            (Ok(()), None) => {}
            (Err(error), Some(allowed)) if error.contains("SECRETS_KMS_KEY_ID") && error.contains(allowed) => {}
            _ => panic!("{key} in {organization:?}: {refused:?}"),
        }
    }
}

#[test]
fn reported_c2_arns_and_groups_are_checked_for_their_use() {
    for (variable, value) in [
        ("NOTICE_TOPIC_ARN", "arn:aws:sns:eu-west-1:999988887777:notices"),
        ("ORG_LIST_ROLE_ARN", "arn:aws-cn:iam::999988887777:role/reader"),
        // IAM takes them for one group, and keywheel would exempt every user that it lets read its secret.
        ("READER_GROUP", "asaiamexemptionsgroup"),
    ] {
        let error = sweeper(&[(variable, value)]).expect_err(variable);
        assert_eq!(error.variables().collect::<Vec<_>>(), [variable], "{error}");
    }
    assert!(sweeper(&[("ORG_LIST_ROLE_ARN", "arn:aws:iam::999988887777:role/reader")]).is_ok());
}

#[test]
fn upstream_defect_21_grace_periods_have_their_documented_names() {
    let settings = sweeper(&[("INSTALLATION_GRACE_PERIOD", "3"), ("RECOVERY_GRACE_PERIOD", "4")]).unwrap();
    assert_eq!(settings.periods.installation_grace, TimeDelta::days(3));
    assert_eq!(settings.periods.recovery_grace, TimeDelta::days(4));
}

#[test]
fn the_sender_must_be_in_the_verified_domain() {
    let domain = ("SES_DOMAIN", "example.com");
    assert!(sweeper(&[domain, ("SENDER_EMAIL", "keys@mail.example.com")]).is_ok());
    let error = sweeper(&[domain, ("SENDER_EMAIL", "keys@notexample.com")]).unwrap_err();
    assert_eq!(error.variables().collect::<Vec<_>>(), ["SENDER_EMAIL"]);
}

#[test]
fn on_aws_b8_secret_tags_are_pairs_within_aws_limits() {
    let read = |value: &str| sweeper(&[("SECRET_TAGS", value)]).map(|settings| settings.secret_tags);
    assert_eq!(read("").unwrap(), BTreeMap::new());
    let tags = read(" CostCenter = 4711 , Data Owner=key people,mail=a=b@x.org, ").unwrap();
    let expected = [("CostCenter", "4711"), ("Data Owner", "key people"), ("mail", "a=b@x.org")];
    assert_eq!(tags, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let many = |count: usize| (0..count).map(|n| format!("t{n}=x")).collect::<Vec<_>>().join(",");
    let long = |name: usize, value: usize| format!("{}={}", "n".repeat(name), "v".repeat(value));
    assert_eq!(read(&many(MAX_SECRET_TAGS)).unwrap().len(), MAX_SECRET_TAGS);
    assert!(read(&long(128, 256)).is_ok());
    for refused in [many(MAX_SECRET_TAGS + 1), long(129, 1), long(1, 257)] {
        assert!(read(&refused).is_err(), "{refused}");
    }
}

#[test]
fn on_aws_b8_mail_is_sent_from_the_region_that_is_named() {
    assert_eq!(sweeper(&[]).unwrap().mail_region(), Some("us-east-1"), "the functions' own");
    let named = sweeper(&[("SES_REGION", "us-gov-west-1")]).unwrap();
    assert_eq!(named.mail_region(), Some("us-gov-west-1"));
}

/// A value as somebody may write it: right, almost right, or anything.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["true", "FALSE", "1", "90", " 30 ", "+7", "007", "0", "-1", "1e3", "1001", "٣", "999988887777",
            "111122223333", "o-abcdefghij", "a@b.co", "keys@mail.example.com", "example.com", FUNCTION_ARN, "group",
            "arn:aws:iam::999988887777:role/org-reader", "alias/keywheel", "own.html", ".html", "../x.html", "owner", "Äußerer:owner",
            "arn:aws:kms:us-east-1:999988887777:key/0a1b", "eu-west-1", "CostCenter=4711,team=key people", "x", ""]).prop_map(str::to_owned),
        2 => any::<String>(),
        1 => "[ -~]{0,12}",
        1 => Just("x".repeat(10_000)),
    ]
}

fn variable() -> impl Strategy<Value = &'static str> {
    prop::sample::select(VARIABLES.to_vec())
}

/// The settings' value for a variable, as text; `None` if there is none.
fn held(settings: &Settings, variable: &str) -> Option<String> {
    let days = |period: TimeDelta| Some(period.num_days().to_string());
    match variable {
        "DRY_RUN_FLAG" => Some(settings.dry_run.to_string()),
        "PRIMARY_ACCOUNT_ID" => Some(settings.primary_account.to_string()),
        "AWS_ORG_ID" => settings.organization_id.clone(),
        "SENDER_EMAIL" => settings.sender.as_ref().map(ToString::to_string),
        "RECIPIENT_EMAIL" => settings.recipient.as_ref().map(ToString::to_string),
        "ROTATION_PERIOD" => days(settings.periods.rotation),
        "INSTALLATION_GRACE_PERIOD" => days(settings.periods.installation_grace),
        "RECOVERY_GRACE_PERIOD" => days(settings.periods.recovery_grace),
        "PENDING_ACTION_WARN_PERIOD" => days(settings.periods.warn),
        "IAM_EXEMPTION_GROUP" => Some(settings.exemption_group.clone()),
        "IAM_ASSUMED_ROLE_NAME" => Some(settings.member_role.clone()),
        "EXECUTION_ROLE_NAME" => Some(settings.execution_role.clone()),
        "ROLE_SESSION_NAME" => Some(settings.session_name.clone()),
        "EMAIL_TEMPLATE_ENFORCE" => Some(settings.template_enforce.clone()),
        "EMAIL_TEMPLATE_AUDIT" => Some(settings.template_audit.clone()),
        "ROTATION_FUNCTION_ARN" => settings.rotation_function_arn.clone(),
        "SECRETS_KMS_KEY_ID" => settings.kms_key.clone(),
        "RESOURCE_OWNER_TAG" => settings.owner_tag.clone(),
        "READER_GROUP" => settings.reader_group.clone(),
        "MAX_CONCURRENCY" => Some(settings.max_concurrency.to_string()),
        "MAX_CONCURRENT_USERS" => Some(settings.max_concurrent_users.to_string()),
        "ORG_LIST_ROLE_ARN" => settings.org_list_role_arn.clone(),
        "REPLY_TO_EMAIL" => settings.notices.reply_to.as_ref().map(ToString::to_string),
        "NOTICE_CONTACT" => settings.notices.contact.clone(),
        "RECIPIENT_EMAIL_IN_COPY" => Some(settings.notices.recipient_in_copy.to_string()),
        "SES_CONFIGURATION_SET" => settings.notices.configuration_set.clone(),
        "NOTICE_TOPIC_ARN" => settings.notices.topic_arn.clone(),
        "NOTICE_REPEAT_PERIOD" => days(settings.periods.repeat.unwrap_or_default()),
        "CHANGES_PER_RUN" => Some(settings.changes_per_run.to_string()),
        "SES_REGION" => settings.notices.ses_region.clone(),
        "AUDIT_NOTICE_PERIOD" => Some(settings.notices.audit_every_days.to_string()),
        other => panic!("{other} is held nowhere"),
    }
}

/// The same text, or the same number or flag written in another way.
fn says_the_same(given: &str, held: &str) -> bool {
    let number = |text: &str| text.parse::<i64>().ok();
    given == held
        || given.eq_ignore_ascii_case(held) && ["true", "false"].contains(&held)
        || number(given).is_some_and(|it| Some(it) == number(held))
}

proptest! {
    #[test]
    fn every_value_is_held_as_it_was_given_or_refused_by_its_name(
        given in prop::collection::btree_map(variable(), any_value(), 0..6), sweeper in any::<bool>(),
    ) {
        let base = [("PRIMARY_ACCOUNT_ID", "999988887777"), ("ROTATION_FUNCTION_ARN", FUNCTION_ARN)];
        let own: Vec<(&str, &str)> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let all = [&base[..], &own].concat();
        let function = if sweeper { Function::Sweeper } else { Function::Rotation };
        match read(function, &all) {
            Ok(settings) => for (name, value) in own.iter().filter(|(name, value)| !["SES_DOMAIN", "SECRET_TAGS"].contains(name) && !value.trim().is_empty()) {
                let held = held(&settings, name);
                prop_assert!(held.as_ref().is_some_and(|held| says_the_same(value.trim(), held)), "{}={:?} became {:?}", name, value, held);
            },
            Err(error) => {
                let text = error.to_string();
                prop_assert!(error.variables().next().is_some());
                for variable in error.variables() {
                    prop_assert!(VARIABLES.contains(&variable) && text.contains(variable), "{}", text);
                }
            }
        }
    }

    #[test]
    fn a_value_alone_is_refused_under_its_own_name(name in variable(), value in any_value()) {
        let Err(error) = sweeper(&[(name, &value)]) else { return Ok(()) };
        // Periods and accounts are compared with one another.
        let related = ["ROTATION_PERIOD", "PENDING_ACTION_WARN_PERIOD", "ROTATION_FUNCTION_ARN"];
        prop_assert!(error.variables().all(|variable| variable == name || related.contains(&variable)), "{}", error);
    }
}

#[test]
fn nobody_gains_5_owners_are_in_the_listed_domains() {
    let sender = ("SENDER_EMAIL", "keys@Mail.Example.com");
    for (given, admitted, refused) in [
        ("", &["jo@mail.example.COM"][..], &["jo@example.com", "jo@x.mail.example.com", "jo@evil.example"][..]),
        (
            "example.com",
            &["jo@EXAMPLE.com"],
            &["jo@mail.example.com", "jo@example.com.evil.example", "jo@xexample.com"],
        ),
        (
            " a.example , B.example xn--mnchen-3ya.de",
            &["jo@a.example", "jo@b.EXAMPLE", "jo@XN--mnchen-3ya.de"],
            &["jo@c.example"],
        ),
        ("*", &["jo@evil.example"], &[]),
    ] {
        let domains = sweeper(&[sender, ("OWNER_DOMAINS", given)]).unwrap().owner_domains;
        let admits = |address: &str| domains.admits(&address.parse().unwrap());
        for address in admitted {
            assert!(admits(address), "{given}: {address}");
        }
        for address in refused {
            assert!(!admits(address), "{given}: {address}");
        }
    }
    let nobody = sweeper(&[]).unwrap().owner_domains;
    assert!(!nobody.admits(&"jo@example.com".parse().unwrap()), "without a sender there is no mail");
}
