//! The ways out: what a contact says or clicks to end messages, and what address is never written to again.
//!
//! [`words`] reads what came in, [`token`] makes and checks the links of mails, [`message_id`] the names by which answers
//! to them are known, [`address`] and [`phone`] say when two spellings are one address, so that a suppression holds for
//! every campaign that finds it in another spelling. All of it is pure: keys and texts are arguments. Who is suppressed,
//! since when and why, is the database's; the headers of one-click unsubscribe are the channel's. The user's view is
//! docs/opt-out.md.

pub mod address;
pub mod message_id;
pub mod phone;
pub mod secrets;
pub mod token;
pub mod words;

pub use address::{Address, AddressHash, BadEmail, EmailAddress};
pub use phone::{BadPhone, Country, PhoneNumber};
pub use secrets::{BadSecret, Secrets};
pub use token::{BadToken, Unsubscribe};
pub use words::{Inbound, classify, classify_mail};
