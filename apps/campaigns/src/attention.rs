//! What waits for a person: questions about what contacts wrote, calls that nobody knows of, accounts and senders that are left
//! alone, and senders that stay paused until somebody looks.
//!
//! It is what the campaigns' front page begins with, what `GET /v1/attention` answers, and what is told to the log: a line for
//! each thing that is new, once, whatever restarts (`tell`). Nobody is written to by the application itself: what reads the
//! log, or asks, is the operator's.

use serde::{Deserialize, Serialize};
use windlass::Time;

use crate::{
    app::{App, AppError},
    db::Tx,
    model::words,
    store::{
        providers,
        reviews::{self, ReviewKind},
        senders, settings,
    },
};

/// Days of work within which an opt-out in any reasonable words is to be honoured (47 CFR 64.1200(a)(10)).
const OPT_OUT_WORKDAYS: u32 = 10;
const DAY_MS: u64 = 86_400_000;
/// What the name of the setting is that has what the log was told.
const TOLD: &str = "attention_told";

/// What kind of thing waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Texts and mails that may mean an opt-out.
    PossibleOptOut,
    /// Calls whose outcome nobody knows.
    UnknownCall,
    /// An account that is left alone, since it fails or a person says so.
    ProviderHeld,
    /// A sender that is left alone for the same.
    SenderHeld,
    /// A sender that is paused and does not go on by itself.
    SenderPaused,
}

words!(Kind);

/// Something that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// The account's or sender's number; of questions, the newest one's.
    pub id: i64,
    /// The account's name or the sender's address; empty for questions.
    pub name: String,
    /// How many there are: of questions, all that are open.
    pub count: i64,
    /// Why, in a sentence.
    pub why: String,
    /// Of questions, since when the oldest of them waits.
    pub since: Option<Time>,
    /// By when the oldest must be decided, where the law says so.
    pub due_at: Option<Time>,
}

/// What the log was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// The newest question, of all that ever were.
    question: i64,
    /// The accounts and senders that waited when it was last looked.
    others: Vec<(Kind, i64)>,
}

impl Told {
    fn knows(&self, item: &Item) -> bool {
        match item.kind {
            Kind::PossibleOptOut | Kind::UnknownCall => item.id <= self.question,
            kind => self.others.contains(&(kind, item.id)),
        }
    }

    fn and(&self, all: &[Item]) -> Self {
        let is_question = |item: &&Item| matches!(item.kind, Kind::PossibleOptOut | Kind::UnknownCall);
        let newest = all.iter().filter(is_question).map(|item| item.id).max().unwrap_or(0);
        let others = all.iter().filter(|item| !is_question(item)).map(|item| (item.kind, item.id));
        Self { question: self.question.max(newest), others: others.collect() }
    }
}

/// Everything that waits for a person, the questions first.
///
/// # Errors
/// The database's.
pub async fn look(app: &App) -> Result<Vec<Item>, AppError> {
    app.db().read(look_in).await
}

fn look_in(tx: &mut Tx<'_>) -> Result<Vec<Item>, AppError> {
    let mut all = Vec::new();
    for waiting in reviews::waiting(tx)? {
        let (kind, why, due_at) = match waiting.kind {
            ReviewKind::PossibleOptOut => (
                Kind::PossibleOptOut,
                "nothing is sent to whoever wrote it before somebody has decided what it means",
                Some(workdays_after(waiting.oldest, OPT_OUT_WORKDAYS)),
            ),
            ReviewKind::UnknownCall => {
                (Kind::UnknownCall, "nobody knows whether the call was made, and it is not made again", None)
            }
        };
        let (id, count, since) = (waiting.newest.0, waiting.count, Some(waiting.oldest));
        all.push(Item { kind, id, name: String::new(), count, why: why.to_owned(), since, due_at });
    }
    let one = |kind, id, name: &str, why: String| Item {
        kind,
        id,
        name: name.to_owned(),
        count: 1,
        why,
        since: None,
        due_at: None,
    };
    for provider in providers::all(tx)? {
        let breaker = providers::breaker(tx, provider.id)?;
        if breaker.holds_back() {
            all.push(one(Kind::ProviderHeld, provider.id.0, &provider.name, breaker.says()));
        }
    }
    for sender in senders::all(tx)? {
        let breaker = senders::breaker(tx, sender.id)?;
        if breaker.holds_back() {
            all.push(one(Kind::SenderHeld, sender.id.0, &sender.address, breaker.says()));
        }
        if sender.paused && sender.paused_until.is_none() {
            all.push(one(Kind::SenderPaused, sender.id.0, &sender.address, sender.pause_reason));
        }
    }
    Ok(all)
}

/// So many days of work after that moment, Saturdays and Sundays left out. Holidays are not: the moment is rather too early.
fn workdays_after(at: Time, days: u32) -> Time {
    let mut then = at;
    let mut left = days;
    while left > 0 {
        then = then.plus_ms(DAY_MS);
        // 1970 began on a Thursday.
        let weekday = (then.0 / DAY_MS + 3) % 7;
        if weekday < 5 {
            left -= 1;
        }
    }
    then
}

/// Tells the log of what waits for a person and did not when this was last asked, by whichever process. Who asks once a
/// minute has a line within a minute.
///
/// # Errors
/// The database's.
pub(crate) async fn tell(app: &App) -> Result<(), AppError> {
    let all = look(app).await?;
    let known: Told = app.db().read(|tx| settings::get(tx, TOLD)).await?.unwrap_or_default();
    let told = known.and(&all);
    if known == told {
        return Ok(());
    }
    for item in all.iter().filter(|item| !known.knows(item)) {
        let Item { kind, name, count, why, .. } = item;
        tracing::warn!(target: "attention", kind = %kind, name, count, "a person has to look: {why}");
    }
    app.db().write(move |tx| settings::set(tx, TOLD, &told)).await.map_err(AppError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_told_again_only_when_it_begins_again() {
        let item = |kind, id| Item {
            kind,
            id,
            name: String::new(),
            count: 1,
            why: String::new(),
            since: None,
            due_at: None,
        };
        let (first, second) = (item(Kind::PossibleOptOut, 3), item(Kind::PossibleOptOut, 4));
        let held = item(Kind::ProviderHeld, 1);
        let nothing = Told::default();
        assert!(!nothing.knows(&first) && !nothing.knows(&held));
        let told = nothing.and(&[second.clone(), held.clone()]);
        assert!(told.knows(&first) && told.knows(&second) && told.knows(&held));
        assert!(!told.knows(&item(Kind::SenderHeld, 1)), "another thing of the same number");
        let over = told.and(std::slice::from_ref(&first));
        assert!(over.knows(&second), "a question that was decided was told, and so was the one before it");
        assert!(!over.knows(&held), "it was well in between");
        assert_eq!(over.and(std::slice::from_ref(&first)), over, "nothing is written where nothing is new");
    }

    #[test]
    fn ten_days_of_work_are_two_weeks_from_any_workday_and_end_no_later_from_a_weekend() {
        // Wednesday, 2026-11-18, noon in UTC.
        let wednesday = Time(1_795_003_200_000);
        for day in 0..7 {
            let from = wednesday.plus_ms(day * DAY_MS);
            let days = workdays_after(from, OPT_OUT_WORKDAYS).since(from) / DAY_MS;
            let wanted = match day {
                3 => 13, // Saturday
                4 => 12, // Sunday
                _ => 14,
            };
            assert_eq!(days, wanted, "{day} days after Wednesday");
        }
    }
}
