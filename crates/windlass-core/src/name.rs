//! Names and keys, validated once at the border and carried as types from there on.
//!
//! A *name* (queue, kind, limit, schedule) is `[A-Za-z0-9._:-]{1,128}`, and neither `.` nor `..`; a *key* (group, unique) is
//! any UTF-8 without control characters, 1 to 255 bytes.

use crate::bounds::{KEY_BYTES_MAX, NAME_BYTES_MAX};
use crate::error::Rejection;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Says what is wrong with a would-be name, or nothing.
pub fn check_name(what: &'static str, text: &str) -> Result<(), Rejection> {
    let fault = if text.is_empty() {
        "is empty"
    } else if text.len() > NAME_BYTES_MAX {
        "is longer than 128 characters"
    } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-')) {
        "may hold only letters, digits and . _ : -"
    } else if matches!(text, "." | "..") {
        // Browsers and libraries take such a part of an address away before anybody sees it, encoded or not.
        "cannot stand in an address, where it means this place or the one above"
    } else {
        return Ok(());
    };
    Err(Rejection::Invalid { what, why: format!("{} {fault}", shown(text)) })
}

/// Says what is wrong with a would-be key, or nothing.
pub fn check_key(what: &'static str, text: &str) -> Result<(), Rejection> {
    let fault = if text.is_empty() {
        "is empty"
    } else if text.len() > KEY_BYTES_MAX {
        "is longer than 255 bytes"
    } else if text.chars().any(char::is_control) {
        "holds control characters"
    } else {
        return Ok(());
    };
    Err(Rejection::Invalid { what, why: format!("{} {fault}", shown(text)) })
}

/// The text quoted and escaped for an error message, cut where it gets long.
fn shown(text: &str) -> String {
    let cut: String = text.chars().take(40).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{dots}")
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $check:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The validated name.
            ///
            /// # Errors
            /// [`Rejection::Invalid`] that says what is wrong with the text.
            pub fn new(text: impl AsRef<str>) -> Result<Self, Rejection> {
                let text = text.as_ref();
                $check($what, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Rejection;
            fn try_from(text: String) -> Result<Self, Rejection> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Rejection;
            fn try_from(text: &str) -> Result<Self, Rejection> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Rejection;
            fn from_str(text: &str) -> Result<Self, Rejection> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }
    )*};
}

names! {
    /// The name of a queue: one type of work with its settings.
    QueueName, "queue name", check_name;
    /// The kind of a job: which handler understands its payload.
    Kind, "kind", check_name;
    /// The name of a limit that jobs of any queue may share.
    LimitName, "limit name", check_name;
    /// The name of a schedule.
    ScheduleName, "schedule name", check_name;
    /// The key of a group inside a queue: a campaign, a tenant.
    GroupKey, "group key", check_key;
    /// A unique key: at most one live job holds it.
    UniqueKey, "unique key", check_key;
    /// A tag of a job, for people and filters.
    Tag, "tag", check_key;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_name_is_refused_with_what_is_wrong() {
        assert!(QueueName::new("mail:eu-1.v2_x").is_ok());
        for bad in ["", "a b", "ä", "a/b", "a\n", ".", "..", &"x".repeat(129)] {
            let said = QueueName::new(bad).expect_err(bad).to_string();
            assert!(said.contains("queue name"), "{said}");
        }
    }

    #[test]
    fn a_key_is_any_text_without_control_characters() {
        assert!(GroupKey::new("Kampagne 7 / Öl").is_ok());
        for bad in ["", "a\u{7}b", "x\n", &"ö".repeat(128)] {
            assert!(GroupKey::new(bad).is_err(), "{bad:?}");
        }
    }
}
