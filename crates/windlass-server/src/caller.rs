//! Who asks, and from where.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

use windlass_core::{QueueName, Rejection};

use crate::keys::ring::Held;
use crate::keys::scopes::Scopes;
use crate::routes::Scope;

/// Which end of a connection asks, as the listener saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// An address of the network.
    Address(IpAddr),
    /// Whoever may open the owner's socket.
    Socket,
}

/// Where a request comes from; none where this server was not told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    peer: Option<Peer>,
    /// Whether the connection itself is TLS.
    pub(crate) is_tls: bool,
}

/// The mark of a connection that is TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverTls;

impl Origin {
    /// Where that request comes from. Behind a proxy it is whoever the proxy says it had the request from: the last
    /// entry of `X-Forwarded-For`, since those before it are said by whoever asked.
    pub(crate) fn of(request: &Parts, behind_proxy: bool) -> Self {
        let extensions = &request.extensions;
        let told = behind_proxy.then(|| forwarded(&request.headers)).flatten();
        let peer = told.map(Peer::Address).or_else(|| peer(extensions));
        Self { peer, is_tls: extensions.get::<OverTls>().is_some() }
    }

    /// The address, where there is one.
    pub(crate) fn address(self) -> Option<IpAddr> {
        match self.peer {
            Some(Peer::Address(address)) => Some(address.to_canonical()),
            _ => None,
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.peer {
            Some(Peer::Address(address)) => write!(f, "{}", address.to_canonical()),
            Some(Peer::Socket) => f.write_str("socket"),
            None => f.write_str("-"),
        }
    }
}

fn peer(extensions: &Extensions) -> Option<Peer> {
    let connected = || extensions.get::<ConnectInfo<SocketAddr>>().map(|info| Peer::Address(info.0.ip()));
    extensions.get::<Peer>().copied().or_else(connected)
}

fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").into_iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Whether that is a context of version 00, <https://www.w3.org/TR/trace-context/>: version, trace, span, flags.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, digits| {
        part.len() == digits && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &str, digits| is_hex(part, digits) && part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], ["00", trace, span, flags] if is_id(trace, 32) && is_id(span, 16) && is_hex(flags, 2))
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// The server itself, for what it does by itself.
    Server,
    /// Somebody who has shown nothing: what is open to all, and no queue.
    Nobody,
    /// Whoever reaches a server that asks nobody.
    Anyone,
    /// The token that the server was started with.
    Root,
    /// A key.
    Key(Arc<Held>),
}

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) who: Who,
    pub(crate) origin: Origin,
    /// The trace that the request belongs to, as W3C `traceparent` says it.
    pub(crate) trace: Option<String>,
}

impl Caller {
    pub(crate) fn new(who: Who, origin: Origin) -> Self {
        Self { who, origin, trace: None }
    }

    /// The same in the trace that the request names.
    pub(crate) fn traced_by(mut self, headers: &HeaderMap) -> Self {
        let said = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        self.trace = said.filter(|text| is_traceparent(text)).map(str::to_owned);
        self
    }

    /// The server itself.
    pub(crate) fn server() -> Self {
        Self::new(Who::Server, Origin::default())
    }

    /// Whether there is anybody at all.
    pub(crate) fn is_known(&self) -> bool {
        !matches!(self.who, Who::Nobody)
    }

    fn scopes(&self) -> Scopes {
        match &self.who {
            Who::Server | Who::Anyone | Who::Root => Scopes::EVERY,
            Who::Nobody => Scopes::default(),
            Who::Key(held) => held.key.scopes,
        }
    }

    /// Whether this caller may do that.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes().has(scope)
    }

    /// The queues that this caller is limited to; none for all.
    pub(crate) fn queues(&self) -> Option<&[String]> {
        match &self.who {
            Who::Key(held) if held.key.fence.is_limited() => Some(held.key.fence.patterns()),
            _ => None,
        }
    }

    /// Refuses a queue that lies beyond those that this caller is limited to, for what the server itself keeps of queues.
    ///
    /// # Errors
    /// It does.
    pub(crate) fn sees(&self, queue: &QueueName) -> Result<(), Rejection> {
        match &self.who {
            Who::Key(held) if !held.key.fence.has(queue) => {
                let own = held.key.fence.patterns().join(", ");
                let what = format!("{self} is limited to the queues {own}; {queue} is none of them");
                Err(Rejection::Forbidden { what })
            }
            _ => Ok(()),
        }
    }

    /// Refuses what belongs to all queues to whoever is limited to some.
    ///
    /// # Errors
    /// This caller is limited.
    pub(crate) fn whole(&self, what: &str) -> Result<(), Rejection> {
        let Some(queues) = self.queues() else { return Ok(()) };
        let own = queues.join(", ");
        let what = format!("{self} is limited to the queues {own}, and {what} belong to all queues");
        Err(Rejection::Forbidden { what })
    }

    /// What is said to this caller who lacks that scope.
    pub(crate) fn lacks(&self, scope: Scope) -> String {
        let own: Vec<&str> = self.scopes().words().collect();
        format!("{self} has the scopes {}; this takes the scope {}", own.join(", "), scope.as_str())
    }
}

/// As the audit log names them.
impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.who {
            Who::Server => f.write_str("server"),
            Who::Nobody => f.write_str("nobody"),
            Who::Anyone => f.write_str("anyone"),
            Who::Root => f.write_str("root"),
            Who::Key(held) => write!(f, "key:{}", held.key.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_taken_as_the_standard_spells_it_and_in_no_other_way() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, text.parse().expect("a header"));
            Caller::server().traced_by(&headers).trace
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(of(good).as_deref(), Some(good));
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-02",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_address_is_the_connections_unless_a_proxy_is_trusted_to_say_another() {
        let (mut request, ()) = axum::http::Request::new(()).into_parts();
        request.extensions.insert(Peer::Address([10, 0, 0, 1].into()));
        request.headers.append("x-forwarded-for", "1.1.1.1, 2.2.2.2".parse().expect("a header"));
        request.headers.append("x-forwarded-for", "3.3.3.3 , 4.4.4.4".parse().expect("a header"));
        assert_eq!(Origin::of(&request, false).to_string(), "10.0.0.1");
        assert_eq!(Origin::of(&request, true).to_string(), "4.4.4.4");
        request.headers.insert("x-forwarded-for", "nonsense".parse().expect("a header"));
        assert_eq!(Origin::of(&request, true).to_string(), "10.0.0.1");
        let (bare, ()) = axum::http::Request::new(()).into_parts();
        assert_eq!(Origin::of(&bare, true).to_string(), "-");
    }
}
