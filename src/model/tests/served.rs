//! The model behind a socket: the real HTTP client and a shifted clock.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::serve;

/// Sends a request as plain text. Returns the whole response.
async fn raw(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[tokio::test]
async fn the_sdk_reaches_the_model_over_http() {
    let cloud = Cloud::new(Clock::shifted(), 1);
    cloud.add_account(CENTRAL, "central", None);
    cloud.add_user(CENTRAL, "bot", "/");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(serve(cloud.clone(), listener));
    let credentials = cloud.sdk_config(CENTRAL, "execution").credentials_provider().expect("credentials");
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .credentials_provider(credentials)
        .region("us-east-1")
        .endpoint_url(format!("http://{address}"))
        .load()
        .await;
    let iam = aws_sdk_iam::Client::new(&config);
    let users = iam.list_users().send().await.expect("signed and answered");
    assert_eq!(users.users()[0].user_name(), "bot");
    let secrets = aws_sdk_secretsmanager::Client::new(&config);
    secrets.create_secret().name("s").secret_string("x").send().await.expect("created");
    assert_eq!(code(secrets.describe_secret().secret_id("t").send().await), "ResourceNotFoundException");

    let function = "arn:aws:lambda:us-east-1:111122223333:function:rotation";
    let refusing = |_, _| -> BoxFuture<'static, Result<(), String>> { Box::pin(async { Err("not today".to_owned()) }) };
    cloud.set_rotation_function(function, Arc::new(refusing));
    cloud.switch(|it| it.rotation_attempts = 1);
    secrets.rotate_secret().secret_id("s").rotation_lambda_arn(function).send().await.expect("started");
    let ended = || cloud.secret("s").and_then(|it| it.last_rotation);
    let rotation = async {
        while ended().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), rotation).await.expect("the rotation runs by itself");
    assert_eq!(ended(), Some(Err("createSecret: not today".to_owned())));

    let before = cloud.clock().now();
    let move_on =
        "POST /_keywheel/clock?advance=86400 HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert!(raw(address, move_on).await.starts_with("HTTP/1.1 200"));
    assert!(cloud.clock().now() - before >= chrono::TimeDelta::days(1));
    let unsigned = raw(address, "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    assert!(unsigned.starts_with("HTTP/1.1 403") && unsigned.contains("MissingAuthenticationToken"), "{unsigned}");
    server.abort();
    let _ = tokio::time::timeout(Duration::from_secs(5), server).await;
}
