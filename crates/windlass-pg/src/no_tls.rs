//! A build without TLS: what asks for it is refused, never quietly sent in the clear.

use crate::{Tls, Verify};
use tokio_postgres::NoTls;
use tokio_postgres::tls::NoTlsStream;

/// What makes a connection safe: nothing here.
pub(crate) type Connector = NoTls;
/// What such a connection speaks through.
pub(crate) type Stream = NoTlsStream;

/// The connector that this asks for.
pub(crate) fn connector(tls: &Tls) -> Result<Connector, String> {
    if tls.verify == Verify::Nothing {
        // `sslmode=require` alone is refused by the driver, when it finds no TLS to require.
        return Ok(NoTls);
    }
    Err("this build has no TLS: turn on the feature `tls` of the crate that opens the database".to_owned())
}
