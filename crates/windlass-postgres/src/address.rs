//! From an address to how the driver connects and how the store is opened.
//!
//! An address is a URL (`postgres://user@host/database?name=value`) or a list of settings (`host=... user=...`). What the
//! driver does not know of it is taken out here: the store's own options, and TLS as libpq spells it.

use crate::error::OpenError;
use crate::options::{Options, Verify};
use percent_encoding::percent_decode_str;
use std::str::FromStr;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// What is read here and not by the driver.
const OURS: [&str; 6] = ["sslmode", "sslrootcert", "listen", "prepare", "migrate", "connections"];

/// How long a host may take to accept a connection, unless the address says otherwise.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server whose machine has vanished is found out after 15 s of silence and three questions, 5 s apart; the driver's own
/// figure is two hours.
const SILENCE: Duration = Duration::from_secs(15);
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(5);
const QUESTIONS: u32 = 3;
/// The driver's figure, by which an address is known that says nothing about it.
const SILENCE_OF_THE_DRIVER: Duration = Duration::from_secs(2 * 60 * 60);

/// Reads an address; what it says about the store goes into the options.
pub(crate) fn read(address: &str, options: &mut Options) -> Result<Config, OpenError> {
    let refused = OpenError::BadAddress;
    let (theirs, ours) = split(address);
    let mut config =
        Config::from_str(&theirs).map_err(|why| refused(format!("not a URL of PostgreSQL: {why}")))?;
    let (mut mode, mut root) = (None, None);
    for (name, value) in ours {
        let no = |wants: &str| refused(format!("option {name}={value:?}: {wants}"));
        let switch = || value.parse().map_err(|_| no("true or false"));
        match name.as_str() {
            "listen" => options.listen = switch()?,
            "prepare" => options.prepare = switch()?,
            "migrate" => options.migrate = switch()?,
            "connections" => options.connections = value.parse().map_err(|_| no("a number"))?,
            "sslmode" => mode = Some(value),
            _ => root = Some(value),
        }
    }
    tls(&mut config, options, mode.as_deref(), root.as_deref()).map_err(refused)?;
    Ok(config)
}

/// `sslmode` and `sslrootcert` as libpq reads them.
fn tls(
    config: &mut Config,
    options: &mut Options,
    mode: Option<&str>,
    root: Option<&str>,
) -> Result<(), String> {
    let system = root == Some("system");
    if system && mode.is_some_and(|mode| mode != "verify-full") {
        return Err("sslrootcert=system goes with sslmode=verify-full only".to_owned());
    }
    let (ssl, verify) = match mode {
        Some("disable") => (SslMode::Disable, Verify::Nothing),
        // A file of roots beside `require` says that the certificate is to be looked at.
        Some("require") if root.is_some() => (SslMode::Require, Verify::Chain),
        Some("require") => (SslMode::Require, Verify::Nothing),
        Some("verify-ca") => (SslMode::Require, Verify::Chain),
        Some("verify-full") => (SslMode::Require, Verify::Name),
        None if system => (SslMode::Require, Verify::Name),
        None if options.verify != Verify::Nothing => (SslMode::Require, options.verify),
        None | Some("prefer") => (SslMode::Prefer, Verify::Nothing),
        Some(other) => {
            return Err(format!("sslmode={other}: it is disable, prefer, require, verify-ca or verify-full"));
        }
    };
    config.ssl_mode(ssl);
    options.verify = verify;
    if let Some(root) = root.filter(|_| !system) {
        options.root_certificates = Some(root.into());
    }
    Ok(())
}

/// Bounds how long a silent network goes unnoticed, where the address does not.
pub(crate) fn with_time_limits(mut config: Config) -> Config {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_keepalives_idle() == SILENCE_OF_THE_DRIVER {
        config.keepalives_idle(SILENCE).keepalives_interval(BETWEEN_QUESTIONS).keepalives_retries(QUESTIONS);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE + BETWEEN_QUESTIONS * QUESTIONS);
    }
    config
}

/// The address without what is ours, and that.
fn split(address: &str) -> (String, Vec<(String, String)>) {
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        split_url(address)
    } else {
        split_settings(address)
    }
}

fn split_url(url: &str) -> (String, Vec<(String, String)>) {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').filter(|(name, _)| OURS.contains(name)) {
            Some((name, value)) => {
                ours.push((name.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()));
            }
            None => theirs.push(pair),
        }
    }
    let mark = if theirs.is_empty() { "" } else { "?" };
    (format!("{base}{mark}{}", theirs.join("&")), ours)
}

fn split_settings(text: &str) -> (String, Vec<(String, String)>) {
    let (mut theirs, mut ours) = (String::new(), Vec::new());
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (name, after) = (name.trim(), after.trim_start());
        let (value, end) = setting(after);
        if OURS.contains(&name) {
            ours.push((name.to_owned(), value));
        } else {
            theirs.push_str(&format!("{name}={} ", &after[..end]));
        }
        rest = after[end..].trim_start();
    }
    // What is no setting is for the driver to refuse.
    theirs.push_str(rest);
    (theirs, ours)
}

/// A value, in quotes or up to the next space, and where it ends.
fn setting(text: &str) -> (String, usize) {
    let quoted = text.starts_with('\'');
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(usize::from(quoted)) {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '\'' if quoted => return (value, at + 1),
            c if !quoted && c.is_whitespace() => return (value, at),
            c => value.push(c),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(address: &str) -> Result<(Config, Options), String> {
        let mut options = Options::default();
        let config = read(address, &mut options).map_err(|why| why.to_string())?;
        Ok((config, options))
    }

    #[test]
    fn both_forms_of_an_address_say_the_same() {
        for address in [
            "postgres://a@h/d?sslmode=verify-full&application_name=x&sslrootcert=%2Fetc%2Fmy%20ca.pem&listen=false",
            r"host=h user=a dbname=d sslmode=verify-full application_name=x sslrootcert='/etc/my ca.pem' listen=false",
        ] {
            let (config, options) = read_of(address).expect(address);
            assert_eq!(config.get_application_name(), Some("x"), "{address}");
            assert_eq!((config.get_user(), config.get_dbname()), (Some("a"), Some("d")));
            assert_eq!((config.get_ssl_mode(), options.verify), (SslMode::Require, Verify::Name));
            assert_eq!(options.root_certificates.as_deref(), Some("/etc/my ca.pem".as_ref()));
            assert!(!options.listen && options.prepare);
        }
        let (config, _) = read_of(r"host=h user=a password='it\'s = x' sslmode=disable").expect("quotes");
        assert_eq!(config.get_password(), Some(&b"it's = x"[..]));
    }

    #[test]
    fn sslmode_means_what_it_means_to_libpq() {
        for (query, ssl, verify) in [
            ("", SslMode::Prefer, Verify::Nothing),
            ("sslmode=disable", SslMode::Disable, Verify::Nothing),
            ("sslmode=prefer", SslMode::Prefer, Verify::Nothing),
            ("sslmode=require", SslMode::Require, Verify::Nothing),
            ("sslmode=require&sslrootcert=f", SslMode::Require, Verify::Chain),
            ("sslmode=verify-ca&sslrootcert=f", SslMode::Require, Verify::Chain),
            ("sslmode=verify-full", SslMode::Require, Verify::Name),
            ("sslrootcert=system", SslMode::Require, Verify::Name),
        ] {
            let (config, options) = read_of(&format!("postgres://h/d?{query}")).expect(query);
            assert_eq!((config.get_ssl_mode(), options.verify), (ssl, verify), "{query}");
        }
        for (query, says) in [
            ("sslmode=allow", "verify-full"),
            ("sslmode=require&sslrootcert=system", "verify-full only"),
            ("listen=maybe", "true or false"),
            ("connections=many", "a number"),
            ("colour=blue", "not a URL"),
        ] {
            let told = read_of(&format!("postgres://h/d?{query}")).expect_err(query);
            assert!(told.contains(says), "{query}: {told}");
        }
    }

    #[test]
    fn a_silent_network_is_bounded_unless_the_address_bounds_it() {
        let limits = |address: &str| {
            let config = with_time_limits(read_of(address).expect(address).0);
            (config.get_connect_timeout().copied(), config.get_keepalives_idle())
        };
        assert_eq!(limits("postgres://h/d"), (Some(CONNECT_TIMEOUT), SILENCE));
        assert_eq!(
            limits("postgres://h/d?connect_timeout=60&keepalives_idle=90"),
            (Some(Duration::from_secs(60)), Duration::from_secs(90))
        );
    }
}
