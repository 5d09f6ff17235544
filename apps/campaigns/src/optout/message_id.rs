//! The Message-ID of our mails: which message it is, of which installation, signed.
//!
//! Answers and bounces come back with it, and it is all by which they are known; everything else in a mail is what its
//! writer says. So it is signed: whoever shows one has seen that mail, or was told of it by a server on its way. Numbers
//! are easily guessed, and a guessed one must not end the sequence of somebody else.

use super::Secrets;

/// What the signature is for, so that a key which signs other things too never signs one of these by accident.
const PURPOSE: &[u8] = b"windlass-campaigns message-id\0";
/// Bytes of the signature: a guess is right once in 2^80, and each costs a mail.
const TAG_BYTES: usize = 10;

/// The Message-ID of a message, with brackets, as in `<t17.a1b2c3d4e5f6.0123456789abcdef0123@example.com>`: always the same
/// one, also after a key was added.
pub fn message_id(touch: i64, instance: &str, domain: &str, secrets: &Secrets) -> String {
    format!("<t{touch}.{instance}.{}@{domain}>", tag(touch, instance, secrets))
}

/// The message that a Message-ID names, if this installation made it; its domain does not count.
pub fn message_of(id: &str, instance: &str, secrets: &Secrets) -> Option<i64> {
    let local = id.strip_prefix("<t")?.split_once('@')?.0;
    let mut parts = local.split('.');
    let (number, of, signed) = (parts.next()?, parts.next()?, parts.next()?);
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || of != instance || parts.next().is_some() {
        return None;
    }
    let touch = number.parse().ok()?;
    // A guess costs a mail, and how long a comparison takes is not to be seen through mail servers.
    tag(touch, instance, secrets).eq_ignore_ascii_case(signed).then_some(touch)
}

fn tag(touch: i64, instance: &str, secrets: &Secrets) -> String {
    let tag = secrets.oldest_tag(&[PURPOSE, instance.as_bytes(), b"\0", &touch.to_be_bytes()]);
    tag.as_ref()[..TAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(keys: &[u8]) -> Secrets {
        Secrets::new(keys.iter().map(|byte| [*byte; 32])).unwrap()
    }

    #[test]
    fn a_message_id_names_its_message_whatever_became_of_keys_and_capitals_and_no_other_names_one() {
        let keys = secrets(&[7]);
        let id = message_id(17, "a1", "example.com", &keys);
        assert!(id.starts_with("<t17.a1.") && id.ends_with("@example.com>"), "{id}");
        for read in [id.as_str(), &id.replace("example.com", "other.example"), &id.to_ascii_uppercase()] {
            let read = read.replacen("<T17.A1.", "<t17.a1.", 1);
            assert_eq!(message_of(&read, "a1", &keys), Some(17), "{read}");
        }
        assert_eq!(message_of(&id, "a1", &secrets(&[8, 7])), Some(17));
        assert_eq!(message_id(17, "a1", "example.com", &secrets(&[8, 7])), id);
        for forged in [
            id.replace("t17", "t18"),
            id.replace("t17", "t+17"),
            id.replace("t17", "t99999999999999999999"),
            id.replace(".a1.", ".a2."),
            id.replace('@', ".x@"),
            id.replace("<t", "<test"),
            "<t17.a1@example.com>".to_owned(),
            "<t17.a1.@example.com>".to_owned(),
            id.trim_start_matches('<').to_owned(),
        ] {
            assert_eq!(message_of(&forged, "a1", &keys), None, "{forged}");
        }
        assert_eq!(message_of(&id, "a1", &secrets(&[8])), None);
    }
}
