//! From an address to how the driver connects.
//!
//! An address is a URL (`postgres://user@host/database?name=value`) or a list of settings (`host=... user=...`). What the
//! driver does not know of it is taken out here: TLS as libpq spells it, and what the caller has options for.

use crate::{Tls, Verify};
use percent_encoding::percent_decode_str;
use std::str::FromStr;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// An address that has been read.
#[derive(Clone, Debug)]
pub struct Address {
    /// What the driver is to know.
    pub config: Config,
    /// What is asked of the server's certificate.
    pub tls: Tls,
    /// The caller's own options, in their order.
    pub own: Vec<(String, String)>,
}

impl Address {
    /// Reads an address, in which these options are the caller's own. What it says about TLS wins over `tls`.
    ///
    /// # Errors
    /// Why it makes no sense, in words that name no password.
    pub fn read(address: &str, own: &[&str], mut tls: Tls) -> Result<Self, String> {
        let (theirs, ours) = split(address, own);
        let mut config =
            Config::from_str(&theirs).map_err(|why| format!("not a URL of PostgreSQL: {why}"))?;
        let (mut mode, mut root) = (None, None);
        let mut rest = Vec::new();
        for (name, value) in ours {
            match name.as_str() {
                SSLMODE => mode = Some(value),
                SSLROOTCERT => root = Some(value),
                _ => rest.push((name, value)),
            }
        }
        tls.read(&mut config, mode.as_deref(), root.as_deref())?;
        Ok(Self { config, tls, own: rest })
    }
}

const SSLMODE: &str = "sslmode";
const SSLROOTCERT: &str = "sslrootcert";

impl Tls {
    /// `sslmode` and `sslrootcert` as libpq reads them.
    fn read(&mut self, config: &mut Config, mode: Option<&str>, root: Option<&str>) -> Result<(), String> {
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
            None if self.verify != Verify::Nothing => (SslMode::Require, self.verify),
            None | Some("prefer") => (SslMode::Prefer, Verify::Nothing),
            Some(other) => {
                return Err(format!(
                    "sslmode={other}: it is disable, prefer, require, verify-ca or verify-full"
                ));
            }
        };
        config.ssl_mode(ssl);
        self.verify = verify;
        if let Some(root) = root.filter(|_| !system) {
            self.root_certificates = Some(root.into());
        }
        Ok(())
    }
}

fn is_ours(name: &str, own: &[&str]) -> bool {
    name == SSLMODE || name == SSLROOTCERT || own.contains(&name)
}

/// The address without what is ours, and that.
fn split(address: &str, own: &[&str]) -> (String, Vec<(String, String)>) {
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        split_url(address, own)
    } else {
        split_settings(address, own)
    }
}

fn split_url(url: &str, own: &[&str]) -> (String, Vec<(String, String)>) {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').filter(|(name, _)| is_ours(name, own)) {
            Some((name, value)) => {
                ours.push((name.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()));
            }
            None => theirs.push(pair),
        }
    }
    let mark = if theirs.is_empty() { "" } else { "?" };
    (format!("{base}{mark}{}", theirs.join("&")), ours)
}

fn split_settings(text: &str, own: &[&str]) -> (String, Vec<(String, String)>) {
    let (mut theirs, mut ours) = (String::new(), Vec::new());
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (name, after) = (name.trim(), after.trim_start());
        let (value, end) = setting(after);
        if is_ours(name, own) {
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

    fn read(address: &str) -> Result<Address, String> {
        Address::read(address, &["listen"], Tls::default())
    }

    #[test]
    fn both_forms_of_an_address_say_the_same() {
        for address in [
            "postgres://a@h/d?sslmode=verify-full&application_name=x&sslrootcert=%2Fetc%2Fmy%20ca.pem&listen=false",
            r"host=h user=a dbname=d sslmode=verify-full application_name=x sslrootcert='/etc/my ca.pem' listen=false",
        ] {
            let Address { config, tls, own } = read(address).expect(address);
            assert_eq!(config.get_application_name(), Some("x"), "{address}");
            assert_eq!((config.get_user(), config.get_dbname()), (Some("a"), Some("d")));
            assert_eq!((config.get_ssl_mode(), tls.verify), (SslMode::Require, Verify::Name));
            assert_eq!(tls.root_certificates.as_deref(), Some("/etc/my ca.pem".as_ref()));
            assert_eq!(own, [("listen".to_owned(), "false".to_owned())]);
        }
        let quoted = read(r"host=h user=a password='it\'s = x' sslmode=disable").expect("quotes");
        assert_eq!(quoted.config.get_password(), Some(&b"it's = x"[..]));
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
            let found = read(&format!("postgres://h/d?{query}")).expect(query);
            assert_eq!((found.config.get_ssl_mode(), found.tls.verify), (ssl, verify), "{query}");
        }
        for (query, says) in [
            ("sslmode=allow", "verify-full"),
            ("sslmode=require&sslrootcert=system", "verify-full only"),
            ("colour=blue", "not a URL"),
        ] {
            let told = read(&format!("postgres://h/d?{query}")).expect_err(query);
            assert!(told.contains(says), "{query}: {told}");
        }
    }
}
