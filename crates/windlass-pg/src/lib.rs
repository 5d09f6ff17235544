//! How Windlass reaches a PostgreSQL database, for whatever has one: the store, the archive, the outbox.
//!
//! [`Address::read`] reads a URL or a list of settings, TLS as libpq spells it included; [`Way::connect`] connects within
//! bounds of time; [`told`] and [`passes`] say what a fault was and whether to try again.

mod address;
mod fault;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod way;

pub use address::Address;
pub use fault::{code_passes, collides, passes, told};
pub use way::{Driver, Unreached, Way};

use std::path::PathBuf;

/// What is asked of the server's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// How much is asked; more than nothing requires TLS.
    pub verify: Verify,
    /// A file of the certificates (PEM) that are trusted; none trusts the system's.
    pub root_certificates: Option<PathBuf>,
}

/// How much a connection over TLS asks of the server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: nobody listens in, but anybody may have answered. `sslmode=prefer` and `require`.
    #[default]
    Nothing,
    /// That an authority which is trusted has signed it. `sslmode=verify-ca`.
    Chain,
    /// That, and that it is the certificate of the host in the address. `sslmode=verify-full`.
    Name,
}
