//! A build without TLS: what asks for it is refused, never quietly sent in the clear.

use crate::options::{Options, Verify};
use tokio_postgres::NoTls;
use windlass_core::StoreError;

/// What makes a connection safe: nothing here.
pub(crate) type Connector = NoTls;

/// The connector that these options ask for.
pub(crate) fn connector(options: &Options) -> Result<Connector, StoreError> {
    if options.verify == Verify::Nothing {
        // `sslmode=require` alone is refused by the driver, when it finds no TLS to require.
        return Ok(NoTls);
    }
    Err(StoreError::refused("open", "this build has no TLS: turn on the feature `tls` of windlass-postgres"))
}
