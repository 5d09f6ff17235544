//! The text of a key: `wl_`, a prefix by which it is found, and 256 random bits, of which only the digest is kept.

use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq as _;

/// How every key begins, so that people and scanners of leaked secrets know one.
pub(crate) const MARK: &str = "wl_";
/// 48 bits tell the keys of a store apart; the prefix is no secret.
const PREFIX_BYTES: usize = 6;
/// 256 bits: nobody guesses that.
const SECRET_BYTES: usize = 32;

/// A key that was just made.
pub(crate) struct Minted {
    pub(crate) text: String,
    pub(crate) prefix: String,
    pub(crate) digest: String,
}

/// A new key, or none when the system has no randomness to give.
pub(crate) fn mint() -> Option<Minted> {
    let mut random = [0; PREFIX_BYTES + SECRET_BYTES];
    SystemRandom::new().fill(&mut random).ok()?;
    let (prefix, secret) = random.split_at(PREFIX_BYTES);
    let prefix = hexadecimal(prefix);
    let text = format!("{MARK}{prefix}_{}", hexadecimal(secret));
    let digest = digest_of(&text);
    Some(Minted { text, prefix, digest })
}

/// The prefix of a text that may be a key.
pub(crate) fn prefix_of(text: &str) -> Option<&str> {
    let (prefix, secret) = text.strip_prefix(MARK)?.split_once('_')?;
    let is_hexadecimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fits = prefix.len() == 2 * PREFIX_BYTES && secret.len() == 2 * SECRET_BYTES;
    (fits && is_hexadecimal(prefix) && is_hexadecimal(secret)).then_some(prefix)
}

/// Whether the text has that digest; how long it takes says nothing about either.
pub(crate) fn is(text: &str, digest: &str) -> bool {
    digest_of(text).as_bytes().ct_eq(digest.as_bytes()).into()
}

fn digest_of(text: &str) -> String {
    hexadecimal(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_prefix_and_known_by_its_digest() {
        let minted = mint().expect("randomness");
        assert_eq!(minted.text.len(), 3 + 12 + 1 + 64);
        assert_eq!(prefix_of(&minted.text), Some(minted.prefix.as_str()));
        assert!(is(&minted.text, &minted.digest));
        let last = if minted.text.ends_with('0') { '1' } else { '0' };
        let other = format!("{}{last}", &minted.text[..minted.text.len() - 1]);
        assert!(prefix_of(&other) == Some(&minted.prefix) && !is(&other, &minted.digest));
        assert!(!minted.digest.contains(&minted.text[16..]), "the digest does not hold the secret");
        assert_ne!(mint().expect("randomness").text, minted.text);
    }

    #[test]
    fn what_is_no_key_has_no_prefix() {
        for text in ["", "wl_", "wl_abc_def", "wl__", "a secret of 32 bytes, not of this form", "wl_é_é"] {
            assert_eq!(prefix_of(text), None, "{text:?}");
        }
    }
}
