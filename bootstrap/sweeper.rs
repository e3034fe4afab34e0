//! The sweeper as Lambda starts it: log → settings → templates → clients → run.

use keywheel::notify::Templates;
use keywheel::settings::Function;
use keywheel::{process, sweep};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    process::start_log();
    let settings = process::settings(Function::Sweeper).inspect_err(|error| tracing::error!(%error, "not started"))?;
    let templates =
        Templates::load(&settings, process::template).inspect_err(|error| tracing::error!(%error, "not started"))?;
    let aws = process::sweeper_aws(&settings);
    let (aws, settings, templates) = (&aws, &settings, &templates);
    lambda_runtime::run(service_fn(move |LambdaEvent { payload, context }: LambdaEvent<Value>| async move {
        sweep::handle(aws, settings, templates, payload, process::deadline(context.deadline))
            .await
            .inspect_err(process::log_failure)
    }))
    .await
}
