//! The nouns of the application, as plain data: what stands in the database, and what pages and the API show.
//!
//! Nothing here reads a clock or a database. A status is an enum whose name is its word everywhere: in the database, in
//! the API, on the pages. [`touch`] has the life of a message; [`campaign`] has sequences and what starts and stops them.

pub mod account;
pub mod campaign;
pub mod contact;
pub mod import;
pub mod pause;
pub mod provider;
pub mod sender;
pub mod sequence;
pub mod touch;
pub mod variant;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::db::Value;

/// Numbers that the database gives, each a type of its own.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(pub i64);

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }

            impl From<$name> for Value {
                fn from(id: $name) -> Value {
                    Value::Int(id.0)
                }
            }
        )*
    };
}

ids! {
    /// A user: somebody who launches campaigns.
    UserId;
    /// A contact.
    ContactId;
    /// A list of contacts.
    ListId;
    /// One version of a template.
    TemplateId;
    /// A campaign.
    CampaignId;
    /// A message that a campaign owes a contact.
    TouchId;
    /// A mailbox or number that messages come from.
    SenderId;
    /// An account at a provider.
    ProviderId;
    /// Something that a person has to decide.
    ReviewId;
    /// An import of contacts.
    ImportId;
}

/// The word of a plain enum, as it stands in the database, the API and the pages.
pub trait Word: Serialize {
    /// The word.
    fn word(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(word)) => word,
            // Not reachable for an enum without data; the text says what was serialised instead.
            other => format!("{other:?}"),
        }
    }
}

/// Enums without data that are kept as words.
macro_rules! words {
    ($($name:ty),* $(,)?) => {
        $(
            impl $crate::model::Word for $name {}
            impl std::fmt::Display for $name {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(&$crate::model::Word::word(self))
                }
            }
            impl From<$name> for $crate::db::Value {
                fn from(word: $name) -> $crate::db::Value {
                    $crate::db::Value::Text($crate::model::Word::word(&word))
                }
            }
        )*
    };
}
pub(crate) use words;

impl From<crate::channel::Channel> for Value {
    fn from(channel: crate::channel::Channel) -> Value {
        channel.name().into()
    }
}

/// Somebody who launches campaigns. Their campaigns together get their share of every queue, however many there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their number.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Where they are told of things; may be empty.
    pub email: String,
    /// Their share against other users, 1 to 100.
    pub weight: u32,
    /// Messages a day of all their campaigns together; none is no cap.
    pub daily_cap: Option<u32>,
}
