//! The rotation function as Lambda starts it: log → settings → clients → run.

use keywheel::settings::Function;
use keywheel::{process, rotation};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    process::start_log();
    let settings = process::settings(Function::Rotation).inspect_err(|error| tracing::error!(%error, "not started"))?;
    let aws = process::rotation_aws(&settings);
    let (aws, settings) = (&aws, &settings);
    lambda_runtime::run(service_fn(move |LambdaEvent { payload, context }: LambdaEvent<Value>| async move {
        rotation::handle(aws, settings, payload, process::deadline(context.deadline))
            .await
            .inspect_err(process::log_failure)
    }))
    .await
}
