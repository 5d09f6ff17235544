//! The token in an unsubscribe link: who, from which touch of which campaign, signed.
//!
//! A token needs no row to be understood and no login to be used (RFC 8058), and it never expires: a mail that is
//! years old must still unsubscribe. It opens nothing but the way out, so that whoever finds one can do no more than
//! its owner would forgive. Its form: a version byte, a channel byte, three ids of eight bytes, then HMAC-SHA-256
//! over a purpose text and those bytes; all in base64url without padding, 78 characters.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use thiserror::Error;

use super::Secrets;
use crate::channel::Channel;

/// What the signature is for, so that a key which signs other things too never signs a token by accident.
const PURPOSE: &[u8] = b"windlass-campaigns unsubscribe\0";
/// The form of what is signed; another form gets another number.
const VERSION: u8 = 1;
const MESSAGE_BYTES: usize = 26;
const TAG_BYTES: usize = 32;
/// The length of every token, in characters.
pub const TOKEN_CHARS: usize = (MESSAGE_BYTES + TAG_BYTES) * 8 / 6 + 1;

/// What a link says when it is followed: this contact wants no more of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The contact.
    pub contact: i64,
    /// The campaign whose message had the link.
    pub campaign: i64,
    /// The touch that was the message.
    pub touch: i64,
    /// The channel that the message came by.
    pub channel: Channel,
}

/// A token that is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadToken {
    /// Cut off, changed on its way, or never a token.
    #[error(
        "the link is incomplete; copy it whole from the mail, or reply to the mail with the word unsubscribe"
    )]
    Malformed,
    /// Of a version that this program does not know.
    #[error("the link is of a newer version of this program; reply to the mail with the word unsubscribe")]
    Version,
    /// Not signed by any key.
    #[error("the link was not made here; reply to the mail with the word unsubscribe")]
    Forged,
}

impl Unsubscribe {
    /// The token, signed with the newest key.
    pub fn token(&self, secrets: &Secrets) -> String {
        let message = self.message();
        let mut bytes = [0; MESSAGE_BYTES + TAG_BYTES];
        bytes[..MESSAGE_BYTES].copy_from_slice(&message);
        bytes[MESSAGE_BYTES..].copy_from_slice(secrets.tag(&[PURPOSE, &message]).as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token says, if any of the keys signed it; however old it is.
    ///
    /// Signs that mail programs leave at the end of a link, such as `.` and `>`, do not count.
    ///
    /// # Errors
    /// When it is not a whole token, of another version, or not signed by one of the keys.
    pub fn from_token(token: &str, secrets: &Secrets) -> Result<Self, BadToken> {
        let token = token.trim().trim_end_matches(['.', ',', ';', '>', ')', ']', '"', '\'', '=']);
        if token.len() != TOKEN_CHARS {
            return Err(BadToken::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| BadToken::Malformed)?;
        let (message, tag) = bytes.split_at_checked(MESSAGE_BYTES).ok_or(BadToken::Malformed)?;
        let [version, channel, ids @ ..] = message else { return Err(BadToken::Malformed) };
        if *version != VERSION {
            return Err(BadToken::Version);
        }
        if !secrets.verifies(&[PURPOSE, message].concat(), tag) {
            return Err(BadToken::Forged);
        }
        let id = |at: usize| ids.get(at * 8..)?.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
        let channel = Channel::ALL.into_iter().find(|known| channel_byte(*known) == *channel);
        match (id(0), id(1), id(2), channel) {
            (Some(contact), Some(campaign), Some(touch), Some(channel)) => {
                Ok(Self { contact, campaign, touch, channel })
            }
            _ => Err(BadToken::Malformed),
        }
    }

    fn message(&self) -> [u8; MESSAGE_BYTES] {
        let mut message = [0; MESSAGE_BYTES];
        message[0] = VERSION;
        message[1] = channel_byte(self.channel);
        for (index, id) in [self.contact, self.campaign, self.touch].into_iter().enumerate() {
            message[2 + index * 8..][..8].copy_from_slice(&id.to_be_bytes());
        }
        message
    }
}

/// Part of the form: a number never changes its channel.
fn channel_byte(channel: Channel) -> u8 {
    match channel {
        Channel::Email => 1,
        Channel::Sms => 2,
        Channel::Voicemail => 3,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secrets(keys: &[u8]) -> Secrets {
        Secrets::new(keys.iter().map(|byte| [*byte; 32])).unwrap()
    }

    const LINK: Unsubscribe =
        Unsubscribe { contact: 17, campaign: 3, touch: 4_000_000_001, channel: Channel::Email };

    #[test]
    fn a_token_of_years_ago_still_says_what_it_said() {
        // Made by the first version; a change that breaks it breaks links in mailboxes.
        let old = "AQEAAAAAAAAAEQAAAAAAAAADAAAAAO5rKAHu1mhXv0a-PNr4q2J5r3jnsTLX3fgSmEOPd9jjMWEomQ";
        assert_eq!(LINK.token(&secrets(&[7])), old);
        assert_eq!(Unsubscribe::from_token(old, &secrets(&[7])), Ok(LINK));
        assert_eq!(Unsubscribe::from_token(&format!(" {old}.>\n"), &secrets(&[7])), Ok(LINK));
    }

    #[test]
    fn every_key_is_honoured_and_the_first_signs() {
        let token = LINK.token(&secrets(&[1]));
        assert_eq!(Unsubscribe::from_token(&token, &secrets(&[3, 2, 1])), Ok(LINK));
        assert_eq!(Unsubscribe::from_token(&token, &secrets(&[3, 2])), Err(BadToken::Forged));
        assert_eq!(LINK.token(&secrets(&[1, 2])), token);
    }

    #[test]
    fn no_changed_or_cut_token_says_anything() {
        let secrets = secrets(&[7]);
        let token = LINK.token(&secrets);
        for at in 0..token.len() {
            assert!(Unsubscribe::from_token(&token[..at], &secrets).is_err());
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Unsubscribe::from_token(&changed, &secrets).is_err(), "{at}: {changed}");
        }
        // A signature of the same bytes for another purpose.
        let other =
            ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[7; 32]), &LINK.message());
        let forged = URL_SAFE_NO_PAD.encode([&LINK.message()[..], other.as_ref()].concat());
        assert_eq!(Unsubscribe::from_token(&forged, &secrets), Err(BadToken::Forged));
    }

    #[test]
    fn weak_keys_are_refused_and_keys_are_not_shown() {
        assert_eq!(
            Secrets::new([[0; 31]]).unwrap_err().to_string().split(';').next(),
            Some("key 1 has 31 bytes and needs 32")
        );
        assert!(Secrets::new([[0; 32]; 17]).is_err() && Secrets::new::<&[u8]>([]).is_err());
        assert_eq!(format!("{:?}", secrets(&[7, 8])), "Secrets(2 keys)");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_signed_is_read_and_anything_else_is_refused(
            ids in any::<[i64; 3]>(), channel in prop::sample::select(&Channel::ALL[..]), text in any::<String>(),
        ) {
            let secrets = secrets(&[7]);
            let link = Unsubscribe { contact: ids[0], campaign: ids[1], touch: ids[2], channel };
            let token = link.token(&secrets);
            prop_assert_eq!(token.len(), TOKEN_CHARS);
            prop_assert_eq!(Unsubscribe::from_token(&token, &secrets), Ok(link));
            prop_assert!(Unsubscribe::from_token(&text, &secrets).is_err());
        }
    }
}
