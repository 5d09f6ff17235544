//! Where a payload comes from: the argument itself, `@file`, or `-`.
//!
//! A payload is bytes; by default it is JSON, and a payload that was meant to be JSON and is not is nearly always a
//! quoting mistake of the shell, so it is refused unless `--raw` says that the bytes are meant.

use std::io::Read;

use serde_json::value::RawValue;
use windlass_api::work::EMPTY_PAYLOAD;
use windlass_core::bounds::PAYLOAD_BYTES_MAX;

use crate::fault::Fault;

/// The bytes that the argument means.
///
/// # Errors
/// When the file cannot be read, holds more than a payload may, or is not JSON and `raw` is not set.
pub(crate) fn read(argument: Option<&str>, raw: bool) -> Result<Vec<u8>, Fault> {
    let (bytes, what) = match argument {
        None => (EMPTY_PAYLOAD.to_vec(), "payload".to_owned()),
        Some("-") => (read_bounded(std::io::stdin().lock(), "stdin")?, "stdin".to_owned()),
        Some(text) => match text.strip_prefix('@') {
            Some(path) => {
                let file = std::fs::File::open(path).map_err(|error| Fault::file(path, &error))?;
                (read_bounded(file, path)?, path.to_owned())
            }
            None => (text.as_bytes().to_vec(), "payload".to_owned()),
        },
    };
    if !raw && let Err(error) = serde_json::from_slice::<&RawValue>(&bytes) {
        return Err(Fault::usage(format!("{what} is not JSON: {error}")).next(
            "quote it for the shell ('{\"to\":\"a@b.c\"}'), or pass --raw to send the bytes as they are",
        ));
    }
    Ok(bytes)
}

/// Reads one byte more than is allowed, so that a payload that is too long is told from one that just fits.
fn read_bounded(from: impl Read, what: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    from.take(PAYLOAD_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Fault::file(what, &error))?;
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(
            Fault::usage(format!("{what}: more than 1 MiB")).next("store it elsewhere and pass its address")
        );
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_is_not_json_is_refused_unless_raw() {
        assert!(read(Some("{to:1}"), false).expect_err("not JSON").next.expect("advice").contains("--raw"));
        assert_eq!(read(Some("{to:1}"), true).expect("raw"), b"{to:1}");
        assert_eq!(read(None, false).expect("empty"), b"{}");
        assert!(read(Some("@/no/such/file"), false).expect_err("no file").message.contains("/no/such/file"));
    }
}
