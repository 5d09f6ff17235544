//! Signatures by Standard Webhooks: HMAC-SHA-256 over the id, the time and the body.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a secret, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Bytes of a secret that is made here: as many as the hash has.
const SECRET_BYTES_MADE: usize = 32;
/// The version of signatures that are made of a shared secret.
const VERSION: &str = "v1,";
/// Signatures of one header that are looked at: a sender has two secrets at most while it changes them.
const SIGNATURES_MAX: usize = 16;
/// Secrets that sign one request: the new one, and the old one until every receiver knows the new one.
pub const SECRETS_MAX: usize = 2;
/// How far the time of a request may be from the receiver's: what is older may be a request that somebody sends again.
pub const TOLERANCE_S: u64 = 300;

/// A secret that sender and receiver share: `whsec_` and 24 to 64 bytes in base64. Never shown unless asked for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// Without the prefix.
    #[error("a secret begins with whsec_")]
    Prefix,
    /// Not base64.
    #[error("what follows whsec_ is no base64")]
    Base64,
    /// Too short to be safe, or too long.
    #[error("a secret has 24 to 64 bytes, this one has {0}")]
    Length(usize),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl Secret {
    /// Reads one.
    ///
    /// # Errors
    /// [`BadSecret`].
    pub fn parse(text: &str) -> Result<Self, BadSecret> {
        let text = text.strip_prefix(PREFIX).ok_or(BadSecret::Prefix)?;
        let bytes = STANDARD.decode(text).map_err(|_| BadSecret::Base64)?;
        if SECRET_BYTES.contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(BadSecret::Length(bytes.len()))
        }
    }

    /// Makes one of 32 random bytes.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn generate() -> Result<Self, BadSecret> {
        let mut bytes = vec![0; SECRET_BYTES_MADE];
        SystemRandom::new().fill(&mut bytes).map_err(|_| BadSecret::Random)?;
        Ok(Self(bytes))
    }

    /// The secret itself, as [`Secret::parse`] reads it.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What the signature stands for. No id has a dot, so no other id, time and body make the same.
fn signed(id: &str, at_s: u64, body: &[u8]) -> Vec<u8> {
    let mut content = format!("{id}.{at_s}.").into_bytes();
    content.extend_from_slice(body);
    content
}

/// The value of `webhook-signature`: one signature by each secret.
pub fn sign(secrets: &[Secret], id: &str, at_s: u64, body: &[u8]) -> String {
    let content = signed(id, at_s, body);
    let one = |secret: &Secret| format!("{VERSION}{}", STANDARD.encode(hmac::sign(&secret.key(), &content)));
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// Why a request is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// The header `webhook-timestamp` is no time.
    #[error("webhook-timestamp is no time in seconds")]
    Timestamp,
    /// Its time is too long ago: perhaps somebody sends it again.
    #[error("it was signed more than {TOLERANCE_S} s ago")]
    TooOld,
    /// Its time is too far ahead: the clocks disagree.
    #[error("it was signed more than {TOLERANCE_S} s ahead of this clock")]
    TooNew,
    /// No signature is by one of the secrets.
    #[error("no signature matches")]
    Signature,
}

/// For receivers: whether a request is by one who has one of the secrets, and new. The three texts are the headers
/// `webhook-id`, `webhook-timestamp` and `webhook-signature`; the body is what came, byte by byte.
///
/// # Errors
/// [`Unverified`].
pub fn verify(
    secrets: &[Secret],
    id: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now_s: u64,
) -> Result<(), Unverified> {
    let at_s: u64 = timestamp.parse().map_err(|_| Unverified::Timestamp)?;
    // `+1` is a number to the parser, and another text to the signature.
    if at_s.to_string() != timestamp {
        return Err(Unverified::Timestamp);
    }
    let content = signed(id, at_s, body);
    let is_by = |given: &str, secret: &Secret| {
        let given = given.strip_prefix(VERSION).and_then(|given| STANDARD.decode(given).ok());
        given.is_some_and(|given| hmac::verify(&secret.key(), &content, &given).is_ok())
    };
    let mut given = signature.split(' ').take(SIGNATURES_MAX);
    if !given.any(|given| secrets.iter().any(|secret| is_by(given, secret))) {
        return Err(Unverified::Signature);
    }
    if now_s > at_s.saturating_add(TOLERANCE_S) {
        return Err(Unverified::TooOld);
    }
    if at_s > now_s.saturating_add(TOLERANCE_S) {
        return Err(Unverified::TooNew);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT_S: u64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret() -> Secret {
        Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret")
    }

    fn verified(timestamp: &str, signature: &str, body: &[u8], now_s: u64) -> Result<(), Unverified> {
        verify(&[secret()], ID, timestamp, signature, body, now_s)
    }

    #[test]
    fn signatures_are_those_of_the_specification() {
        assert_eq!(sign(&[secret()], ID, AT_S, BODY), SIGNATURE);
        assert_eq!(verified(&AT_S.to_string(), SIGNATURE, BODY, AT_S), Ok(()));
    }

    #[test]
    fn while_a_secret_changes_both_sign_and_either_verifies() {
        let (old, new) = (secret(), Secret::generate().expect("random bytes"));
        let both = sign(&[new.clone(), old.clone()], ID, AT_S, BODY);
        assert_eq!(both.split(' ').count(), 2);
        for known in [old, new] {
            assert_eq!(verify(&[known], ID, &AT_S.to_string(), &both, BODY, AT_S), Ok(()));
        }
        let stranger = Secret::generate().expect("random bytes");
        let told = verify(&[stranger], ID, &AT_S.to_string(), &both, BODY, AT_S);
        assert_eq!(told, Err(Unverified::Signature));
    }

    #[test]
    fn a_request_that_was_changed_or_is_sent_again_later_is_not_believed() {
        let at = AT_S.to_string();
        assert_eq!(verified(&at, SIGNATURE, b"{}", AT_S), Err(Unverified::Signature));
        assert_eq!(verified("1614265331", SIGNATURE, BODY, AT_S), Err(Unverified::Signature));
        for nonsense in ["", "x", "-1", "+1614265330", "01614265330", "1.5"] {
            assert_eq!(verified(nonsense, SIGNATURE, BODY, AT_S), Err(Unverified::Timestamp), "{nonsense}");
        }
        for nonsense in ["", "v1,", "v1a,g0hM", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,é"] {
            assert_eq!(verified(&at, nonsense, BODY, AT_S), Err(Unverified::Signature), "{nonsense}");
        }
        assert_eq!(verified(&at, SIGNATURE, BODY, AT_S + TOLERANCE_S), Ok(()));
        assert_eq!(verified(&at, SIGNATURE, BODY, AT_S + TOLERANCE_S + 1), Err(Unverified::TooOld));
        assert_eq!(verified(&at, SIGNATURE, BODY, AT_S - TOLERANCE_S), Ok(()));
        assert_eq!(verified(&at, SIGNATURE, BODY, AT_S - TOLERANCE_S - 1), Err(Unverified::TooNew));
    }

    #[test]
    fn a_secret_is_of_24_to_64_bytes_and_is_not_shown() {
        let of =
            |bytes: usize| Secret::parse(&format!("whsec_{}", STANDARD.encode(vec![7; bytes]))).map(drop);
        assert_eq!((of(23), of(24)), (Err(BadSecret::Length(23)), Ok(())));
        assert_eq!((of(64), of(65)), (Ok(()), Err(BadSecret::Length(65))));
        assert_eq!(Secret::parse("MfKQ"), Err(BadSecret::Prefix));
        assert_eq!(Secret::parse("whsec_?"), Err(BadSecret::Base64));
        let made = Secret::generate().expect("random bytes");
        assert_eq!(Secret::parse(&made.reveal()), Ok(made.clone()));
        assert_eq!(format!("{made:?}"), "Secret(…)");
    }
}
