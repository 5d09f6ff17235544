//! What an operator opens of what is closed: networks, addresses and names.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// One thing that targets may reach although it is not public, at any port or at one, also without TLS.
///
/// Written `10.0.0.0/8`, `192.168.1.7`, `::1`, `localhost`, `hooks.internal`, `*.svc.cluster.local`; with a port
/// `localhost:8080`, `10.0.0.0/8:443`, `[fd00::/8]:443`. A name opens whatever it resolves to, so it should be one that
/// the operator rules over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    what: What,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Net(IpNet),
    Name(String),
    /// With its dot at the front.
    Below(String),
}

/// A text that opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network (10.0.0.0/8), address or name that could be allowed")]
pub struct BadAllowed(String);

impl Allowed {
    /// Whether it opens that address, for a host of that name.
    pub(crate) fn opens(&self, host: &str, ip: IpAddr, port: u16) -> bool {
        match &self.what {
            What::Net(net) => net.contains(&ip) && self.is_at(port),
            What::Name(_) | What::Below(_) => self.may_open(host, port),
        }
    }

    /// Whether it could open a host of that name whose address is not known.
    pub(crate) fn may_open(&self, host: &str, port: u16) -> bool {
        let what = match &self.what {
            What::Net(_) => true,
            What::Name(name) => host.eq_ignore_ascii_case(name),
            What::Below(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .and_then(|at| host.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix) && end.len() < host.len()),
        };
        what && self.is_at(port)
    }

    fn is_at(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for Allowed {
    type Err = BadAllowed;

    fn from_str(text: &str) -> Result<Self, BadAllowed> {
        let bad = || BadAllowed(text.to_owned());
        if let Some(what) = net(text) {
            return Ok(Self { what, port: None });
        }
        let (what, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inner, "")) => (inner, None),
            Some((inner, rest)) => (inner, Some(rest.strip_prefix(':').ok_or_else(bad)?)),
            None => match text.rsplit_once(':') {
                Some((what, port)) => (what, Some(port)),
                None => (text, None),
            },
        };
        let port = port.map(|port| port.parse().ok().filter(|port| *port > 0).ok_or_else(bad)).transpose()?;
        let what = net(what).or_else(|| name(what)).ok_or_else(bad)?;
        Ok(Self { what, port })
    }
}

fn net(text: &str) -> Option<What> {
    let net = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| IpNet::from(ip.to_canonical())));
    net.ok().map(What::Net)
}

fn name(text: &str) -> Option<What> {
    let (below, name) = text.strip_prefix('*').map_or((false, text), |rest| (true, rest));
    let labels = if below { name.strip_prefix('.')? } else { name };
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    // What ends with a number is an address to resolvers (`127.1`, `0x7f.1`), and these have one spelling here.
    let last = labels.rsplit('.').next()?;
    if !labels.split('.').all(label) || last.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    Some(if below { What::Below(name.to_owned()) } else { What::Name(name.to_owned()) })
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.what {
            What::Net(net) => net.to_string(),
            What::Name(name) => name.clone(),
            What::Below(suffix) => format!("*{suffix}"),
        };
        match self.port {
            Some(port) if what.contains("::") => write!(f, "[{what}]:{port}"),
            Some(port) => write!(f, "{what}:{port}"),
            None => f.write_str(&what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(allowed: &str, host: &str, ip: &str, port: u16) -> bool {
        let allowed: Allowed = allowed.parse().expect("something to allow");
        allowed.opens(host, ip.parse().expect("an address"), port)
    }

    #[test]
    fn what_is_allowed_opens_itself_and_nothing_beside_it() {
        assert!(opens("10.0.0.0/8", "a.example", "10.1.2.3", 80));
        assert!(!opens("10.0.0.0/8", "a.example", "11.1.2.3", 80));
        assert!(opens("10.0.0.0/8:8080", "a.example", "10.1.2.3", 8080));
        assert!(!opens("10.0.0.0/8:8080", "a.example", "10.1.2.3", 80));
        assert!(opens("::1", "a.example", "::1", 80) && opens("[::1]:80", "a.example", "::1", 80));
        assert!(opens("::ffff:10.0.0.1", "a.example", "10.0.0.1", 80));
        assert!(opens("[fd00::/8]:443", "a.example", "fd12::1", 443));
        assert!(!opens("127.0.0.1", "localhost", "127.0.0.2", 80));
        assert!(opens("localhost", "LocalHost", "127.0.0.1", 80));
        assert!(!opens("localhost", "localhost.example", "127.0.0.1", 80));
        assert!(opens("*.internal", "a.b.internal", "10.0.0.1", 80));
        assert!(!opens("*.internal", "internal", "10.0.0.1", 80));
        assert!(!opens("*.internal", ".internal", "10.0.0.1", 80));
        assert!(!opens("*.internal", "evilinternal", "10.0.0.1", 80));
        assert!(!opens("localhost:8080", "localhost", "127.0.0.1", 80));
    }

    #[test]
    fn what_opens_nothing_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "*a",
            "a..b",
            "a b",
            "10.0.0.0/33",
            "[::1",
            "[::1]80",
            "a:0",
            "a:99999",
            "a:b",
            "http://a",
            "a/b",
            "127.1",
            "0x7f000001",
            "2130706433",
            "a@b",
            "10.0.0",
            "é.example",
        ] {
            assert_eq!(text.parse::<Allowed>(), Err(BadAllowed(text.to_owned())), "{text}");
        }
        for text in ["10.0.0.0/8", "localhost:80", "[fd00::/8]:443", "*.internal", "*.internal:8080"] {
            assert_eq!(text.parse::<Allowed>().expect(text).to_string(), text);
        }
    }
}
