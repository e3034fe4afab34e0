//! Serves the model on a loopback port, for the AWS CLI, boto3 or an executable.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::cloud::Cloud;
use super::connector::head;
use super::request::WireRequest;

/// The largest request that is read. No request of the modelled services is larger.
const LARGEST_BODY: usize = 12 * 1024 * 1024;

type Response = http::Response<Full<Bytes>>;

/// Serves the model over HTTP/1 until the listener fails. Rotations that calls start run in the background.
/// `POST /_keywheel/clock?advance=<seconds>` moves a shifted clock and starts the rotations that are due;
/// it returns the time.
///
/// # Errors
/// Fails if no more connections can be accepted.
pub async fn serve(cloud: Cloud, listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(cloud.clone(), stream));
    }
}

async fn connection(cloud: Cloud, stream: TcpStream) {
    let service = service_fn(move |request| {
        let cloud = cloud.clone();
        async move { respond(&cloud, request).await }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the model ended early");
    }
}

/// Answers a request. An error makes hyper close the connection without an answer, as a lost answer does.
async fn respond(cloud: &Cloud, request: http::Request<Incoming>) -> io::Result<Response> {
    if request.uri().path() == "/_keywheel/clock" {
        return Ok(clock(cloud, &request).await);
    }
    let wire = read(request).await?;
    let answer = cloud.handle(wire).await.map_err(io::Error::other)?;
    if !cloud.world().rotations.is_empty() {
        let cloud = cloud.clone();
        tokio::spawn(async move { cloud.run_rotations().await });
    }
    let head = head(&answer, cloud.clock().now());
    head.body(Full::from(answer.body)).map_err(io::Error::other)
}

async fn read(request: http::Request<Incoming>) -> io::Result<WireRequest> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_BODY).collect().await.map_err(io::Error::other)?.to_bytes();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter();
    Ok(WireRequest {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
        host: head.headers.get("host").map(text).unwrap_or_default(),
        headers: headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: body.to_vec(),
    })
}

async fn clock(cloud: &Cloud, request: &http::Request<Incoming>) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let advance = query.strip_prefix("advance=").and_then(|it| it.parse().ok());
    let answer = match (request.method(), advance) {
        (&http::Method::POST, Some(seconds)) => {
            cloud.clock().advance(Duration::from_secs(seconds)).await;
            let cloud = cloud.clone();
            tokio::spawn(async move { cloud.fire_due_rotations().await });
            Ok(())
        }
        (&http::Method::GET, None) => Ok(()),
        _ => Err("use POST /_keywheel/clock?advance=<seconds>\n"),
    };
    let mut response = match answer {
        Ok(()) => http::Response::new(Full::from(format!("{}\n", cloud.clock().now().to_rfc3339()))),
        Err(usage) => http::Response::new(Full::from(usage)),
    };
    if answer.is_err() {
        *response.status_mut() = http::StatusCode::BAD_REQUEST;
    }
    response
}
