//! The legal calling hours in force: the table that the program brings, or one that people have edited.
//!
//! An edited table is kept as the text that somebody wrote, with its comments. It holds in this process from the next
//! message on, and in the others within a second. Every message keeps the edition that it was checked against, so neither
//! the table in force nor the program's own gives its name to another one.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use super::{again, jobs::Waiting};
use crate::{
    app::{App, AppError},
    db::{DbError, Tx},
    store::{audit, settings},
    window::RuleTable,
};

/// The longest table, in bytes: some thousand rows.
const TEXT_MAX: usize = 1 << 20;
/// How long a process goes by a table before it looks whether another one has edited it: a look at each message would read
/// the table hundreds of times a second.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// The table by which a process goes.
#[derive(Debug)]
pub(crate) struct InForce(RwLock<Known>);

#[derive(Debug)]
struct Known {
    table: Arc<RuleTable>,
    /// What somebody has written; none is the table that the program brings.
    text: Option<String>,
    looked_at: Instant,
}

impl Known {
    fn of(text: Option<String>) -> Result<Self, AppError> {
        let table = match &text {
            Some(text) => {
                RuleTable::parse(text).map_err(|error| AppError::invalid("calling hours", error))?
            }
            None => RuleTable::built_in().clone(),
        };
        Ok(Self { table: Arc::new(table), text, looked_at: Instant::now() })
    }
}

impl InForce {
    /// The table of that text, or the one that the program brings.
    ///
    /// # Errors
    /// What is wrong in which row.
    pub(crate) fn new(text: Option<String>) -> Result<Self, AppError> {
        Ok(Self(RwLock::new(Known::of(text)?)))
    }

    /// The table as this process knows it.
    pub(crate) fn known(&self) -> Arc<RuleTable> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).table.clone()
    }

    /// The table as it was in the database a second ago at most, for what is checked right before a message goes out.
    ///
    /// # Errors
    /// The database's.
    pub(crate) fn fresh(&self, tx: &mut Tx<'_>) -> Result<Arc<RuleTable>, DbError> {
        {
            let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if known.looked_at.elapsed() < KNOWN_FOR {
                return Ok(known.table.clone());
            }
        }
        let text: Option<String> = settings::get(tx, settings::WINDOW_RULES)?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.looked_at = Instant::now();
        if known.text != text {
            match Known::of(text) {
                Ok(edited) => *known = edited,
                // Nobody can write such a text through the application.
                Err(error) => {
                    tracing::error!(%error, "the edited table makes no sense; the one before holds on")
                }
            }
        }
        Ok(known.table.clone())
    }

    fn go_by(&self, table: RuleTable, text: Option<String>) {
        let looked_at = Instant::now();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) =
            Known { table: Arc::new(table), text, looked_at };
    }
}

/// The text of the table in force, and whether somebody has edited it.
///
/// # Errors
/// The database's.
pub async fn text(app: &App) -> Result<(String, bool), AppError> {
    let edited: Option<String> =
        app.db().read(|tx| Ok::<_, AppError>(settings::get(tx, settings::WINDOW_RULES)?)).await?;
    Ok(edited.map_or_else(|| (RuleTable::built_in_text().to_owned(), false), |text| (text, true)))
}

/// Has an edited table hold.
///
/// # Errors
/// What is wrong in which row; another table under the name of the one in force; the database's.
pub async fn set(app: &App, text: &str, who: &str) -> Result<RuleTable, AppError> {
    if text.len() > TEXT_MAX {
        return Err(AppError::invalid("calling hours", format!("at most {TEXT_MAX} bytes")));
    }
    let table = RuleTable::parse(text).map_err(|why| AppError::invalid("calling hours", why))?;
    let known = [RuleTable::built_in(), &*app.rules()];
    if known.iter().any(|other| other.edition == table.edition && **other != table) {
        let why = format!(
            "edition {:?} is another table already, and messages that were sent refer to it: give yours a name of its own",
            table.edition
        );
        return Err(AppError::invalid("calling hours", why));
    }
    let (now, who, text, edition) = (app.now(), who.to_owned(), text.to_owned(), table.edition.clone());
    let (written, inner) = (text.clone(), app.clone());
    app.db()
        .write(move |tx| {
            settings::set(tx, settings::WINDOW_RULES, &written)?;
            again::at_all(tx, &inner, None, Waiting::Hours)?;
            Ok::<_, AppError>(audit::note(tx, &who, "set calling hours", &edition, "", now)?)
        })
        .await?;
    app.hours().go_by(table.clone(), Some(text));
    Ok(table)
}

/// Has the table hold that the program brings.
///
/// # Errors
/// That nobody has edited it; the database's.
pub async fn reset(app: &App, who: &str) -> Result<RuleTable, AppError> {
    let table = RuleTable::built_in().clone();
    let (now, who, edition, inner) = (app.now(), who.to_owned(), table.edition.clone(), app.clone());
    app.db()
        .write(move |tx| {
            if !settings::remove(tx, settings::WINDOW_RULES)? {
                return Err(AppError::Conflict("nobody has edited the table of calling hours".to_owned()));
            }
            again::at_all(tx, &inner, None, Waiting::Hours)?;
            Ok(audit::note(tx, &who, "reset calling hours", &edition, "", now)?)
        })
        .await?;
    app.hours().go_by(table.clone(), None);
    Ok(table)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at its first surprise")]

    use super::*;
    use crate::db::Db;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_another_process_has_edited_holds_here_at_the_next_look_and_nonsense_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&format!("sqlite:{}", dir.path().join("c.db").display())).await.unwrap();
        let in_force = Arc::new(InForce::new(None).unwrap());
        let built_in = RuleTable::built_in().edition.clone();
        let ours = RuleTable::built_in_text().replace(&format!("{built_in:?}"), "\"ours\"");
        let write = |text: &str| {
            let text = text.to_owned();
            db.write(move |tx| settings::set(tx, settings::WINDOW_RULES, &text))
        };
        let look = || {
            let in_force = in_force.clone();
            db.read(move |tx| Ok::<_, DbError>(in_force.fresh(tx)?.edition.clone()))
        };
        let a_second_later = || in_force.0.write().unwrap().looked_at -= KNOWN_FOR;

        write(&ours).await.unwrap();
        assert_eq!(look().await.unwrap(), built_in, "it was looked at a moment ago");
        a_second_later();
        assert_eq!(look().await.unwrap(), "ours");
        assert_eq!(in_force.known().edition, "ours");
        write("no table").await.unwrap();
        a_second_later();
        assert_eq!(look().await.unwrap(), "ours", "the last one that made sense");
        db.write(|tx| settings::remove(tx, settings::WINDOW_RULES)).await.unwrap();
        a_second_later();
        assert_eq!(look().await.unwrap(), built_in);
    }
}
