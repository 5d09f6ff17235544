//! Connections, made by the guard: to an address that it has looked at, or not at all.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::guard::{Guard, NoWay};

/// How long one address may take to answer, before the next one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Resolves, looks and connects.
#[derive(Clone)]
pub(crate) struct Guarded(pub(crate) Guard);

type Unmade = Box<dyn Error + Send + Sync>;

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = Unmade;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unmade>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unmade>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guard = self.0.clone();
        Box::pin(async move {
            let tls = uri.scheme() == Some(&Scheme::HTTPS);
            let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
            let host = uri.host().unwrap_or_default();
            let ways = guard.ways(host, port, tls).await.map_err(|why: NoWay| Box::new(why) as Unmade)?;
            Ok(TokioIo::new(first(&ways).await?))
        })
    }
}

/// A connection to the first of them that answers.
async fn first(ways: &[SocketAddr]) -> Result<TcpStream, Unmade> {
    let mut last = Unmade::from("there is no address");
    for way in ways {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(way)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(why)) => last = format!("{way}: {why}").into(),
            Err(_) => last = format!("{way}: no answer within {CONNECT_TIMEOUT:?}").into(),
        }
    }
    Err(last)
}
