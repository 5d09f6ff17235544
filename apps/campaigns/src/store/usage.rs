//! What was counted against the caps of a day.

use std::{borrow::Cow, collections::BTreeMap};

use crate::db::{DbError, Tx, Value};

/// Whose cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    /// A campaign's.
    Campaign(crate::model::CampaignId),
    /// A sender's.
    Sender(crate::model::SenderId),
    /// What is planned of a campaign's messages on a day to come.
    CampaignPlan(crate::model::CampaignId),
    /// What is planned of a sender's messages on a day to come.
    SenderPlan(crate::model::SenderId),
    /// Whom a campaign begins with.
    Begun(crate::model::CampaignId),
    /// All campaigns' of a user.
    User(crate::model::UserId),
    /// Everybody's.
    Everybody,
    /// A recipients' domain's.
    Domain(&'a str),
    /// What is planned of those whom a campaign begins with on a day to come; so with the three below.
    BegunPlan(crate::model::CampaignId),
    /// Of a user's messages.
    UserPlan(crate::model::UserId),
    /// Of everybody's.
    EverybodyPlan,
    /// Of a domain's.
    DomainPlan(&'a str),
    /// That a sender has grown by a day.
    Grown(crate::model::SenderId),
    /// Orders of people who are no contacts that were obeyed ([`crate::flow::strangers`]).
    StrangersOrders,
    /// Of those, orders that were dropped.
    DroppedOrders,
    /// Wishes of theirs that were dropped.
    DroppedQuestions,
}

impl Of<'_> {
    fn key(self) -> (Cow<'static, str>, i64) {
        let (kind, id) = match self {
            Of::Domain(domain) => return (format!("domain {domain}").into(), 0),
            Of::DomainPlan(domain) => return (format!("domain plan {domain}").into(), 0),
            Of::Campaign(id) => ("campaign", id.0),
            Of::Sender(id) => ("sender", id.0),
            Of::CampaignPlan(id) => ("campaign plan", id.0),
            Of::SenderPlan(id) => ("sender plan", id.0),
            Of::Begun(id) => ("campaign begun", id.0),
            Of::BegunPlan(id) => ("campaign begun plan", id.0),
            Of::User(id) => ("user", id.0),
            Of::UserPlan(id) => ("user plan", id.0),
            Of::Everybody => ("everybody", 0),
            Of::EverybodyPlan => ("everybody plan", 0),
            Of::Grown(id) => ("sender grown", id.0),
            Of::StrangersOrders => ("stranger orders", 0),
            Of::DroppedOrders => ("dropped orders", 0),
            Of::DroppedQuestions => ("dropped questions", 0),
        };
        (kind.into(), id)
    }
}

/// Takes one message of that day, unless so many are taken already; false when they are.
///
/// # Errors
/// The database's.
pub fn take(tx: &mut Tx<'_>, of: Of<'_>, day: &str, cap: u32) -> Result<bool, DbError> {
    let (kind, id) = of.key();
    let sql = "INSERT INTO usage (kind, subject_id, day, used) SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS TEXT), 1
               WHERE CAST($4 AS BIGINT) > 0
               ON CONFLICT (kind, subject_id, day) DO UPDATE SET used = usage.used + 1 WHERE usage.used < CAST($4 AS BIGINT)";
    Ok(tx.run(sql, &[kind.as_ref().into(), id.into(), day.into(), cap.into()])? > 0)
}

/// Gives one message of that day back: it was not sent.
///
/// # Errors
/// The database's.
pub fn give_back(tx: &mut Tx<'_>, of: Of<'_>, day: &str) -> Result<(), DbError> {
    let (kind, id) = of.key();
    let sql =
        "UPDATE usage SET used = used - 1 WHERE kind = $1 AND subject_id = $2 AND day = $3 AND used > 0";
    tx.run(sql, &[kind.as_ref().into(), id.into(), day.into()]).map(drop)
}

/// How many messages of that day are taken.
///
/// # Errors
/// The database's.
pub fn used(tx: &mut Tx<'_>, of: Of<'_>, day: &str) -> Result<i64, DbError> {
    let (kind, id) = of.key();
    let sql = "SELECT used FROM usage WHERE kind = $1 AND subject_id = $2 AND day = $3";
    tx.count(sql, &[kind.as_ref().into(), id.into(), day.into()])
}

/// Replaces what is counted of the days after that one.
///
/// # Errors
/// The database's.
pub fn replace_after(
    tx: &mut Tx<'_>,
    of: Of<'_>,
    day: &str,
    counts: &BTreeMap<String, i64>,
) -> Result<(), DbError> {
    let (kind, id) = of.key();
    let sql = "DELETE FROM usage WHERE kind = $1 AND subject_id = $2 AND day > $3";
    tx.run(sql, &[kind.as_ref().into(), id.into(), day.into()])?;
    let rows: Vec<Vec<Value>> = counts
        .iter()
        .filter(|(of_day, _)| of_day.as_str() > day)
        .map(|(of_day, count)| vec![kind.as_ref().into(), id.into(), of_day.as_str().into(), (*count).into()])
        .collect();
    tx.run_each("INSERT INTO usage (kind, subject_id, day, used) VALUES ($1, $2, $3, $4)", &rows).map(drop)
}
