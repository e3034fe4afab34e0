//! `keywheel rehearse --serve`: the model on a loopback port, for the AWS CLI or an SDK.

use std::net::SocketAddr;

use super::Result;
use crate::rehearsal::scenario::{self, ScenarioOptions};

pub(super) fn run(address: SocketAddr, script: &ScenarioOptions) -> Result<()> {
    if !address.ip().is_loopback() {
        return Err(format!(
            "{address} is not a loopback address; the model has no protection, so it is served on loopback only"
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
            "serving {} account(s) on http://{address}\n\
             export AWS_ENDPOINT_URL=http://{address} AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID={} \\\n  \
             AWS_SECRET_ACCESS_KEY={} AWS_SESSION_TOKEN={}\n\
             move the clock: curl -X POST 'http://{address}/_keywheel/clock?advance=86400'",
            cloud.account_ids().len(),
            administrator.access_key_id(),
            administrator.secret_access_key(),
            administrator.session_token().unwrap_or_default(),
        ));
        Ok(crate::model::serve(cloud, listener).await?)
    })
}

/// The credentials are the model's own, good for nothing else.
#[expect(clippy::print_stdout, reason = "this is where the command line speaks")]
fn say(text: &str) {
    println!("{text}");
}
