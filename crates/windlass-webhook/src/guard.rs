//! What a target may reach, looked at for every connection.
//!
//! A host is resolved once for a connection; every address that came is looked at, and the connection goes to one of
//! exactly these. So a name that resolves to something else the next moment (DNS rebinding) gains nothing, and neither
//! does one that resolves to a public address beside a private one.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use crate::address;
use crate::allow::Allowed;
use crate::target::TargetUrl;

/// The ports of a public host that a target may name. Others would make the server knock at doors of strangers; an
/// operator who wants one allows the host with it.
const PORTS: [u16; 2] = [443, 8443];
/// Addresses of one host that are looked at and tried: more is no service's name.
const ADDRESSES_MAX: usize = 64;

/// What names resolve to. A test can lie.
pub trait Resolve: Send + Sync + 'static {
    /// Every address of that host.
    fn resolve(&self, host: String) -> Resolving;
}

/// A resolution that goes on.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The system's resolver.
struct System;

impl Resolve for System {
    fn resolve(&self, host: String) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Decides what targets may reach: `https` at a public address and an ordinary port, and what the operator allows.
#[derive(Clone)]
pub struct Guard {
    allowed: Arc<[Allowed]>,
    resolver: Arc<dyn Resolve>,
}

/// Why there is no way to a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// It may not be reached, as things are.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Its host has no address now.
    #[error("{host} has no address: {cause}")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        cause: String,
    },
}

/// What may not be reached, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Without TLS.
    #[error("{host} would be reached without TLS: only https is")]
    Scheme {
        /// The host.
        host: String,
    },
    /// At a port that is none of the web's.
    #[error("port {port} of {host} is none of {PORTS:?}")]
    Port {
        /// The host.
        host: String,
        /// Its port.
        port: u16,
    },
    /// At an address that is not public.
    #[error("{host} is at {ip}, which is {what}")]
    Address {
        /// The host.
        host: String,
        /// The address that it resolved to.
        ip: IpAddr,
        /// What that address is.
        what: &'static str,
    },
}

impl Default for Guard {
    /// Only what is public.
    fn default() -> Self {
        Self::new([])
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl Guard {
    /// What is public, and what is allowed beside it.
    pub fn new(allowed: impl IntoIterator<Item = Allowed>) -> Self {
        Self { allowed: allowed.into_iter().collect(), resolver: Arc::new(System) }
    }

    /// The same with names resolved by that.
    pub fn resolving_by(self, resolver: impl Resolve) -> Self {
        Self { resolver: Arc::new(resolver), ..self }
    }

    /// Whether the target may be reached now. A connection is decided on for itself: this is for whoever sets a target
    /// and wants to be told at once.
    ///
    /// # Errors
    /// It may not be reached, or its host has no address.
    pub async fn check(&self, url: &TargetUrl) -> Result<(), NoWay> {
        let (host, port, tls) = (url.host(), url.port(), url.is_tls());
        let found = self.ways(host, port, tls).await;
        if matches!(found, Err(NoWay::Unresolved { .. }))
            && !self.allowed.iter().any(|allowed| allowed.may_open(host, port))
        {
            // Whatever it will resolve to, nothing opens it.
            ordinary(host, port, tls)?;
        }
        found.map(drop)
    }

    /// Every address by which the host may be reached: all that it has.
    ///
    /// # Errors
    /// One of them may not be reached, or there is none.
    pub(crate) async fn ways(&self, host: &str, port: u16, tls: bool) -> Result<Vec<SocketAddr>, NoWay> {
        // A name with a dot at its end is the same name, and an address in brackets the same address.
        let host = host.strip_suffix('.').unwrap_or(host);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let unresolved = |cause: String| NoWay::Unresolved { host: host.to_owned(), cause };
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => vec![ip],
            Err(_) => {
                self.resolver.resolve(host.to_owned()).await.map_err(|error| unresolved(error.to_string()))?
            }
        };
        if found.is_empty() || found.len() > ADDRESSES_MAX {
            return Err(unresolved(format!("{} addresses came", found.len())));
        }
        let mut ways = Vec::with_capacity(found.len());
        for ip in found.into_iter().map(address::meant) {
            self.admit(host, ip, port, tls)?;
            ways.push(SocketAddr::new(ip, port));
        }
        Ok(ways)
    }

    fn admit(&self, host: &str, ip: IpAddr, port: u16, tls: bool) -> Result<(), Forbidden> {
        if self.allowed.iter().any(|allowed| allowed.opens(host, ip, port)) {
            return Ok(());
        }
        // The address first: who reads "only https" would otherwise come back with an address that is closed as well.
        if let Some(what) = address::closed(ip) {
            return Err(Forbidden::Address { host: host.to_owned(), ip, what });
        }
        ordinary(host, port, tls)
    }
}

/// What is asked of every public host.
fn ordinary(host: &str, port: u16, tls: bool) -> Result<(), Forbidden> {
    if !tls {
        return Err(Forbidden::Scheme { host: host.to_owned() });
    }
    if !PORTS.contains(&port) {
        return Err(Forbidden::Port { host: host.to_owned(), port });
    }
    Ok(())
}
