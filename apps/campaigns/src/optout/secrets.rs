//! The keys that links and suppression hashes are made with, newest first.
//!
//! The first key makes new ones, all of them recognise old ones. A key is replaced by putting another in front of it,
//! and dropped never: a mail of years ago must still unsubscribe, and an erased contact is known by its hash alone.

use std::fmt;

use ring::hmac;
use thiserror::Error;

/// The shortest key: as long as what it makes, so that guessing the key is no easier than guessing that.
pub const MIN_BYTES: usize = 32;
/// The most keys, since a forged link costs one computation for each.
pub const MAX_KEYS: usize = 16;

/// One or more keys for HMAC-SHA-256; never shown.
#[derive(Clone)]
pub struct Secrets(Vec<hmac::Key>);

/// Why keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadSecret {
    /// There is no key.
    #[error("no key is given; make one with `openssl rand -hex 32`")]
    None,
    /// There are more than [`MAX_KEYS`].
    #[error("{0} keys are given, and {MAX_KEYS} are the most")]
    TooMany(usize),
    /// A key is too short.
    #[error("key {number} has {bytes} bytes and needs {MIN_BYTES}; make one with `openssl rand -hex 32`")]
    Short {
        /// Which key, from 1.
        number: usize,
        /// How long it is.
        bytes: usize,
    },
}

impl Secrets {
    /// Takes keys, newest first, each at least [`MIN_BYTES`] long.
    ///
    /// # Errors
    /// When there is none, there are too many, or one is too short.
    pub fn new<K: AsRef<[u8]>>(keys: impl IntoIterator<Item = K>) -> Result<Self, BadSecret> {
        let mut made = Vec::new();
        for (index, key) in keys.into_iter().enumerate() {
            let bytes = key.as_ref();
            if bytes.len() < MIN_BYTES {
                return Err(BadSecret::Short { number: index + 1, bytes: bytes.len() });
            }
            made.push(hmac::Key::new(hmac::HMAC_SHA256, bytes));
        }
        match made.len() {
            0 => Err(BadSecret::None),
            1..=MAX_KEYS => Ok(Self(made)),
            many => Err(BadSecret::TooMany(many)),
        }
    }

    /// The tag of `parts`, joined, by the newest key.
    pub(super) fn tag(&self, parts: &[&[u8]]) -> hmac::Tag {
        // A `Secrets` has a key, by its only constructor.
        tag(&self.0[0], parts)
    }

    /// The tag of `parts`, joined, by the oldest key: the same one as long as no key is dropped.
    pub(super) fn oldest_tag(&self, parts: &[&[u8]]) -> hmac::Tag {
        // A `Secrets` has a key, by its only constructor.
        tag(&self.0[self.0.len() - 1], parts)
    }

    /// The tags of `parts` by every key, newest first.
    pub(super) fn tags<'a>(&'a self, parts: &'a [&'a [u8]]) -> impl Iterator<Item = hmac::Tag> + 'a {
        self.0.iter().map(move |key| tag(key, parts))
    }

    /// Whether `given` is the tag of `message` by any key; the time it takes tells nothing of the tag.
    pub(super) fn verifies(&self, message: &[u8], given: &[u8]) -> bool {
        self.0.iter().any(|key| hmac::verify(key, message, given).is_ok())
    }
}

fn tag(key: &hmac::Key, parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} keys)", self.0.len())
    }
}
