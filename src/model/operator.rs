//! Operations on secrets by a person with all rights. They are not recorded as calls, and no fault hits them.

use serde_json::Value;

use super::answer::Reply;
use super::cloud::Cloud;
use super::exchange::Exchange;
use super::request::Input;
use super::secretsmanager;
use super::signature::{Caller, CallerKind};

/// The name of the role of a person with all rights: the policy of every KMS key admits it.
pub(crate) const OPERATOR: &str = "operator";

impl Cloud {
    /// Carries out an operation of Secrets Manager in `account`.
    ///
    /// # Errors
    /// Returns the service's error code and message.
    pub fn operate(&self, account: &str, operation: &str, input: Value) -> Result<Value, String> {
        let mut world = self.world();
        let caller = Caller {
            account: account.to_owned(),
            arn: format!("arn:{}:sts::{account}:assumed-role/{OPERATOR}/person", world.partition),
            user_id: format!("AROAOPERATOROPERATOR:{OPERATOR}"),
            kind: CallerKind::Role { name: OPERATOR.to_owned() },
        };
        let (now, region) = (self.clock().now(), world.region.clone());
        let resource = "*".to_owned();
        let mut exchange = Exchange { world: &mut world, caller: &caller, now, region, resource, beside: Vec::new() };
        match secretsmanager::handle(&mut exchange, operation, &Input::of_value(input)) {
            Ok(Reply::Json(answer)) => Ok(answer),
            Ok(_) => Ok(Value::Null),
            Err(refusal) => Err(format!("{}: {}", refusal.code, refusal.message)),
        }
    }
}
