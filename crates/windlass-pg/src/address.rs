//! From an address to how the driver connects.
//!
//! An address is a URL (`postgres://user@host/database?name=value`) or a list of settings (`host=... user=...`). What the
//! driver does not know of it is taken out here: TLS as libpq spells it, and what the caller has options for. A password
//! that it does not hold is the one in `PGPASSWORD`, if there is one; nothing else of the environment is read.

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
    pub fn read(address: &str, own: &[&str], tls: Tls) -> Result<Self, String> {
        let password = std::env::var_os(PGPASSWORD).map(|password| password.into_encoded_bytes());
        Self::read_with(address, own, tls, password)
    }

    /// As [`Address::read`], with the password of an address that holds none.
    fn read_with(
        address: &str,
        own: &[&str],
        mut tls: Tls,
        password: Option<Vec<u8>>,
    ) -> Result<Self, String> {
        let refused = |why: String| format!("not a URL of PostgreSQL: {why}");
        let (theirs, ours) = split(address, own).map_err(refused)?;
        let mut config = Config::from_str(&theirs).map_err(|why| refused(why.to_string()))?;
        if let Some(password) = password.filter(|given| config.get_password().is_none() && !given.is_empty())
        {
            config.password(password);
        }
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
/// Where libpq's programs look for a password too.
const PGPASSWORD: &str = "PGPASSWORD";
/// What the driver knows beside them, the commonest first.
const DRIVERS: [&str; 18] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "application_name",
    "options",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "load_balance_hosts",
    "channel_binding",
    "sslnegotiation",
];

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

/// Refuses an option that nobody knows: the driver would not say which.
fn known(name: &str, own: &[&str]) -> Result<(), String> {
    if DRIVERS.contains(&name) {
        return Ok(());
    }
    let all: Vec<&str> = own.iter().chain(&[SSLMODE, SSLROOTCERT]).chain(&DRIVERS).copied().collect();
    Err(format!("there is no option {name:?}; there are {}", all.join(", ")))
}

/// The address without what is ours, and that.
fn split(address: &str, own: &[&str]) -> Result<(String, Vec<(String, String)>), String> {
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        split_url(address, own)
    } else {
        split_settings(address, own)
    }
}

fn split_url(url: &str, own: &[&str]) -> Result<(String, Vec<(String, String)>), String> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    // The driver takes a password that holds a bare `?`; then nothing of it may be shown.
    let in_password = query.contains('@') && !base.contains('@');
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((name, value)) if is_ours(name, own) => {
                ours.push((name.to_owned(), percent_decode_str(value).decode_utf8_lossy().into_owned()));
            }
            Some((name, _)) if !in_password => {
                known(&percent_decode_str(name).decode_utf8_lossy(), own)?;
                theirs.push(pair);
            }
            _ => theirs.push(pair),
        }
    }
    let mark = if theirs.is_empty() { "" } else { "?" };
    Ok((format!("{base}{mark}{}", theirs.join("&")), ours))
}

fn split_settings(text: &str, own: &[&str]) -> Result<(String, Vec<(String, String)>), String> {
    let (mut theirs, mut ours) = (String::new(), Vec::new());
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (name, after) = (name.trim(), after.trim_start());
        let (value, end) = setting(after);
        if is_ours(name, own) {
            ours.push((name.to_owned(), value));
        } else {
            // What is no word is the rest of a value that lacks its quotes: perhaps a password.
            if name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                known(name, own)?;
            }
            theirs.push_str(&format!("{name}={} ", &after[..end]));
        }
        rest = after[end..].trim_start();
    }
    // What is no setting is for the driver to refuse.
    theirs.push_str(rest);
    Ok((theirs, ours))
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
        for (query, says) in
            [("sslmode=allow", "verify-full"), ("sslmode=require&sslrootcert=system", "verify-full only")]
        {
            let told = read(&format!("postgres://h/d?{query}")).expect_err(query);
            assert!(told.contains(says), "{query}: {told}");
        }
    }

    #[test]
    fn an_option_that_nobody_knows_is_named_with_those_that_there_are() {
        for address in
            ["postgres://a:b@h/d?colour=blue", "host=h colour=blue", "postgres:///d?host=/run&c%6Flour=x"]
        {
            let told = read(address).expect_err(address);
            let parts =
                ["not a URL of PostgreSQL: ", "no option \"colour\"", "listen, sslmode, sslrootcert, host"];
            assert!(parts.iter().all(|part| told.contains(part)), "{address}: {told}");
        }
        // Each of those that are listed is the driver's indeed.
        for name in DRIVERS {
            let value = match name {
                "hostaddr" => "127.0.0.1",
                "target_session_attrs" => "any",
                "load_balance_hosts" | "channel_binding" => "disable",
                "sslnegotiation" => "postgres",
                _ => "1",
            };
            read(&format!("host=h user=u {name}={value}")).expect(name);
        }
        let odd = read("postgres://a:x?colour=y@h/d").expect("the driver takes such a password");
        assert_eq!(odd.config.get_password(), Some(&b"x?colour=y"[..]));
    }

    #[test]
    fn a_password_of_the_environment_is_for_an_address_that_holds_none() {
        let password = |address: &str, given: &str| {
            let given = Some(given.as_bytes().to_vec());
            let read = Address::read_with(address, &[], Tls::default(), given).expect(address);
            read.config.get_password().map(<[u8]>::to_vec)
        };
        assert_eq!(password("postgres://a@h/d", "of the environment"), Some(b"of the environment".to_vec()));
        assert_eq!(password("postgres://a:own@h/d", "other"), Some(b"own".to_vec()));
        assert_eq!(password("host=h password=own", "other"), Some(b"own".to_vec()));
        assert_eq!(password("postgres://a@h/d", ""), None);
    }
}
