//! The key that signs events, made anew at each start.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};

/// What stands before a point of P-256 in a SubjectPublicKeyInfo (RFC 5480, section 2).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

pub(super) struct Signer {
    random: SystemRandom,
    pair: EcdsaKeyPair,
}

impl Signer {
    pub(super) fn new() -> io::Result<Self> {
        let failed = |why: &str| io::Error::other(format!("no key for signatures: {why}"));
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| failed("no randomness"))?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random)
            .map_err(|error| failed(&error.to_string()))?;
        Ok(Self { random, pair })
    }

    /// The key to check signatures with: DER in base64, as the provider's own settings show it.
    pub(super) fn public_key(&self) -> String {
        BASE64.encode([&SPKI_PREFIX[..], self.pair.public_key().as_ref()].concat())
    }

    /// What `X-Twilio-Email-Event-Webhook-Signature` says: ECDSA over the time and the body.
    pub(super) fn sign(&self, timestamp: &str, body: &str) -> Option<String> {
        let signed = self.pair.sign(&self.random, format!("{timestamp}{body}").as_bytes()).ok()?;
        Some(BASE64.encode(signed))
    }
}
