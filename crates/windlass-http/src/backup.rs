//! A backup that comes from a server, piece by piece.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use windlass_core::StoreError;
use windlass_core::error::Outcome;
use windlass_core::store::{Backup, Pieces, StoreFuture};

use crate::link::Streamed;

/// Makes a backup of a server's answer.
pub(crate) fn of(streamed: Streamed) -> Result<Backup, StoreError> {
    let bytes = streamed.bytes.ok_or_else(|| broken("the server did not say how long it is"))?;
    Ok(Backup { bytes, pieces: Box::new(Coming { body: streamed.body, left: bytes }) })
}

struct Coming {
    body: Incoming,
    left: u64,
}

impl Pieces for Coming {
    fn next(&mut self) -> StoreFuture<'_, Option<Vec<u8>>> {
        Box::pin(async move {
            loop {
                match self.body.frame().await {
                    Some(Ok(frame)) => {
                        if let Ok(piece) = frame.into_data() {
                            self.left = self.left.saturating_sub(piece.len() as u64);
                            return Ok(Some(piece.into()));
                        }
                    }
                    Some(Err(why)) => return Err(broken(format!("the server broke off: {why}"))),
                    None if self.left == 0 => return Ok(None),
                    None => return Err(broken("the server ended before it was whole")),
                }
            }
        })
    }
}

fn broken(cause: impl Into<String>) -> StoreError {
    StoreError {
        operation: "backup",
        cause: cause.into(),
        outcome: Outcome::NotDone,
        retryable: true,
        hint: None,
    }
}
