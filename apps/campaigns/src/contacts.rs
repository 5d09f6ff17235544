//! The people a campaign day reaches: read from a user's own CSV file, or generated.
//!
//! [`ContactReader`] streams a file and loses nothing silently: every row becomes a contact or a [`BadRow`] with
//! its line and the reason. [`ContactList`] is what the rest of the application sees: contacts by number, from
//! either source, with a snapshot on disk so that another process sees the same list under the same numbers.

use serde::{Deserialize, Serialize};

mod generated;
mod list;
mod reader;
mod rows;

pub use list::{ContactList, MAX_CONTACTS, SnapshotError};
pub use reader::{BadRow, ContactReader, ContactsError, Reason, Row};

/// One person; has at least one of the two addresses when it comes from this module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The name, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The e-mail address, checked for form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The phone number in E.164, such as `+15551234567`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The time zone as the source wrote it; it is not checked here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The values of the columns this application does not know, in the order of [`ContactReader::extra_columns`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extra: Vec<String>,
}
