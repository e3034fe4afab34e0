//! From a request to its answer: faults, the caller, the service's handler, and the record of the call.

use aws_credential_types::Credentials;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::answer::{self, Reply, ServiceError, ServiceResult, WireResponse};
use super::calls::Call;
use super::cloud::Cloud;
use super::exchange::Exchange;
use super::faults::{FaultKind, IncomingCall, Unreadable};
use super::ids;
use super::request::{self, Input, ServiceRequest, WireRequest};
use super::service::{Operation, Service};
use super::signature::{self, Caller, Proof};
use super::state::World;
use super::{iam, organizations, secretsmanager, ses, sns, sts};

/// The connection broke before the answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection broke before the answer arrived")]
pub(crate) struct Lost;

/// The effects of the injected faults on one call.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "faults that can hit one call together")]
struct FaultEffects {
    refuse: Option<ServiceError>,
    deny: bool,
    echo: bool,
    /// The call is never handled; it is recorded with this code.
    silence: Option<&'static str>,
    after: Option<ServiceError>,
    lost: bool,
    unreadable: Option<Unreadable>,
    next_page: Option<String>,
    stop_after: bool,
}

impl Cloud {
    /// Handles a request as AWS would, with the injected faults.
    pub(crate) async fn handle(&self, wire: WireRequest) -> Result<WireResponse, Lost> {
        let request = match request::parse(&wire) {
            Ok(request) => request,
            Err((operation, refusal)) => return Ok(self.refuse_unread(&operation, refusal)),
        };
        let ServiceRequest { operation, authorization, input } = &request;
        let (outcome, unreadable) = self.answer(Proof::Signed(&wire, authorization), operation, input).await?;
        let request_id = ids::uuid(&mut self.world().rng);
        let written = answer::write(operation, &outcome, &request_id);
        Ok(match unreadable {
            Some(instead) => written.replaced(&instead),
            None => written,
        })
    }

    /// Handles a call by these credentials without a wire, in that Region or the model's own. `operation` reads
    /// `service:Operation`.
    pub(crate) async fn call(
        &self,
        credentials: &Credentials,
        region: Option<&str>,
        operation: &str,
        input: Value,
    ) -> Result<ServiceResult, Lost> {
        let (service, name) = operation.split_once(':').unwrap_or_default();
        let Some(service) = Service::of_scope(service) else {
            return Ok(Err(ServiceError::new(400, "InvalidRequest", format!("no service {service}"))));
        };
        let operation = Operation { service, name: name.to_owned() };
        match self.answer(Proof::Shown(credentials, region), &operation, &Input::of_value(input)).await? {
            (_, Some(_)) => Err(Lost),
            (outcome, None) => Ok(outcome),
        }
    }

    /// Handles a call from either entrance. Returns the outcome, and what arrives instead if it cannot be read.
    async fn answer(
        &self,
        proof: Proof<'_>,
        operation: &Operation,
        input: &Input,
    ) -> Result<(ServiceResult, Option<Unreadable>), Lost> {
        let effects = self.judge(proof, operation, input).await;
        let outcome = self.perform(proof, operation, input, &effects);
        if effects.silence == Some("Stop") || effects.stop_after {
            self.announce_stop();
        }
        if effects.silence.is_some() || effects.stop_after {
            std::future::pending::<()>().await;
        }
        if effects.lost { Err(Lost) } else { Ok((outcome, effects.unreadable)) }
    }

    /// Looks the faults up, and waits for their latency.
    async fn judge(&self, proof: Proof<'_>, operation: &Operation, input: &Input) -> FaultEffects {
        let mut effects = FaultEffects::default();
        for kind in self.hits(proof, operation, input) {
            match kind {
                FaultKind::Latency(wait) => tokio::time::sleep(wait).await,
                FaultKind::Jitter(most) => tokio::time::sleep(most.mul_f64(fastrand::f64())).await,
                FaultKind::ErrorBefore { status, code, message } => {
                    effects.refuse = Some(ServiceError::new(status, &code, message));
                }
                FaultKind::ErrorAfter { status, code, message } => {
                    effects.after = Some(ServiceError::new(status, &code, message));
                }
                FaultKind::Throttle { .. } => {
                    effects.refuse = Some(ServiceError::throttled(operation.service));
                }
                FaultKind::AccessDenied => effects.deny = true,
                FaultKind::Echo => effects.echo = true,
                FaultKind::Hang => effects.silence = Some("Hang"),
                FaultKind::Stop => effects.silence = Some("Stop"),
                FaultKind::LostAnswer => effects.lost = true,
                FaultKind::Unreadable { takes_effect, answer } => {
                    effects.unreadable = Some(answer);
                    if !takes_effect {
                        effects.refuse = Some(ServiceError::new(500, "NotReached", "the call did not arrive"));
                    }
                }
                FaultKind::NextPage(token) => effects.next_page = Some(token),
                FaultKind::StopAfter => effects.stop_after = true,
            }
        }
        effects
    }

    fn hits(&self, proof: Proof<'_>, operation: &Operation, input: &Input) -> Vec<FaultKind> {
        if self.faults().is_empty() {
            return Vec::new();
        }
        let account = self.account_of(proof.access_key_id());
        self.faults().hits(&IncomingCall {
            service: operation.service.name(),
            operation: &operation.name,
            account: &account,
            names: &|text| input.mention(text),
            content: &|| request::content(proof.access_key_id(), operation, input),
        })
    }

    fn account_of(&self, access_key_id: &str) -> String {
        let world = self.world();
        let session = world.sessions.get(access_key_id).map(|it| &it.account);
        let owner = world.key_owners.get(access_key_id).map(|(account, _)| account);
        session.or(owner).cloned().unwrap_or_default()
    }

    /// Lets the call take effect, unless a fault prevents it, and records it.
    fn perform(&self, proof: Proof<'_>, operation: &Operation, input: &Input, effects: &FaultEffects) -> ServiceResult {
        let now = self.clock().now();
        let mut world = self.world();
        let caller = signature::authenticate(&mut world, proof, operation.service, now);
        let (mut outcome, resource, beside) = match &caller {
            Err(refusal) => (Err(refusal.clone()), "*".to_owned(), Vec::new()),
            Ok(_) if effects.silence.is_some() => {
                (Err(ServiceError::new(500, "NoAnswer", "no answer")), "*".to_owned(), Vec::new())
            }
            Ok(caller) => {
                let region = proof.region(&world).to_owned();
                answered(&mut world, caller, (now, region), operation, input, effects)
            }
        };
        world.log_call(|| {
            let error_code = effects.code().or_else(|| outcome.as_ref().err().map(|refusal| refusal.code.clone()));
            Call {
                at: now,
                service: operation.service.name().to_owned(),
                operation: operation.name.clone(),
                caller_arn: caller.as_ref().map(|it| it.arn.clone()).unwrap_or_default(),
                caller_account: caller.as_ref().map(|it| it.account.clone()).unwrap_or_default(),
                resource,
                beside,
                ok: error_code.is_none(),
                error_code,
            }
        });
        if let (Some(token), Ok(reply)) = (&effects.next_page, &mut outcome) {
            reply.name_next_page(token);
        }
        if effects.echo { Err(echo(proof, input, &outcome)) } else { outcome }
    }

    fn refuse_unread(&self, operation: &Operation, refusal: ServiceError) -> WireResponse {
        let mut world = self.world();
        let request_id = ids::uuid(&mut world.rng);
        world.log_call(|| Call {
            at: self.clock().now(),
            service: operation.service.name().to_owned(),
            operation: operation.name.clone(),
            caller_arn: String::new(),
            caller_account: String::new(),
            resource: "*".to_owned(),
            beside: Vec::new(),
            ok: false,
            error_code: Some(refusal.code.clone()),
        });
        answer::write(operation, &Err(refusal), &request_id)
    }
}

/// An error that quotes the whole request and the whole answer.
fn echo(proof: Proof<'_>, input: &Input, outcome: &ServiceResult) -> ServiceError {
    let token = proof.session_token().unwrap_or_default();
    let answer = match outcome {
        Ok(Reply::Json(value)) => value.to_string(),
        Ok(Reply::Xml(xml)) => xml.written(),
        Ok(Reply::Empty) => String::new(),
        Err(refusal) => refusal.message.clone(),
    };
    let message = format!(
        "1 validation error detected: Value '{}' failed to satisfy constraint. The Canonical String for this request \
         should have been\n'POST\n/\n\nx-amz-security-token:{token}\n'. {answer}",
        input.text_of_all()
    );
    ServiceError::new(400, "ValidationException", message)
}

impl FaultEffects {
    /// The code that is recorded if a fault suppresses the answer.
    fn code(&self) -> Option<String> {
        let lost = self.lost || self.unreadable.is_some();
        let taken = match (self.silence, lost, self.stop_after) {
            (Some(code), _, _) => Some(code),
            (None, true, _) => Some("LostAnswer"),
            (None, false, true) => Some("StopAfter"),
            (None, false, false) => self.echo.then_some("ValidationException"),
        };
        taken.map(ToOwned::to_owned)
    }
}

/// The result as the caller gets it, the call's resource, and the further resources.
fn answered(
    world: &mut World,
    caller: &Caller,
    (now, region): (DateTime<Utc>, String),
    operation: &Operation,
    input: &Input,
    effects: &FaultEffects,
) -> (ServiceResult, String, Vec<String>) {
    let mut exchange = Exchange { world, caller, now, region, resource: "*".to_owned(), beside: Vec::new() };
    if let Some(refusal) = &effects.refuse {
        return (Err(refusal.clone()), exchange.resource, exchange.beside);
    }
    if effects.deny {
        let action = format!("{}:{}", operation.service.name(), operation.name);
        let denied = ServiceError::access_denied(operation.service, &caller.arn, &action, "*");
        return (Err(denied), exchange.resource, exchange.beside);
    }
    let outcome = dispatch(&mut exchange, operation, input);
    let outcome = match &effects.after {
        Some(refusal) => Err(refusal.clone()),
        None => outcome,
    };
    (outcome, exchange.resource, exchange.beside)
}

fn dispatch(exchange: &mut Exchange<'_>, operation: &Operation, input: &Input) -> ServiceResult {
    let name = operation.name.as_str();
    match operation.service {
        Service::Iam => iam::handle(exchange, name, input),
        Service::Sts => sts::handle(exchange, name, input),
        Service::SecretsManager => secretsmanager::handle(exchange, name, input),
        Service::Organizations => organizations::handle(exchange, name, input),
        Service::Ses => ses::handle(exchange, name, input),
        Service::Sns => sns::handle(exchange, name, input),
    }
}
