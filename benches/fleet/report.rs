//! The credential report through the SDK: as keywheel reads it, and as the SDK hands it over. The answer is made while it
//! is sent, so that nothing of it is in memory but what the reader keeps.

use std::fmt;

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use keywheel::aws::{Access, Aws};
use keywheel::model::{Clock, Cloud};
use keywheel::rehearsal::PRIMARY_ACCOUNT;

use super::{HEAP, print};

/// How many users a piece of the answer tells of: some kilobytes, as a connection brings them.
const USERS_A_PIECE: usize = 48;

pub(crate) async fn compare(sizes: &[usize]) {
    print(&format!(
        "\nA credential report, through the SDK\n{:>9} {:>14} {:>22} {:>22}",
        "users", "report", "peak, as it arrives", "peak, by the SDK alone"
    ));
    for users in sizes {
        let ours = peak(read_as_it_arrives(*users)).await;
        let whole = peak(read_as_a_whole(*users)).await;
        print(&format!(
            "{users:>9} {:>14} {:>22} {:>22}",
            bytes(lines(*users).map(|line| line.len()).sum()),
            bytes(ours),
            bytes(whole)
        ));
    }
}

fn bytes(bytes: usize) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

async fn peak(run: impl Future<Output = ()>) -> usize {
    let held = HEAP.current_usage();
    HEAP.reset_peak_usage();
    run.await;
    HEAP.peak_usage().saturating_sub(held)
}

async fn read_as_it_arrives(users: usize) {
    let access = Access {
        primary_account: PRIMARY_ACCOUNT.parse().expect("an account"),
        member_role: "member".to_owned(),
        session_name: "benchmark".to_owned(),
        org_list_role_arn: None,
    };
    let account = access.primary_account.clone();
    let iam = Aws::new(config(users), access).iam(&account, "aws").await.expect("the own account");
    let report = iam.credential_report().await.expect("a report").expect("there is one");
    assert_eq!(report.content.users().count(), users);
}

async fn read_as_a_whole(users: usize) {
    let iam = aws_sdk_iam::Client::new(&config(users));
    let report = iam.get_credential_report().send().await.expect("a report");
    assert!(report.content.expect("content").as_ref().len() > users * 100);
}

fn config(users: usize) -> SdkConfig {
    let cloud = Cloud::new(Clock::starting_at("2026-01-01T06:00:00Z".parse().expect("a time")), 1);
    cloud.add_account(PRIMARY_ACCOUNT, "security", None);
    cloud.sdk_config(PRIMARY_ACCOUNT, "sweeper").into_builder().http_client(server(users)).build()
}

fn server(users: usize) -> SharedHttpClient {
    http_client_fn(move |_, _| SharedHttpConnector::new(Server { users }))
}

struct Server {
    users: usize,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl HttpConnector for Server {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let opening = "<GetCredentialReportResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
            <GetCredentialReportResult><Content>";
        let closing = "</Content><GeneratedTime>2026-01-01T05:00:00Z</GeneratedTime></GetCredentialReportResult>\
            <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCredentialReportResponse>";
        let pieces = [opening.to_owned()].into_iter().chain(encoded(self.users)).chain([closing.to_owned()]);
        let frames = pieces.map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from(piece))));
        let body = SdkBody::from_body_1_x(StreamBody::new(stream::iter(frames)));
        let response =
            http::Response::builder().status(200).body(body).map_err(|error| ConnectorError::other(error.into(), None));
        HttpConnectorFuture::ready(response.and_then(|response| {
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        }))
    }
}

/// Pieces of base64.
fn encoded(users: usize) -> impl Iterator<Item = String> + Send + Sync {
    let mut lines = lines(users);
    let mut rest = Vec::new();
    std::iter::from_fn(move || {
        rest.extend(lines.by_ref().take(USERS_A_PIECE).flat_map(String::into_bytes));
        let is_last = lines.size_hint().1 == Some(0);
        let end = if is_last { rest.len() } else { rest.len() / 3 * 3 };
        let piece: Vec<u8> = rest.drain(..end).collect();
        (!piece.is_empty()).then(|| base64::encode(piece))
    })
}

/// Each user has one key, which was used.
fn lines(users: usize) -> impl Iterator<Item = String> + Send + Sync {
    let header = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,\
        password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,\
        access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,\
        access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,\
        cert_1_last_rotated,cert_2_active,cert_2_last_rotated\n";
    let line = |n: usize| {
        format!(
            "user-{n:06},arn:aws:iam::{PRIMARY_ACCOUNT}:user/user-{n:06},2024-05-06T07:08:09+00:00,false,N/A,N/A,N/A,false,\
             true,2025-12-02T03:04:05+00:00,2025-12-31T05:06:00+00:00,eu-west-1,s3,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A\n"
        )
    };
    std::iter::once(header.to_owned()).chain((0..users).map(line))
}
