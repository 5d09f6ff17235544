//! Whose campaigns there are, and the share of the queues that each of them has.

use askama::Template;

use super::{Count, Input};
use crate::pages::Shell;

/// A user.
#[derive(Clone, Debug, Default)]
pub struct UserRow {
    /// Their name.
    pub name: String,
    /// Their share against others.
    pub weight: u32,
    /// Messages a day of all their campaigns; none is no cap.
    pub daily_cap: Option<Count>,
    /// Where their share is changed.
    pub edit_at: String,
    /// Campaigns that have messages to send.
    pub live: Count,
    /// What their campaigns get together while all users' wait, in percent; none while they have none.
    pub percent: Option<u8>,
}

/// The users.
#[derive(Clone, Debug, Template)]
#[template(path = "users.html")]
pub struct UsersPage {
    /// What stands around it.
    pub s: Shell,
    /// Users, by name.
    pub rows: Vec<UserRow>,
    /// The name of a share that is written.
    pub name: Input,
    /// The share.
    pub weight: Input,
    /// The messages a day of all their campaigns.
    pub daily_cap: Input,
    /// Those of everybody's.
    pub everybodys: Input,
}
