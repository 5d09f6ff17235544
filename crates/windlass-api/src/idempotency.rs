//! Idempotency keys (draft-ietf-httpapi-idempotency-key-header): a name that a client gives to a request, so that the
//! request may be sent again and is done once.
//!
//! No answer is kept for it. The ids of what a request makes are made of its key, and an id that is enqueued twice is
//! one job, at every server of a store, after every restart, as long as the job is kept and remembered. So a key costs
//! nothing, and is as durable as what was done with it.

use sha2::{Digest, Sha256};
use windlass_core::job::JobView;
use windlass_core::{JobId, NewJob, Time};

/// The header that brings one.
pub const HEADER: &str = "idempotency-key";
/// Bytes of a key: a UUID, a hash or a name with room to spare.
pub const KEY_BYTES_MAX: usize = 255;
/// Bits of the time in an id that are made of the key. All such ids lie before 2005, so that none lies in the future.
const TIME_BITS: u32 = 40;

/// A key: 1 to 255 printable characters of ASCII.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl std::str::FromStr for IdempotencyKey {
    type Err = String;

    /// Reads a key, in quotes as the draft has it, or plain.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let plain = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let fits = (1..=KEY_BYTES_MAX).contains(&plain.len());
        if fits && plain.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\') {
            return Ok(Self(plain.to_owned()));
        }
        Err("an idempotency key is 1 to 255 printable characters of ASCII without quotes and backslashes; a UUID, for one"
            .to_owned())
    }
}

impl IdempotencyKey {
    /// The id of what stands at that place of the request that has this key.
    pub fn id(&self, place: u64) -> JobId {
        let mut hash = Sha256::new();
        hash.update(b"windlass idempotency key\0");
        hash.update(place.to_be_bytes());
        hash.update(self.0.as_bytes());
        let hash = hash.finalize();
        let number =
            |from: usize| hash[from..from + 8].iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
        let random = (u128::from(number(0)) << 64) | u128::from(number(8));
        JobId::from_parts(Time(number(16) >> (u64::BITS - TIME_BITS)), random)
    }
}

/// Whether the job that is there is the one that is asked for, as far as nobody may change it, save its payload. Times
/// and spans do not count: asked for again later they mean another time.
pub fn is_same(asked: &NewJob, view: &JobView, payload: &[u8]) -> bool {
    asked.queue == view.queue
        && asked.kind == view.kind
        && asked.group == view.group
        && asked.tags == view.tags
        && asked.payload == payload
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> IdempotencyKey {
        text.parse().expect(text)
    }

    #[test]
    fn a_key_gives_the_same_ids_in_every_version() {
        // What a client sent to an older server must be known to a newer one.
        assert_eq!(key("order-7").id(0).to_string(), "00d41c69-95bb-7d26-8423-2006b7683384");
        assert_eq!(key("\"order-7\"").id(0), key("order-7").id(0));
        let ids = [key("order-7").id(0), key("order-7").id(1), key("order-8").id(0)];
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    }

    #[test]
    fn the_id_of_a_key_never_lies_in_the_future() {
        for n in 0..1_000 {
            let id = key(&format!("k{n}")).id(n);
            assert!(id.time() < Time(1_104_537_600_000), "{id}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "\"\"", "ä", "a\u{7}b", "a\"b", "a\\b", &"x".repeat(256)] {
            assert!(bad.parse::<IdempotencyKey>().is_err(), "{bad:?}");
        }
    }
}
