//! Listening: connections with bounds on their number, their headers and their idle time, and an end in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::app::Drain;
use crate::caller::{OverTls, Peer};
use crate::tls::Tls;

/// Connections at once, on all listeners of a call: a worker holds two or three, and each costs some tens of kilobytes.
const CONNECTIONS_MOST: usize = 4_096;
/// How long a connection may stay without a whole request, between two of them as well.
const HEADERS_WITHIN: Duration = Duration::from_secs(75);
/// Bytes of a request's line and headers; more is answered 431. Cookies of other programs on the same host and the traces
/// of proxies fit in.
const HEADER_BYTES_MOST: usize = 64 << 10;
/// Bytes that a connection holds of what it reads and of what it writes.
const BUFFER_BYTES_MOST: usize = 128 << 10;
/// How long running requests may take to finish once the server comes to its end.
const FINISH_WITHIN: Duration = Duration::from_secs(20);
/// How much longer what the server does by itself may take: what was finished in time is still to be told to the store.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);
/// After an accept that failed: the process has no more files, most likely, and trying at once would only burn the processor.
const BREATHE: Duration = Duration::from_millis(100);

/// Where a server listens.
#[derive(Debug)]
pub enum Listen {
    /// An address of the network.
    Tcp(TcpListener),
    /// The same over TLS.
    Tls(TcpListener, Arc<Tls>),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// Answers at all of these places until the drain begins, then lets running requests finish, and what the server does by
/// itself ([`Drain::ended`]).
///
/// # Errors
/// None at present: a connection that fails ends alone.
pub async fn serve(listeners: Vec<(Listen, Router)>, drain: Drain) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MOST));
    let doors =
        listeners.into_iter().map(|(listen, router)| door(listen, router, drain.clone(), room.clone()));
    let own_work = async {
        drain.begun().await;
        if tokio::time::timeout(FINISH_WITHIN + SETTLE_WITHIN, drain.ended()).await.is_err() {
            tracing::warn!("what the server does by itself did not finish in time and is cut off");
        }
    };
    futures_util::future::join(futures_util::future::join_all(doors), own_work).await;
    Ok(())
}

async fn door(listen: Listen, router: Router, drain: Drain, room: Arc<Semaphore>) {
    let graceful = GracefulShutdown::new();
    let tls = match &listen {
        Listen::Tls(_, tls) => {
            tokio::spawn(tls.clone().keep());
            Some(tls.clone())
        }
        Listen::Tcp(_) | Listen::Unix(_) => None,
    };
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = accept(&listen) => accepted,
            () = drain.begun() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (tls, router, watcher) = (tls.clone(), router.clone(), graceful.watcher());
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, router, peer, false, watcher).await,
                        // Whoever shakes hands slowly keeps nobody else waiting.
                        Some(tls) => match tls.shake(stream).await {
                            Ok(stream) => answer(stream, router, peer, true, watcher).await,
                            Err(error) => tracing::debug!(%error, "a connection is no TLS"),
                        },
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(BREATHE).await;
            }
        }
    }
    drop(listen);
    if tokio::time::timeout(FINISH_WITHIN, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut off");
    }
}

/// Answers the requests of one connection, each of which knows where it comes from.
async fn answer(stream: Connection, router: Router, peer: Peer, is_tls: bool, watcher: Watcher) {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_header_size(HEADER_BYTES_MOST)
        .max_buf_size(BUFFER_BYTES_MOST);
    let router = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        if is_tls {
            request.extensions_mut().insert(OverTls);
        }
        router.call(request)
    });
    if let Err(error) = watcher.watch(http.serve_connection(TokioIo::new(stream), service)).await {
        tracing::debug!(%error, "a connection ended");
    }
}

/// A connection of any kind.
pub(crate) type Connection = Box<dyn Stream>;
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn accept(listen: &Listen) -> io::Result<(Connection, Peer)> {
    Ok(match listen {
        Listen::Tcp(listener) | Listen::Tls(listener, _) => {
            let (stream, address) = listener.accept().await?;
            // Answers are small and somebody waits for each.
            stream.set_nodelay(true)?;
            (Box::new(stream), Peer::Address(address.ip()))
        }
        Listen::Unix(listener) => (Box::new(listener.accept().await?.0), Peer::Socket),
    })
}
