//! Names and ARNs: what is legal survives every round trip, what is not is refused by name.

use super::*;
use crate::testing::user;
use proptest::prelude::*;

#[test]
fn a_comma_is_written_reversibly() {
    let name = SecretName::of(&user("ci,bot")).to_string();
    assert_eq!(name, "Account_111122223333_User_ci/2Cbot_AccessKey");
    assert_eq!(name.parse::<SecretName>().unwrap().user().name.as_str(), "ci,bot");
}

#[test]
fn foreign_secret_names_are_refused() {
    for name in [
        "",
        "prod/database",
        "User_ci_AccessKey",
        "Account_11112222333_User_ci_AccessKey",
        "Account_111122223333_User__AccessKey",
        "Account_111122223333_User_ci_Password",
        "Account_111122223333_User_a,b_AccessKey",
        "Account_111122223333_User_a/2cb_AccessKey",
        "Account_111122223333_User_a/b_AccessKey",
        "Account_11112222333é_User_ci_AccessKey",
    ] {
        assert!(name.parse::<SecretName>().is_err(), "{name}");
    }
}

#[test]
fn an_arn_gives_partition_account_and_user() {
    let arn: SecretArn =
        "arn:aws-cn:secretsmanager:cn-north-1:999988887777:secret:Account_111122223333_User_ci-bot_AccessKey-a1B2c3"
            .parse()
            .unwrap();
    assert_eq!(arn.partition(), "aws-cn");
    assert_eq!(arn.account().as_str(), "999988887777");
    assert_eq!(arn.name().user(), &user("ci-bot"));
}

#[test]
fn an_arn_without_its_suffix_is_refused() {
    let arn = "arn:aws:secretsmanager:eu-west-1:999988887777:secret:Account_111122223333_User_ci_AccessKey";
    assert!(arn.parse::<SecretArn>().is_err());
}

#[test]
fn a_user_arn_keeps_its_path_aside() {
    let arn: UserArn = "arn:aws:iam::111122223333:user/ci/eu/bot".parse().unwrap();
    assert_eq!(arn.user(), &user("bot"));
    assert!("arn:aws:iam::111122223333:role/bot".parse::<UserArn>().is_err());
    assert!("arn:aws:sts::111122223333:assumed-role/a/b".parse::<UserArn>().is_err());
}

#[test]
fn addresses_that_ses_would_refuse_are_refused() {
    for good in ["a@b.co", "first.last+tag@mail.example.org"] {
        assert!(good.parse::<EmailAddress>().is_ok(), "{good}");
    }
    for bad in ["", "a", "a@b", "@b.co", "a@b..co", "a b@c.de", "Ann <a@b.co>", "a@b@c.de", "a@b.co,c@d.ef"] {
        assert!(bad.parse::<EmailAddress>().is_err(), "{bad}");
    }
}

#[test]
fn a_secret_key_is_never_printed() {
    let key = SecretKey::new("wJalrXUtnFEMI/K7MDENG".to_owned());
    assert_eq!(format!("{key:?}"), "SecretKey(redacted)");
}

/// One edit of a text: a character taken out, exchanged or put in.
#[derive(Debug, Clone)]
enum Edit {
    Drop(prop::sample::Index),
    Exchange(prop::sample::Index, String),
    Insert(prop::sample::Index, String),
}

fn edit() -> impl Strategy<Value = Edit> {
    (any::<prop::sample::Index>(), 0..3, "[ -~é\u{202e}\n]").prop_map(|(at, edit, character)| match edit {
        0 => Edit::Drop(at),
        1 => Edit::Exchange(at, character),
        _ => Edit::Insert(at, character),
    })
}

impl Edit {
    fn of(&self, text: &str) -> String {
        let (Self::Drop(at) | Self::Exchange(at, _) | Self::Insert(at, _)) = self;
        let at = at.index(text.len());
        let (before, after) = text.split_at(at);
        match self {
            Self::Drop(_) => format!("{before}{}", &after[1..]),
            Self::Exchange(_, character) => format!("{before}{character}{}", &after[1..]),
            Self::Insert(_, character) => format!("{before}{character}{after}"),
        }
    }
}

/// A text that is taken is the text that comes out, and one that is not is named.
fn kept_or_named<T: FromStr<Err = InvalidName> + fmt::Display>(what: &str, text: &str) -> Result<(), TestCaseError> {
    match text.parse::<T>() {
        Ok(parsed) => prop_assert_eq!(parsed.to_string(), text),
        Err(error) => prop_assert!(error.to_string().starts_with(what), "{}", error),
    }
    Ok(())
}

const LEGAL_NAME: &str = "[A-Za-z0-9_+=,.@-]{1,128}";

proptest! {
    #[test]
    fn every_legal_user_name_survives_the_round_trip(account in "[0-9]{12}", name in LEGAL_NAME) {
        let user = UserRef { account: account.parse().unwrap(), name: name.parse().unwrap() };
        let secret = SecretName::of(&user).to_string();
        prop_assert!(secret.len() <= 512);
        prop_assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+=.@-".contains(&b)));
        let parsed: SecretName = secret.parse().unwrap();
        prop_assert_eq!(parsed.user(), &user);
    }

    #[test]
    fn the_longest_names_of_commas_survive_too(length in 1usize..=128) {
        let user = user(&",".repeat(length));
        let secret = SecretName::of(&user).to_string();
        prop_assert!(secret.len() <= 512);
        let parsed: SecretName = secret.parse().unwrap();
        prop_assert_eq!(parsed.user(), &user);
    }

    #[test]
    fn two_users_never_share_a_secret(one in "[2Ca,_]{1,6}", other in "[2Ca,_]{1,6}") {
        prop_assert_eq!(one == other, SecretName::of(&user(&one)).to_string() == SecretName::of(&user(&other)).to_string());
    }

    #[test]
    fn a_secret_has_one_name_only(name in "[A-Za-z0-9,/2C]{1,12}", edit in edit()) {
        let text = format!("Account_111122223333_User_{name}_AccessKey");
        kept_or_named::<SecretName>("secret name", &text)?;
        kept_or_named::<SecretName>("secret name", &edit.of(&text))?;
    }

    #[test]
    fn the_arn_of_a_secret_is_taken_apart_and_kept(
        partition in "aws(-[a-z]{2,6}){0,2}", region in "[a-z]{2}-[a-z]{4,9}-[0-9]", name in LEGAL_NAME,
        suffix in "[A-Za-z0-9]{6}", edit in edit(),
    ) {
        let secret = SecretName::of(&user(&name));
        let text = format!("arn:{partition}:secretsmanager:{region}:999988887777:secret:{secret}-{suffix}");
        let arn: SecretArn = text.parse().unwrap();
        prop_assert_eq!((arn.as_str(), arn.partition(), arn.name()), (text.as_str(), partition.as_str(), &secret));
        let text = edit.of(&text);
        match text.parse::<SecretArn>() {
            Ok(arn) => {
                prop_assert_eq!(arn.as_str(), &text);
                let resource = format!(":{}:secret:{}-", arn.account(), arn.name());
                prop_assert!(text.is_ascii() && text.contains(&resource));
            }
            Err(error) => prop_assert!(error.to_string().starts_with("secret ARN"), "{}", error),
        }
    }

    #[test]
    fn the_arn_of_a_user_with_any_path_is_kept(path in "(/[!-.0-~]{1,20}){0,4}", name in LEGAL_NAME, edit in edit()) {
        let text = format!("arn:aws:iam::111122223333:user{path}/{name}");
        let arn: UserArn = text.parse().unwrap();
        prop_assert_eq!((arn.as_str(), arn.user()), (text.as_str(), &user(&name)));
        let text = edit.of(&text);
        kept_or_named::<UserArn>("user ARN", &text)?;
        if let Ok(arn) = text.parse::<UserArn>() {
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()) && text.ends_with(arn.user().name.as_str()));
        }
    }

    #[test]
    fn any_text_is_kept_or_named(text in any::<String>()) {
        kept_or_named::<AccountId>("account id", &text)?;
        kept_or_named::<UserName>("IAM user name", &text)?;
        kept_or_named::<AccessKeyId>("access key id", &text)?;
        kept_or_named::<VersionId>("version id", &text)?;
        kept_or_named::<EmailAddress>("e-mail address", &text)?;
        kept_or_named::<SecretName>("secret name", &text)?;
        kept_or_named::<UserArn>("user ARN", &text)?;
        prop_assert!(text.parse::<SecretArn>().is_err());
    }

    #[test]
    fn identifiers_survive_json(account in "[0-9]{12}", name in LEGAL_NAME, key in "[A-Za-z0-9_]{16,128}") {
        let (account, name, key): (AccountId, UserName, AccessKeyId) =
            (account.parse().unwrap(), name.parse().unwrap(), key.parse().unwrap());
        let text = serde_json::to_string(&(&account, &name, &key)).unwrap();
        prop_assert_eq!(serde_json::from_str::<(AccountId, UserName, AccessKeyId)>(&text).unwrap(), (account, name, key));
    }
}
