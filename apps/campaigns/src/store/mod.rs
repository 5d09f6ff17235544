//! What is asked of the database: one module for each noun, each function one question or one change of a [`Tx`].
//!
//! A function here decides nothing that the flow or a page could decide: it reads rows, writes rows, and where several
//! writers may meet, compares before it sets. Who may do what is the caller's business.
//!
//! [`Tx`]: crate::db::Tx

pub mod audit;
pub mod campaigns;
pub mod colleagues;
pub mod contacts;
pub mod enrolments;
pub mod events;
pub mod imports;
pub mod lists;
pub mod pauses;
pub mod providers;
pub mod reviews;
pub mod senders;
pub mod settings;
pub mod suppressions;
pub mod templates;
pub mod touches;
pub mod usage;
pub mod users;
pub mod variants;

/// A page of rows at most.
pub const PAGE_MAX: u32 = 500;

/// A statement whose text begins with the columns of a noun.
macro_rules! select {
    ($columns:ident, $rest:literal) => {
        ::std::concat!("SELECT ", $columns!(), " ", $rest)
    };
}
pub(crate) use select;
