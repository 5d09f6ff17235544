//! `windlass health`: whether a server is ready, for whatever restarts it or sends it requests.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::Uri;
use clap::Args;
use http_body_util::{BodyExt, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;

use crate::fault::{Exit, Fault};
use crate::output::Output;

/// As much of an answer as is read: a server's own are shorter.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The longest wait for an answer that may be asked for.
const TIMEOUT_S_MAX: u64 = 300;

const EXAMPLES: &str = "\
Examples:
  windlass health
  windlass health https://queue.example.com --timeout 2
";

/// Ask a server whether it is ready: its store answers, and it does not shut down
///
/// Exit code 0 when it is, 1 when it says no, 5 when nobody answers in time. It needs no token. Over https the server shows a
/// certificate that this system believes, or one of the file that SSL_CERT_FILE names.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct HealthArgs {
    /// The server
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:7979")]
    url: String,
    /// How long it may take, in seconds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_S_MAX))]
    timeout: u64,
}

/// An error with what lies behind it, which is the part that helps.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut behind = error.source();
    while let Some(why) = behind {
        words = format!("{words}: {why}");
        behind = why.source();
    }
    words
}

#[derive(Serialize)]
struct Healthy<'a> {
    url: &'a str,
    ready: bool,
    ms: u128,
}

/// Runs the command.
pub(crate) async fn run(out: &Output, args: HealthArgs) -> Result<(), Fault> {
    let begun = Instant::now();
    let url = args.url.trim_end_matches('/');
    let uri: Uri = format!("{url}/readyz").parse().map_err(|why| Fault::usage(format!("{url}: {why}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(Fault::usage(format!(
            "{url} is no address of a server; one begins with http:// or https://"
        )));
    }
    let nobody = |why: String| Fault::new(Exit::Unreachable, "unreachable", format!("{url}: {why}"));
    let ask = async {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|why| Fault::failed(format!("the certificates of this system cannot be read: {why}")))?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build::<_, Body>(connector);
        let answer = client.get(uri).await.map_err(|why| nobody(words(&why)))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        Ok::<_, Fault>((head.status, body.map(|body| body.to_bytes()).unwrap_or_else(|_| Bytes::new())))
    };
    let limit = Duration::from_secs(args.timeout);
    let (status, body) = tokio::time::timeout(limit, ask)
        .await
        .unwrap_or_else(|_| Err(nobody(format!("no answer within {} s", args.timeout))))?;
    if !status.is_success() {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let why = problem["detail"].as_str().unwrap_or("no reason given");
        return Err(Fault::new(Exit::Failed, "not_ready", format!("{url} is not ready: {status}, {why}")));
    }
    let ms = begun.elapsed().as_millis();
    out.done(&Healthy { url, ready: true, ms }, &format!("{url} is ready"), &[url, "ready"])
}
