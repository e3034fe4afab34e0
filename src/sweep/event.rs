//! What the sweeper is asked for. Pure.

use serde::Deserialize;
use serde_json::Value;

use crate::error::Error;
use crate::keys::{AccountId, EmailAddress, SecretArn, SecretName};
use crate::redact;

/// Most accounts of one inventory page: with ids, names and addresses, well under the 256 KiB that a state machine
/// passes on. <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>
const MAX_INVENTORY: usize = 1000;

/// An event, and whether it asks for a dry run whatever the settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepEvent {
    /// What to do.
    pub request: Request,
    /// Plan and report, change nothing.
    pub dry_run: bool,
}

/// What the sweeper is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Sweep all accounts.
    All,
    /// Sweep one account.
    Account {
        /// Which.
        account: AccountId,
        /// Its name, if the caller knows it.
        name: Option<String>,
        /// Its address, if the caller knows it.
        email: Option<EmailAddress>,
        /// What is not urgent is left to a digest, for which the caller asks at the end.
        holds_notices: bool,
    },
    /// Tell what sweeps held.
    Digest {
        /// Of the accounts after this one; without it, of all.
        after: Option<AccountId>,
    },
    /// List one page of accounts.
    Inventory {
        /// Where the page starts; at the list's start without it.
        next_token: Option<String>,
        /// At most this many accounts; fewer may come before the list's end.
        limit: usize,
    },
    /// Tell what there is to tell of one secret.
    Notify {
        /// Which.
        secret: SecretName,
        /// What the event reports beyond what can be observed.
        news: News,
    },
    /// An event about a secret that is none of keywheel's, or a label that says nothing.
    Ignore,
}

/// What an event says happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The current label moved.
    LabelMoved,
    /// A rotation failed or was given up, and why.
    RotationFailed(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnEvent {
    account: Option<String>,
    name: Option<String>,
    email: Option<String>,
    notices: Option<Notices>,
    inventory: Option<InventoryFields>,
    digest: Option<DigestFields>,
    #[serde(default)]
    dry_run: bool,
}

/// When the notices of an account's sweep are told.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Notices {
    Now,
    Later,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DigestFields {
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InventoryFields {
    next_token: Option<String>,
    limit: Option<usize>,
}

/// EventBridge's envelope has more fields than these, and may get new ones.
#[derive(Deserialize)]
struct BridgeEvent {
    #[serde(rename = "detail-type")]
    detail_type: String,
    #[serde(default)]
    detail: Value,
    #[serde(default)]
    dry_run: bool,
}

impl SweepEvent {
    /// Reads an event.
    ///
    /// # Errors
    /// [`Error::InvalidEvent`] that names the field.
    pub fn read(event: Value) -> Result<Self, Error> {
        Self::take(event).map_err(|error| match error {
            // An event of another function that came here by mistake may hold what is sensitive.
            Error::InvalidEvent(why) => Error::InvalidEvent(redact::secret_like(&why)),
            other => other,
        })
    }

    fn take(event: Value) -> Result<Self, Error> {
        if event.get("detail-type").is_some() {
            let bridge: BridgeEvent = parse(event)?;
            return Ok(Self { request: bridge.request()?, dry_run: bridge.dry_run });
        }
        // serde would take a list for an object, and its items for the fields in their order.
        if let Some(mistake) = emptied(&event).or_else(|| mistyped(&event)) {
            return Err(Error::InvalidEvent(mistake));
        }
        let own: OwnEvent = parse(event)?;
        Ok(Self { dry_run: own.dry_run, request: own.request()? })
    }
}

fn parse<T: serde::de::DeserializeOwned>(event: Value) -> Result<T, Error> {
    if !event.is_object() {
        return Err(Error::InvalidEvent("it is not an object; {} sweeps all accounts".to_owned()));
    }
    let mistyped = mistyped(&event);
    serde_json::from_value(event).map_err(|error| Error::InvalidEvent(mistyped.unwrap_or_else(|| error.to_string())))
}

/// Without these fields all accounts are swept. An event that has one and lost its value means something else.
fn emptied(event: &Value) -> Option<String> {
    let is_empty = |name: &&str| event.get(*name).is_some_and(|value| value.is_null() || *value == "");
    let name = ["account", "inventory", "digest"].into_iter().find(is_empty)?;
    Some(format!("{name} is empty; an event without that field sweeps all accounts"))
}

/// The first field of the wrong type: serde says what it found and not where.
fn mistyped(event: &Value) -> Option<String> {
    type Fits = fn(&Value) -> bool;
    let text: (&str, Fits) = ("text", |value| value.is_string() || value.is_null());
    let object: (&str, Fits) = ("an object", |value| value.is_object() || value.is_null());
    let fields: [(&str, (&str, Fits)); 11] = [
        ("/account", text),
        ("/name", text),
        ("/email", text),
        ("/dry_run", ("true or false", Value::is_boolean)),
        ("/notices", ("`now` or `later`", |value| value == "now" || value == "later")),
        ("/inventory", object),
        ("/digest", object),
        ("/digest/after", text),
        ("/inventory/next_token", text),
        ("/inventory/limit", ("a number", |value| value.is_u64() || value.is_null())),
        ("/detail-type", ("text", Value::is_string)),
    ];
    let wrong = |(path, (_, fits)): &(&str, (&str, Fits))| event.pointer(path).is_some_and(|value| !fits(value));
    let (path, (expected, _)) = fields.into_iter().find(wrong)?;
    Some(format!("{} must be {expected}", path[1..].replace('/', ".")))
}

fn field<T: std::str::FromStr>(name: &str, text: Option<String>) -> Result<Option<T>, Error>
where
    T::Err: std::fmt::Display,
{
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|error| Error::InvalidEvent(format!("{name}: {error}")))).transpose()
}

impl OwnEvent {
    fn request(self) -> Result<Request, Error> {
        let Self { account, name, email, notices, inventory, digest, dry_run: _ } = self;
        let account: Option<AccountId> = field("account", account)?;
        let asked =
            [("an account", account.is_some()), ("the inventory", inventory.is_some()), ("a digest", digest.is_some())];
        let asked: Vec<&str> = asked.into_iter().filter_map(|(what, is_asked)| is_asked.then_some(what)).collect();
        if asked.len() > 1 {
            return Err(Error::InvalidEvent(format!("it asks for {}; ask for one at a time", asked.join(" and for "))));
        }
        if account.is_none() && (name.is_some() || email.is_some() || notices.is_some()) {
            let what = asked.first().unwrap_or(&"all accounts");
            return Err(Error::InvalidEvent(format!(
                "name, email and notices belong to an account, and it asks for {what}"
            )));
        }
        match (account, inventory, digest) {
            (Some(account), ..) => Ok(Request::Account {
                account,
                name: name.filter(|name| !name.is_empty()),
                email: field("email", email)?,
                holds_notices: notices == Some(Notices::Later),
            }),
            (None, Some(InventoryFields { next_token, limit }), _) => {
                let limit = limit.unwrap_or(MAX_INVENTORY);
                if !(1..=MAX_INVENTORY).contains(&limit) {
                    return Err(Error::InvalidEvent(format!(
                        "inventory.limit is {limit}; allowed: 1 to {MAX_INVENTORY}"
                    )));
                }
                Ok(Request::Inventory { next_token: next_token.filter(|token| !token.is_empty()), limit })
            }
            (None, None, Some(DigestFields { after })) => Ok(Request::Digest { after: field("digest.after", after)? }),
            (None, None, None) => Ok(Request::All),
        }
    }
}

impl BridgeEvent {
    fn request(&self) -> Result<Request, Error> {
        match self.detail_type.as_str() {
            "Scheduled Event" => Ok(Request::All),
            "Secret Label Updated" => self.label_updated(),
            "AWS Service Event via CloudTrail" => self.service_event(),
            other => Err(Error::InvalidEvent(format!(
                "detail-type is `{other}`; the sweeper takes Secret Label Updated, AWS Service Event via CloudTrail \
                 (RotationFailed, RotationAbandoned) and Scheduled Event"
            ))),
        }
    }

    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/event-detail-secret-label-updated-secretsmanager.html>
    fn label_updated(&self) -> Result<Request, Error> {
        let name = self.text("name")?;
        if self.text("labelUpdated")? != crate::aws::CURRENT {
            return Ok(Request::Ignore);
        }
        // Secrets of others move their labels too.
        let request = name.parse().map(|secret| Request::Notify { secret, news: News::LabelMoved });
        Ok(request.unwrap_or(Request::Ignore))
    }

    /// <https://docs.aws.amazon.com/secretsmanager/latest/userguide/cloudtrail_log_entries.html>
    fn service_event(&self) -> Result<Request, Error> {
        let event_name = self.text("eventName")?;
        if !matches!(event_name, "RotationFailed" | "RotationAbandoned") {
            return Ok(Request::Ignore);
        }
        let extra = &self.detail["additionalEventData"];
        let arn = extra["SecretId"].as_str().or_else(|| extra["secretId"].as_str());
        let arn =
            arn.ok_or_else(|| Error::InvalidEvent("detail.additionalEventData.SecretId must be text".to_owned()))?;
        let Ok(arn) = arn.parse::<SecretArn>() else { return Ok(Request::Ignore) };
        let reason = self.detail["errorMessage"].as_str().map_or_else(
            || format!("Secrets Manager reports {event_name}; the log of the rotation function says why"),
            |message| format!("{event_name}: {}", redact::secret_like(message)),
        );
        Ok(Request::Notify { secret: arn.name().clone(), news: News::RotationFailed(reason) })
    }

    fn text(&self, name: &str) -> Result<&str, Error> {
        self.detail[name].as_str().ok_or_else(|| Error::InvalidEvent(format!("detail.{name} must be text")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(event: Value) -> Result<SweepEvent, String> {
        SweepEvent::read(event).map_err(|error| error.to_string())
    }

    fn request(event: Value) -> Request {
        read(event).unwrap().request
    }

    #[test]
    fn own_events_are_read() {
        assert_eq!(read(json!({})).unwrap(), SweepEvent { request: Request::All, dry_run: false });
        assert!(read(json!({"dry_run": true})).unwrap().dry_run);
        let account: AccountId = "111122223333".parse().unwrap();
        assert_eq!(
            request(json!({"account": "111122223333", "name": "prod", "email": "a@b.co"})),
            Request::Account {
                account: account.clone(),
                name: Some("prod".to_owned()),
                email: "a@b.co".parse().ok(),
                holds_notices: false
            }
        );
        assert_eq!(
            request(json!({"account": "111122223333", "name": null, "email": null, "notices": "later"})),
            Request::Account { account, name: None, email: None, holds_notices: true }
        );
        assert_eq!(request(json!({"digest": {}})), Request::Digest { after: None });
        let after = "111122223333".parse().ok();
        assert_eq!(request(json!({"digest": {"after": "111122223333"}})), Request::Digest { after });
        assert!(read(json!({"digest": {}, "dry_run": true})).unwrap().dry_run);
        assert_eq!(
            request(json!({"inventory": {"next_token": null, "limit": 20}})),
            Request::Inventory { next_token: None, limit: 20 }
        );
    }

    #[test]
    fn upstream_defect_39_malformed_events_are_refused_in_words() {
        for (event, named) in [
            (json!(null), "not an object"),
            (json!([]), "not an object"),
            (json!({"acount": "111122223333"}), "acount"),
            (json!({"account": "1111"}), "account"),
            (json!({"account": "111122223333", "email": "nobody"}), "email"),
            (json!({"name": "prod"}), "name"),
            (json!({"account": "111122223333", "inventory": {}}), "inventory"),
            (json!({"inventory": {"limit": 0}}), "limit"),
            (json!({"inventory": {"limit": 100_000}}), "limit"),
            (json!({"inventory": {"pages": 2}}), "pages"),
            (json!({"account": ""}), "account is empty"),
            (json!({"account": null, "name": null}), "account is empty"),
            (json!({"inventory": null}), "inventory is empty"),
            (json!({"inventory": ["AAAA", 20]}), "inventory must be an object"),
            (json!({"digest": null}), "digest is empty"),
            (json!({"digest": {"account": "111122223333"}}), "account"),
            (json!({"digest": {"after": "prod"}}), "digest.after"),
            (json!({"digest": {"after": 111_122_223_333_u64}}), "digest.after must be text"),
            (json!({"digest": {}, "account": "111122223333"}), "an account and for a digest"),
            (json!({"digest": {}, "inventory": {}}), "the inventory and for a digest"),
            (json!({"notices": "later"}), "notices belong to an account"),
            (json!({"digest": {}, "name": "prod"}), "it asks for a digest"),
            (json!({"account": "111122223333", "notices": "never"}), "notices must be"),
            (json!({"account": "111122223333", "notices": null}), "notices must be"),
            (json!({"dry_run": "yes"}), "dry_run must be"),
            (json!({"detail-type": "EC2 Instance State-change Notification"}), "EC2"),
            (json!({"detail-type": "Secret Label Updated", "detail": {}}), "detail.name"),
            (
                json!({"detail-type": "AWS Service Event via CloudTrail", "detail": {"eventName": "RotationFailed"}}),
                "SecretId",
            ),
        ] {
            let error = read(event).unwrap_err();
            assert!(error.contains(named), "{named}: {error}");
        }
    }

    #[test]
    fn events_of_secrets_are_read_and_those_of_others_passed_over() {
        let label = |name: &str, label: &str| {
            json!({"detail-type": "Secret Label Updated", "source": "aws.secretsmanager",
                "detail": {"name": name, "labelUpdated": label, "versionId": "a1b2c3d4-5678-90ab-cdef-EXAMPLE11111"}})
        };
        let ours = "Account_111122223333_User_bot_AccessKey";
        let secret: SecretName = ours.parse().unwrap();
        assert_eq!(
            request(label(ours, "AWSCURRENT")),
            Request::Notify { secret: secret.clone(), news: News::LabelMoved }
        );
        assert_eq!(request(label(ours, "my-label")), Request::Ignore);
        assert_eq!(request(label("prod/database", "AWSCURRENT")), Request::Ignore);
        let failed = |event: &str| {
            json!({"detail-type": "AWS Service Event via CloudTrail", "detail": {"eventName": event, "additionalEventData": {
                "SecretId": format!("arn:aws:secretsmanager:us-east-1:999988887777:secret:{ours}-a1b2c3")}}})
        };
        for event in ["RotationFailed", "RotationAbandoned"] {
            let Request::Notify { secret: of, news: News::RotationFailed(reason) } = request(failed(event)) else {
                panic!("{event}")
            };
            assert_eq!(of, secret);
            assert!(reason.contains(event), "{reason}");
        }
        assert_eq!(request(failed("RotationSucceeded")), Request::Ignore);
    }

    /// A field that is not there, or has any value.
    fn any_field() -> impl Strategy<Value = Option<Value>> {
        let text = prop_oneof![
            prop::sample::select(vec![
                "",
                "111122223333",
                "prod",
                "a@b.co",
                "AWSCURRENT",
                "RotationFailed",
                "Scheduled Event",
                "Secret Label Updated",
                "AWS Service Event via CloudTrail",
                "Account_111122223333_User_bot_AccessKey",
                "arn:aws:secretsmanager:us-east-1:999988887777:secret:Account_111122223333_User_bot_AccessKey-a1b2c3"
            ])
            .prop_map(str::to_owned),
            any::<String>(),
            (1usize..3).prop_map(|n| "x".repeat(n * 100_000)),
        ];
        let leaf = prop_oneof![
            4 => text.prop_map(Value::from),
            1 => Just(Value::Null),
            1 => any::<bool>().prop_map(Value::from),
            1 => any::<i64>().prop_map(Value::from),
            1 => (0..1200u64).prop_map(Value::from),
            1 => any::<f64>().prop_map(Value::from),
        ];
        let names = prop::sample::select(vec![
            "name",
            "labelUpdated",
            "eventName",
            "additionalEventData",
            "SecretId",
            "errorMessage",
            "after",
            "next_token",
            "limit",
            "Limit",
        ]);
        let value = leaf.prop_recursive(3, 12, 4, move |inner| {
            let object = prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner.clone(), 0..4);
            prop_oneof![
                object.prop_map(|members| json!(members)),
                prop::collection::vec(inner, 0..3).prop_map(Value::from)
            ]
        });
        prop::option::of(value)
    }

    fn event_of(fields: &[(&str, Option<Value>)]) -> Value {
        let members = fields.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
        Value::Object(members.collect())
    }

    /// The text of a field that may be empty.
    fn text(event: &Value, name: &str) -> Option<String> {
        event[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    proptest! {
        #[test]
        fn an_own_event_is_read_with_all_that_it_says_or_refused(
            account in any_field(), name in any_field(), email in any_field(), inventory in any_field(), dry_run in any_field(),
            notices in prop_oneof![any_field(), Just(Some(json!("later"))), Just(Some(json!("now")))],
            digest in prop_oneof![4 => Just(None), 1 => any_field(), 1 => Just(Some(json!({}))), 1 => Just(Some(json!({"after": "111122223333"})))],
            other in prop::option::weighted(0.1, ("[A-Za-z_]{1,9}", any_field())),
        ) {
            let mut event = event_of(&[("account", account), ("name", name), ("email", email), ("inventory", inventory),
                ("dry_run", dry_run), ("notices", notices), ("digest", digest)]);
            if let Some((name, value)) = other {
                event[name] = value.unwrap_or_default();
            }
            let Ok(SweepEvent { request, dry_run }) = read(event.clone()) else { return Ok(()) };
            prop_assert!(event["dry_run"] == dry_run || event.get("dry_run").is_none() && !dry_run);
            let known = |name: &String| ["account", "name", "email", "notices", "inventory", "digest", "dry_run"].contains(&name.as_str());
            prop_assert!(event.as_object().unwrap().keys().all(known));
            match request {
                Request::All => {
                    let says_nothing = |name: &&str| event.get(name).is_none() || event[*name].is_null();
                    prop_assert!(["name", "email"].iter().all(says_nothing));
                    prop_assert!(["account", "inventory", "notices", "digest"].iter().all(|name| event.get(name).is_none()));
                }
                Request::Digest { after } => {
                    prop_assert!(event["digest"].is_object() && event.get("account").is_none());
                    prop_assert_eq!(after.map(|after| after.to_string()), text(&event["digest"], "after"));
                }
                Request::Account { account, name, email, holds_notices } => {
                    prop_assert_eq!(holds_notices, event["notices"] == "later");
                    prop_assert_eq!(Some(account.to_string()), text(&event, "account"));
                    prop_assert_eq!(name, text(&event, "name"));
                    prop_assert_eq!(email.map(String::from), text(&event, "email"));
                }
                Request::Inventory { next_token, limit } => {
                    prop_assert_eq!(next_token, text(&event["inventory"], "next_token"));
                    let asked = &event["inventory"]["limit"];
                    prop_assert!(*asked == limit || asked.is_null() && limit == MAX_INVENTORY);
                }
                Request::Notify { .. } | Request::Ignore => prop_assert!(false, "{event} is no event of a secret"),
            }
        }

        #[test]
        fn an_event_of_eventbridge_is_about_the_secret_that_it_names_or_nothing(
            kind in any_field(), detail in any_field(), dry_run in prop::option::of(any::<bool>()),
        ) {
            let mut event = event_of(&[("detail-type", kind), ("detail", detail), ("dry_run", dry_run.map(Value::from))]);
            if event.get("detail-type").is_none() {
                event["detail-type"] = json!("Secret Label Updated");
            }
            if let Ok(SweepEvent { request: Request::Notify { secret, .. }, .. }) = read(event.clone()) {
                prop_assert!(event["detail"].to_string().contains(&secret.to_string()));
            }
        }
    }
}
