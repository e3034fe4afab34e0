//! `keywheel rehearse --serve`: serves the model to the AWS CLI or an SDK, on a loopback port.

use std::net::SocketAddr;

use super::Result;
use crate::rehearsal::scenario::{self, ScenarioOptions};

pub(super) fn run(address: SocketAddr, script: &ScenarioOptions) -> Result<()> {
    if !address.ip().is_loopback() {
        return Err(format!(
            "{address} is not a loopback address. The model has no protection, so it is served on loopback only"
        )
        .into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (cloud, administrator) = scenario::stage(script)?;
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.map_err(|error| format!("cannot listen on {address}: {error}"))?;
        let address = listener.local_addr()?;
        say(&format!(
            "Serving {} account(s) on http://{address}\n\
             export AWS_ENDPOINT_URL=http://{address} AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID={} \\\n  \
             AWS_SECRET_ACCESS_KEY={} AWS_SESSION_TOKEN={}\n\
             Move the clock by a day: curl -X POST 'http://{address}/_keywheel/clock?advance=86400'",
            cloud.account_ids().len(),
            administrator.access_key_id(),
            administrator.secret_access_key(),
            administrator.session_token().unwrap_or_default(),
        ));
        Ok(crate::model::serve(cloud, listener).await?)
    })
}

/// Prints a text with credentials. They are the model's own and work nowhere else.
#[expect(clippy::print_stdout, reason = "the command line prints its result here")]
fn say(text: &str) {
    println!("{text}");
}
