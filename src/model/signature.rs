//! Finds the caller of a request: looks its key up, and checks the key's state and the signature.

use std::fmt::Write as _;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use chrono::{DateTime, NaiveDateTime, Utc};

use super::answer::ServiceError;
use super::request::{Authorization, WireRequest};
use super::service::Service;
use super::state::World;

/// The user or role session that sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) account: String,
    pub(crate) arn: String,
    /// AIDA… for a user, AROA…:session for a role.
    pub(crate) user_id: String,
    pub(crate) kind: CallerKind,
}

#[derive(Clone, Debug)]
pub(crate) enum CallerKind {
    User { name: String },
    Role { name: String },
}

impl Caller {
    pub(crate) fn is_role(&self) -> bool {
        matches!(self.kind, CallerKind::Role { .. })
    }

    /// The ARN of the user or the role, which policies name.
    pub(crate) fn identity(&self, world: &World) -> String {
        match &self.kind {
            CallerKind::Role { name } => world.role_arn(&self.account, name),
            CallerKind::User { .. } => self.arn.clone(),
        }
    }
}

/// The proof that a caller has the key that it names.
#[derive(Clone, Copy)]
pub(crate) enum Proof<'a> {
    /// An HTTP request and its parsed `Authorization` header. The model computes the signature again and compares.
    Signed(&'a WireRequest, &'a Authorization),
    /// The credentials themselves, from a caller that calls the model directly, and the Region if it is not the model's
    /// own.
    Shown(&'a Credentials, Option<&'a str>),
}

impl Proof<'_> {
    pub(crate) fn access_key_id(&self) -> &str {
        match self {
            Self::Signed(_, authorization) => &authorization.access_key_id,
            Self::Shown(credentials, _) => credentials.access_key_id(),
        }
    }

    pub(crate) fn session_token(&self) -> Option<&str> {
        match self {
            Self::Signed(wire, _) => wire.header("x-amz-security-token"),
            Self::Shown(credentials, _) => credentials.session_token(),
        }
    }

    pub(crate) fn region<'r>(&'r self, world: &'r World) -> &'r str {
        match self {
            Self::Signed(_, authorization) => &authorization.region,
            Self::Shown(_, region) => region.unwrap_or(&world.region),
        }
    }

    fn check(&self, secret: &str, service: Service) -> Result<(), ServiceError> {
        match self {
            Self::Signed(wire, authorization) => check_signature(wire, authorization, secret, service),
            Self::Shown(credentials, _) if credentials.secret_access_key() == secret => Ok(()),
            Self::Shown(..) => Err(mismatch(service)),
        }
    }
}

/// Returns the caller, or the service's own error.
pub(crate) fn authenticate(
    world: &mut World,
    proof: Proof<'_>,
    service: Service,
    now: DateTime<Utc>,
) -> Result<Caller, ServiceError> {
    if let Proof::Signed(_, authorization) = proof {
        check_region(world, authorization, service)?;
    }
    if world.sessions.contains_key(proof.access_key_id()) {
        session_caller(world, proof, service, now)
    } else {
        key_caller(world, proof, service, now)
    }
}

/// Fails if the service has no endpoint in the call's region. IAM and Organizations are in the partition's own region,
/// STS and SES in every region, and the others in the model's.
fn check_region(world: &World, authorization: &Authorization, service: Service) -> Result<(), ServiceError> {
    let expected = match service {
        Service::Organizations if world.partition == "aws-cn" => "cn-northwest-1",
        Service::Iam | Service::Organizations => world.global_region(),
        Service::Sts | Service::Ses => return Ok(()),
        Service::SecretsManager | Service::Sns => world.region.as_str(),
    };
    if authorization.region == expected {
        return Ok(());
    }
    let message = format!("Credential should be scoped to a valid region: {}, not {}", expected, authorization.region);
    Err(bad_signature(service, message))
}

fn session_caller(
    world: &World,
    proof: Proof<'_>,
    service: Service,
    now: DateTime<Utc>,
) -> Result<Caller, ServiceError> {
    let Some(session) = world.sessions.get(proof.access_key_id()) else {
        return Err(unknown_key(service));
    };
    if proof.session_token() != Some(session.token.as_str()) {
        return Err(unknown_key(service));
    }
    proof.check(&session.secret, service)?;
    if session.expires.is_some_and(|expires| expires <= now) {
        return Err(expired(service));
    }
    let account = world.accounts.get(&session.account);
    let Some(role) = account.and_then(|it| it.roles.get(&session.role)) else {
        return Err(unknown_key(service));
    };
    let (partition, account, name) = (&world.partition, &session.account, &session.name);
    Ok(Caller {
        account: account.clone(),
        arn: format!("arn:{partition}:sts::{account}:assumed-role/{}/{name}", role.name),
        user_id: format!("{}:{name}", role.id),
        kind: CallerKind::Role { name: role.name.clone() },
    })
}

fn key_caller(
    world: &mut World,
    proof: Proof<'_>,
    service: Service,
    now: DateTime<Utc>,
) -> Result<Caller, ServiceError> {
    let id = proof.access_key_id();
    let region = proof.region(world).to_owned();
    let Some((account, name)) = world.key_owners.get(id).cloned() else {
        return Err(unknown_key(service));
    };
    // IAM does not hand the keys of an account to a Region that the account has not enabled.
    let user = world.accounts.get_mut(&account).filter(|it| !it.regions_off.contains(&region));
    let Some(user) = user.and_then(|it| it.user_mut(&name)) else {
        return Err(unknown_key(service));
    };
    let user_id = user.id.clone();
    let key = user.keys.iter_mut().find(|key| key.id == id);
    let Some(key) = key.filter(|key| key.accepted_at(now, service == Service::Sts)) else {
        return Err(unknown_key(service));
    };
    proof.check(&key.secret, service)?;
    key.note_use(service.name(), &region, now);
    let arn = world.accounts[&account].user(&name).map(|user| world.user_arn(&account, user));
    Ok(Caller { account, arn: arn.unwrap_or_default(), user_id, kind: CallerKind::User { name } })
}

/// Signs the request again with the key that the model knows and compares.
fn check_signature(
    wire: &WireRequest,
    authorization: &Authorization,
    secret: &str,
    service: Service,
) -> Result<(), ServiceError> {
    match expected_signature(wire, authorization, secret) {
        Some(expected) if expected == authorization.signature => Ok(()),
        _ => Err(mismatch(service)),
    }
}

fn mismatch(service: Service) -> ServiceError {
    let message = "The request signature we calculated does not match the signature you provided. \
                   Check your AWS Secret Access Key and signing method.";
    bad_signature(service, message.to_owned())
}

fn expected_signature(wire: &WireRequest, authorization: &Authorization, secret: &str) -> Option<String> {
    let time = signing_time(wire.header("x-amz-date")?)?;
    let identity = Credentials::new(&authorization.access_key_id, secret, None, None, "rehearsal").into();
    let mut settings = SigningSettings::default();
    // Sign exactly the headers that the caller signed.
    settings.excluded_headers = None;
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(&authorization.region)
        .name(&authorization.service)
        .time(time)
        .settings(settings)
        .build()
        .ok()?
        .into();
    let signed = |name: &str| authorization.signed_headers.iter().any(|it| it == name);
    let headers = wire.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = headers.filter(|(name, _)| signed(name) && !matches!(*name, "x-amz-date" | "host"));
    let headers = headers.chain(std::iter::once(("host", wire.host.as_str())));
    let mut url = String::new();
    write!(url, "https://{}{}", wire.host, wire.path).ok()?;
    let request = SignableRequest::new(&wire.method, url, headers, SignableBody::Bytes(&wire.body)).ok()?;
    Some(sign(request, &parameters).ok()?.signature().to_owned())
}

fn signing_time(text: &str) -> Option<SystemTime> {
    let time = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%SZ").ok()?;
    Some(time.and_utc().into())
}

fn unknown_key(service: Service) -> ServiceError {
    let (status, code) = match service {
        Service::Iam | Service::Sts | Service::Sns => (403, "InvalidClientTokenId"),
        Service::Ses => (403, "UnrecognizedClientException"),
        _ => (400, "UnrecognizedClientException"),
    };
    ServiceError::new(status, code, "The security token included in the request is invalid.")
}

fn expired(service: Service) -> ServiceError {
    let (status, code) = match service {
        Service::Iam | Service::Sts | Service::Sns => (403, "ExpiredToken"),
        Service::Ses => (403, "ExpiredTokenException"),
        _ => (400, "ExpiredTokenException"),
    };
    ServiceError::new(status, code, "The security token included in the request is expired")
}

fn bad_signature(service: Service, message: String) -> ServiceError {
    match service {
        Service::Iam | Service::Sts | Service::Sns => ServiceError::new(403, "SignatureDoesNotMatch", message),
        Service::Ses => ServiceError::new(403, "InvalidSignatureException", message),
        _ => ServiceError::new(400, "InvalidSignatureException", message),
    }
}
