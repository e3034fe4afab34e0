//! Parses a request: its service and operation, its signature, and its input members.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value};

use super::answer::ServiceError;
use super::service::{Operation, Service};

/// An unparsed request, from the SDK's connector or from a socket.
pub(crate) struct WireRequest {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) host: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl WireRequest {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The parsed `Authorization` header.
#[derive(Debug)]
pub(crate) struct Authorization {
    pub(crate) access_key_id: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: String,
}

impl Authorization {
    /// Reads `AWS4-HMAC-SHA256 Credential=…/date/region/service/aws4_request, SignedHeaders=a;b, Signature=…`.
    fn parse(header: &str) -> Option<Self> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256")?;
        let field = |name: &str| {
            let mut parts = fields.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let mut scope = field("Credential")?.split('/');
        let access_key_id = scope.next()?.to_owned();
        let _date = scope.next()?;
        Some(Self {
            access_key_id,
            region: scope.next()?.to_owned(),
            service: scope.next()?.to_owned(),
            signed_headers: field("SignedHeaders")?.split(';').map(ToOwned::to_owned).collect(),
            signature: field("Signature")?.to_owned(),
        })
    }
}

/// A parsed request.
pub(crate) struct ServiceRequest {
    pub(crate) operation: Operation,
    pub(crate) authorization: Authorization,
    pub(crate) input: Input,
}

/// A number that is the same for every attempt at a call. Tags are left out: times in them differ when the attempt is
/// not the SDK's but a later step's.
pub(crate) fn content(access_key_id: &str, operation: &Operation, input: &Input) -> u64 {
    let mut hasher = DefaultHasher::new();
    (operation.service.name(), &operation.name, access_key_id).hash(&mut hasher);
    for (name, value) in input.0.iter().filter(|(name, _)| *name != "Tags") {
        (name, value.to_string()).hash(&mut hasher);
    }
    hasher.finish()
}

/// An error for a request that cannot be parsed, and the operation in whose protocol it is written.
pub(crate) type ParseFailure = (Operation, ServiceError);

pub(crate) fn parse(wire: &WireRequest) -> Result<ServiceRequest, ParseFailure> {
    let guessed = guess(wire);
    let Some(authorization) = wire.header("authorization").and_then(Authorization::parse) else {
        return Err((unnamed(guessed), unsigned(guessed)));
    };
    let Some(service) = Service::of_scope(&authorization.service) else {
        let refusal =
            ServiceError::new(400, "UnknownOperationException", format!("no service {}", authorization.service));
        return Err((unnamed(guessed), refusal));
    };
    let (name, input) = match service {
        Service::Iam | Service::Sts | Service::Sns => query(service, wire),
        Service::SecretsManager | Service::Organizations => json_1_1(service, wire),
        Service::Ses => rest(wire),
    }
    .map_err(|refusal| (unnamed(service), refusal))?;
    Ok(ServiceRequest { operation: Operation { service, name }, authorization, input })
}

fn unnamed(service: Service) -> Operation {
    let name = String::new();
    Operation { service, name }
}

/// The service that an unsigned request seems to address.
fn guess(wire: &WireRequest) -> Service {
    match wire.header("x-amz-target") {
        Some(target) if target.starts_with("AWSOrganizations") => Service::Organizations,
        Some(_) => Service::SecretsManager,
        None if wire.path.starts_with("/v2/") => Service::Ses,
        None if wire.host.starts_with("sts") => Service::Sts,
        None if wire.host.starts_with("sns") => Service::Sns,
        None => Service::Iam,
    }
}

fn unsigned(service: Service) -> ServiceError {
    let (status, code) = match service {
        Service::Iam | Service::Sts | Service::Sns => (403, "MissingAuthenticationToken"),
        _ => (400, "MissingAuthenticationTokenException"),
    };
    ServiceError::new(status, code, "Missing Authentication Token")
}

fn json_1_1(service: Service, wire: &WireRequest) -> Result<(String, Input), ServiceError> {
    let target = wire.header("x-amz-target").unwrap_or_default();
    let expected = match service {
        Service::Organizations => "AWSOrganizationsV20161128",
        _ => "secretsmanager",
    };
    let name = match target.split_once('.') {
        Some((prefix, name)) if prefix == expected => name.to_owned(),
        _ => return Err(ServiceError::unknown_operation(service, target)),
    };
    Ok((name, Input::of_json(&wire.body)?))
}

fn query(service: Service, wire: &WireRequest) -> Result<(String, Input), ServiceError> {
    let (name, version, input) = Input::of_form(&wire.body);
    let expected = match service {
        Service::Iam => "2010-05-08",
        Service::Sns => "2010-03-31",
        _ => "2011-06-15",
    };
    if version != expected {
        return Err(ServiceError::new(400, "InvalidAction", format!("no operation {name} in version {version}")));
    }
    Ok((name, input))
}

fn rest(wire: &WireRequest) -> Result<(String, Input), ServiceError> {
    let path = wire.path.split('?').next().unwrap_or_default();
    let identity = path.strip_prefix("/v2/email/identities/");
    match (wire.method.as_str(), path, identity) {
        ("POST", "/v2/email/outbound-emails", _) => Ok(("SendEmail".to_owned(), Input::of_json(&wire.body)?)),
        ("GET", "/v2/email/account", _) => Ok(("GetAccount".to_owned(), Input::default())),
        ("GET", "/v2/email/suppression/addresses", _) => {
            Ok(("ListSuppressedDestinations".to_owned(), Input::of_query(&wire.path)))
        }
        ("GET", _, Some(name)) if !name.contains('/') => {
            let mut members = Map::new();
            members.insert("EmailIdentity".to_owned(), Value::String(percent_decoded(name)));
            Ok(("GetEmailIdentity".to_owned(), Input(members)))
        }
        _ => Err(ServiceError::unknown_operation(Service::Ses, &format!("{} {path}", wire.method))),
    }
}

/// Decodes a path segment: `+` stands for itself there, unlike in a form.
fn percent_decoded(segment: &str) -> String {
    let protected = format!("x={}", segment.replace('+', "%2B"));
    let decoded = form_urlencoded::parse(protected.as_bytes()).next();
    decoded.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The tree that the keys of a form spell: their parts are separated by full stops.
#[derive(Default)]
struct Branch {
    text: Option<String>,
    branches: BTreeMap<String, Branch>,
}

impl Branch {
    fn at(&mut self, path: &str) -> &mut Self {
        path.split('.').fold(self, |branch, part| branch.branches.entry(part.to_owned()).or_default())
    }

    fn into_value(mut self) -> Value {
        if let Some(text) = self.text {
            return Value::String(text);
        }
        let items = self.branches.remove("member").or_else(|| self.branches.remove("entry"));
        match items {
            Some(Branch { branches, .. }) => {
                let position = |index: &String| index.parse::<u32>().unwrap_or(u32::MAX);
                let mut items: Vec<_> = branches.into_iter().map(|(index, item)| (position(&index), item)).collect();
                items.sort_by_key(|(position, _)| *position);
                items.into_iter().map(|(_, item)| item.into_value()).collect()
            }
            None => self.branches.into_iter().map(|(name, branch)| (name, branch.into_value())).collect(),
        }
    }
}

/// The input members of a request, whatever the protocol. In the Query protocol all scalars are text.
#[derive(Default)]
pub(crate) struct Input(Map<String, Value>);

impl Input {
    /// The members of a JSON object. A null counts as absent.
    pub(crate) fn of_value(value: Value) -> Self {
        match value {
            Value::Object(members) => Self(members),
            _ => Self::default(),
        }
    }

    fn of_json(body: &[u8]) -> Result<Self, ServiceError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            _ => Err(ServiceError::new(400, "SerializationException", "the body is no JSON object")),
        }
    }

    /// The operation, the version, and the members. `X.member.1` and so on become the list `X`, and so do the
    /// `X.entry.1.Name` and `X.entry.1.Value` of a map.
    fn of_form(body: &[u8]) -> (String, String, Self) {
        let (mut name, mut version) = (String::new(), String::new());
        let mut members = Branch::default();
        for (key, value) in form_urlencoded::parse(body) {
            match key.as_ref() {
                "Action" => name = value.into_owned(),
                "Version" => version = value.into_owned(),
                path => members.at(path).text = Some(value.into_owned()),
            }
        }
        (name, version, Self::of_value(members.into_value()))
    }

    /// The members in the query of a path, each given once.
    fn of_query(path: &str) -> Self {
        let query = path.split_once('?').map(|(_, query)| query).unwrap_or_default();
        let members = form_urlencoded::parse(query.as_bytes());
        Self(members.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect())
    }

    /// All members as JSON.
    pub(crate) fn text_of_all(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// Returns an error for members that the model does not know, because ignoring them could change the meaning.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), ServiceError> {
        let given = self.0.iter().filter(|(_, value)| !value.is_null());
        let unknown = given.map(|(key, _)| key).find(|key| !known.contains(&key.as_str()));
        match unknown {
            Some(name) => {
                Err(ServiceError::validation(format!("the member {name} is not modelled for this operation")))
            }
            None => Ok(()),
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ServiceError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(mistyped(name, "a string")),
        }
    }

    /// A text that is required and not empty.
    pub(crate) fn needed(&self, name: &str) -> Result<&str, ServiceError> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(ServiceError::validation(format!(
                "1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must not be null"
            ))),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ServiceError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(_) => Err(mistyped(name, "a boolean")),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ServiceError> {
        let number = match self.value(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        number.map(Some).ok_or_else(|| mistyped(name, "an integer"))
    }

    /// A number within limits, or the default.
    pub(crate) fn count(&self, name: &str, default: usize, most: usize) -> Result<usize, ServiceError> {
        match self.number(name)? {
            None => Ok(default),
            Some(count) => match usize::try_from(count) {
                Ok(count) if (1..=most).contains(&count) => Ok(count),
                _ => Err(ServiceError::validation(format!(
                    "1 validation error detected: Value '{count}' at '{name}' failed to satisfy constraint: \
                     Member must have value between 1 and {most}"
                ))),
            },
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, ServiceError> {
        let Some(list) = self.list(name)? else {
            return Ok(None);
        };
        let texts = list.iter().map(|it| it.as_str().map(ToOwned::to_owned));
        let texts: Option<Vec<String>> = texts.collect();
        texts.map(Some).ok_or_else(|| mistyped(name, "a list of strings"))
    }

    fn list(&self, name: &str) -> Result<Option<&Vec<Value>>, ServiceError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            // A form's list without members.
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(_) => Err(mistyped(name, "a list")),
        }
    }

    pub(crate) fn object(&self, name: &str) -> Result<Option<Input>, ServiceError> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(Input(members.clone()))),
            Some(_) => Err(mistyped(name, "a structure")),
        }
    }

    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Input>, ServiceError> {
        let list = self.list(name)?.map(Vec::as_slice).unwrap_or_default();
        let objects = list.iter().map(|it| it.as_object().cloned().map(Input));
        let objects: Option<Vec<Input>> = objects.collect();
        objects.ok_or_else(|| mistyped(name, "a list of structures"))
    }

    /// Whether a member with an identifier contains `text`. Values of secrets are not searched.
    pub(crate) fn mention(&self, text: &str) -> bool {
        let identifiers = self.0.iter().filter(|(name, _)| !name.starts_with("Secret") || *name == "SecretId");
        identifiers.into_iter().any(|(_, value)| value.to_string().contains(text))
    }
}

fn mistyped(name: &str, expected: &str) -> ServiceError {
    ServiceError::new(400, "SerializationException", format!("the member {name} must be {expected}"))
}
