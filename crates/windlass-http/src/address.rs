//! Where a server is: the forms of a URL, and what is refused in one.

use std::path::PathBuf;

use hyper::Uri;
use hyper::http::uri::Scheme;

use crate::OpenError;

/// An address that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// What every request's URL begins with, without a slash at its end.
    pub(crate) base: String,
    /// How it is reached.
    pub(crate) way: Way,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By its host and port.
    Tcp,
    /// By its host and port, over TLS.
    #[cfg(feature = "tls")]
    Tls,
    /// By its socket in the file system.
    #[cfg(unix)]
    Socket(PathBuf),
}

/// What a request through a socket says of its host.
#[cfg(unix)]
const SOCKET_BASE: &str = "http://localhost";

impl Address {
    /// Reads a URL. What it says when it refuses one repeats nothing of it that may be secret.
    pub(crate) fn parse(url: &str) -> Result<Self, OpenError> {
        let bad = |why: String| OpenError::BadAddress(why);
        if url.contains('?') || url.contains('#') {
            return Err(bad("it has no options; a token is given apart from it".into()));
        }
        if let Some(path) = url.strip_prefix("http+unix:") {
            return socket(path).map_err(bad);
        }
        let no_host = || bad("it names no host".into());
        if url.ends_with("://") {
            return Err(no_host());
        }
        let uri: Uri = url.parse().map_err(|why| bad(format!("it is no URL ({why})")))?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(no_host());
        };
        let way = if *scheme == Scheme::HTTP {
            Way::Tcp
        } else if *scheme == Scheme::HTTPS {
            over_tls()?
        } else {
            return Err(bad(format!("{scheme} is another protocol")));
        };
        if authority.as_str().contains('@') {
            return Err(bad("nobody's name stands before the host; a token is given apart from it".into()));
        }
        if authority.host().is_empty() {
            return Err(no_host());
        }
        // A port that is no number would be passed over, and that of the scheme be taken.
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port = port.strip_prefix(':').map(str::parse::<u16>);
        if port.is_some_and(|port| !port.is_ok_and(|port| port > 0)) {
            return Err(bad(format!("{authority} has no port that is one")));
        }
        let base = format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'));
        Ok(Self { base, way })
    }

    /// The address as it may be shown.
    pub(crate) fn shown(&self) -> String {
        match &self.way {
            #[cfg(unix)]
            Way::Socket(path) => format!("http+unix:{}", path.display()),
            _ => self.base.clone(),
        }
    }
}

#[cfg(feature = "tls")]
fn over_tls() -> Result<Way, OpenError> {
    Ok(Way::Tls)
}

#[cfg(not(feature = "tls"))]
fn over_tls() -> Result<Way, OpenError> {
    Err(OpenError::NoTls)
}

/// `http+unix:/path`, or with the two slashes of a host that is this one.
#[cfg(unix)]
fn socket(path: &str) -> Result<Address, String> {
    let path = match path.strip_prefix("//") {
        Some(local) if local.starts_with('/') => local,
        Some(_) => return Err("a socket is of this machine: write http+unix:/path".into()),
        None => path,
    };
    if path.is_empty() {
        return Err("it names no socket".into());
    }
    Ok(Address { base: SOCKET_BASE.into(), way: Way::Socket(path.into()) })
}

#[cfg(not(unix))]
fn socket(_: &str) -> Result<Address, String> {
    Err("this system has no sockets in its file system".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> String {
        Address::parse(url).expect("an address").base
    }

    #[test]
    fn a_url_names_a_host_and_what_its_paths_begin_with() {
        assert_eq!(base("http://localhost:7979"), "http://localhost:7979");
        assert_eq!(base("http://localhost:7979/"), "http://localhost:7979");
        assert_eq!(base("http://[::1]:7979/jobs/queue/"), "http://[::1]:7979/jobs/queue");
        assert_eq!(base("HTTP://queue.internal"), "http://queue.internal");
        #[cfg(feature = "tls")]
        assert_eq!(Address::parse("https://h/a").expect("an address").way, Way::Tls);
        #[cfg(not(feature = "tls"))]
        assert!(matches!(Address::parse("https://h/a"), Err(OpenError::NoTls)));
    }

    #[test]
    #[cfg(unix)]
    fn a_socket_is_named_by_its_path() {
        for (url, path) in [
            ("http+unix:/run/windlass.sock", "/run/windlass.sock"),
            ("http+unix:///run/windlass.sock", "/run/windlass.sock"),
            ("http+unix:./w.sock", "./w.sock"),
        ] {
            let address = Address::parse(url).expect("an address");
            assert_eq!((address.way.clone(), address.base.as_str()), (Way::Socket(path.into()), SOCKET_BASE));
            assert_eq!(address.shown(), format!("http+unix:{path}"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_and_no_secret_of_it_repeated() {
        for (url, says) in [
            ("localhost:7979", "host"),
            ("/v1", "no host"),
            ("http://", "no host"),
            ("http:///v1", "no URL"),
            ("http://a b", "no URL"),
            ("http://:80", "no host"),
            ("http://h:0", "no port"),
            ("http://h:70000", "no port"),
            ("http://[::1]:", "no port"),
            ("ftp://h", "another protocol"),
            ("http://h?token=secret", "no options"),
            ("http://h/#secret", "no options"),
            ("http://user:secret@h", "a token is given apart"),
            ("http+unix:", "no socket"),
            ("http+unix://host/path", "of this machine"),
            ("http+unix:/s?token=secret", "no options"),
        ] {
            let told = Address::parse(url).expect_err(url).to_string();
            assert!(told.contains(says), "{url}: {told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }
}
