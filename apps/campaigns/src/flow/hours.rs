//! The legal calling hours in force: the table that the program brings, or one that people have edited.
//!
//! An edited table is kept as the text that somebody wrote, with its comments. It holds in this process from the next
//! message on, and in others when they start. Every message keeps the edition that it was checked against, so neither the
//! table in force nor the program's own gives its name to another one.

use crate::{
    app::{App, AppError},
    store::{audit, settings},
    window::RuleTable,
};

/// The longest table, in bytes: some thousand rows.
const TEXT_MAX: usize = 1 << 20;

/// The text of the table that holds at the next start, and whether somebody has edited it.
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
    app.db()
        .write(move |tx| {
            settings::set(tx, settings::WINDOW_RULES, &text)?;
            Ok::<_, AppError>(audit::note(tx, &who, "set calling hours", &edition, "", now)?)
        })
        .await?;
    app.go_by(table.clone());
    Ok(table)
}

/// Has the table hold that the program brings.
///
/// # Errors
/// That nobody has edited it; the database's.
pub async fn reset(app: &App, who: &str) -> Result<RuleTable, AppError> {
    let table = RuleTable::built_in().clone();
    let (now, who, edition) = (app.now(), who.to_owned(), table.edition.clone());
    app.db()
        .write(move |tx| {
            if !settings::remove(tx, settings::WINDOW_RULES)? {
                return Err(AppError::Conflict("nobody has edited the table of calling hours".to_owned()));
            }
            Ok(audit::note(tx, &who, "reset calling hours", &edition, "", now)?)
        })
        .await?;
    app.go_by(table.clone());
    Ok(table)
}
