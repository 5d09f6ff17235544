//! The way to a server: who may be asked for how long, and over which kind of connection.

use crate::tls::{Connector, Stream, connector};
use crate::{Tls, Verify, told};
use std::time::Duration;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, Connection, Error, Socket};

/// How long a host may take to accept a connection, unless the address says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server whose machine has vanished is found out after 15 s of silence and three questions, 5 s apart; the driver's own
/// figure is two hours.
const SILENCE: Duration = Duration::from_secs(15);
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(5);
const QUESTIONS: u32 = 3;
/// The driver's figure, by which an address is known that says nothing about it.
const SILENCE_OF_THE_DRIVER: Duration = Duration::from_secs(2 * 60 * 60);

/// What drives a client; somebody polls it.
pub type Driver = Connection<Socket, Stream>;

/// Why there is no connection.
#[derive(Debug)]
pub enum Unreached {
    /// The host takes connections, and does not answer as PostgreSQL does within that time.
    Silent(Duration),
    /// The server, or the way to it, says no.
    Refused(Error),
}

impl std::fmt::Display for Unreached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unreached::Silent(limit) => write!(
                f,
                "cannot connect to the server: it takes connections and does not answer as PostgreSQL does within {limit:?}"
            ),
            Unreached::Refused(why) => write!(f, "cannot connect to the server: {}", told(why)),
        }
    }
}

/// A way to a server.
#[derive(Clone)]
pub struct Way {
    config: Config,
    connector: Connector,
}

impl Way {
    /// The way that a configuration leads; what it leaves open is bounded in time.
    ///
    /// # Errors
    /// Why the certificates that it names cannot be used.
    pub fn new(config: Config, tls: &Tls) -> Result<Self, String> {
        let mut config = with_time_limits(config);
        if tls.verify != Verify::Nothing {
            config.ssl_mode(SslMode::Require);
        }
        Ok(Self { config, connector: connector(tls)? })
    }

    /// Connects. The driver bounds each attempt to reach a host, and nothing of what is said afterwards: that is done here.
    ///
    /// # Errors
    /// [`Unreached`].
    #[cfg_attr(
        not(feature = "tls"),
        allow(clippy::clone_on_copy, reason = "what makes a connection safe is nothing there")
    )]
    pub async fn connect(&self) -> Result<(Client, Driver), Unreached> {
        let hosts = u32::try_from(self.config.get_hosts().len().max(1)).unwrap_or(u32::MAX);
        let limit = self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT) * 2 * hosts;
        let connected = tokio::time::timeout(limit, self.config.connect(self.connector.clone())).await;
        connected.map_err(|_| Unreached::Silent(limit))?.map_err(Unreached::Refused)
    }
}

/// Bounds how long a silent network goes unnoticed, where the address does not.
fn with_time_limits(mut config: Config) -> Config {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Address;

    #[test]
    fn a_silent_network_is_bounded_unless_the_address_bounds_it() {
        let limits = |address: &str| {
            let config = with_time_limits(Address::read(address, &[], Tls::default()).expect(address).config);
            (config.get_connect_timeout().copied(), config.get_keepalives_idle())
        };
        assert_eq!(limits("postgres://h/d"), (Some(CONNECT_TIMEOUT), SILENCE));
        assert_eq!(
            limits("postgres://h/d?connect_timeout=60&keepalives_idle=90"),
            (Some(Duration::from_secs(60)), Duration::from_secs(90))
        );
    }
}
