//! Listening: connections with bounds on their number, their headers and their idle time, and an end in order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use crate::app::Drain;

/// Connections at once, on all listeners of a call: a worker holds two or three, and each costs some tens of kilobytes.
const CONNECTIONS_MOST: usize = 4_096;
/// How long a connection may stay without a whole request, between two of them as well.
const HEADERS_WITHIN: Duration = Duration::from_secs(75);
/// Bytes that are buffered of a request while its line and headers are read; a read may bring some more.
const HEADER_BYTES_MOST: usize = 64 << 10;
/// How long running requests may take to finish once the server comes to its end.
const FINISH_WITHIN: Duration = Duration::from_secs(20);
/// After an accept that failed: the process has no more files, most likely, and trying at once would only burn the processor.
const BREATHE: Duration = Duration::from_millis(100);

/// Where a server listens.
#[derive(Debug)]
pub enum Listen {
    /// An address of the network.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

/// Answers at all of these places until the drain begins, then lets running requests finish.
///
/// # Errors
/// None at present: a connection that fails ends alone.
pub async fn serve(listeners: Vec<(Listen, Router)>, drain: Drain) -> io::Result<()> {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MOST));
    let doors =
        listeners.into_iter().map(|(listen, router)| door(listen, router, drain.clone(), room.clone()));
    futures_util::future::join_all(doors).await;
    Ok(())
}

async fn door(listen: Listen, router: Router, drain: Drain, room: Arc<Semaphore>) {
    let graceful = GracefulShutdown::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = accept(&listen) => accepted,
            () = drain.begun() => break,
        };
        match accepted {
            Ok(stream) => {
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new())
                    .header_read_timeout(HEADERS_WITHIN)
                    .max_buf_size(HEADER_BYTES_MOST);
                let service = TowerToHyperService::new(router.clone());
                let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended");
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

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn accept(listen: &Listen) -> io::Result<Box<dyn Stream>> {
    Ok(match listen {
        Listen::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // Answers are small and somebody waits for each.
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Listen::Unix(listener) => Box::new(listener.accept().await?.0),
    })
}
