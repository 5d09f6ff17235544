//! What names an erased contact goes from the files of refused rows as well.
//!
//! A row was refused because something in it is wrong, so it is compared cell by cell with how people write mailboxes and
//! numbers, not read as a contact. A row that has neither of them is found by nobody, and goes with the others of its import
//! after a month ([`super::keep`]).

use crate::{
    app::{App, AppError},
    import::Separator,
    model::ImportId,
    store::imports::{self, ErrorPiece},
};

/// Pieces that are looked at in one transaction: some hundred rows each.
const PIECES_AT_ONCE: u32 = 16;
/// The fewest digits by which a number is known; fewer are a house's, or a year's.
const DIGITS_MIN: usize = 7;

/// Removes the rows with that mailbox or number from the files of refused rows; how many.
///
/// # Errors
/// The database's.
pub(crate) async fn forget(app: &App, email: Option<&str>, phone: Option<&str>) -> Result<u64, AppError> {
    let whom = Whom::of(email, phone);
    let mut after = (ImportId(0), -1);
    let mut removed = 0;
    loop {
        let whom = whom.clone();
        let work = move |tx: &mut crate::db::Tx<'_>| {
            let pieces = imports::error_pieces(tx, after, PIECES_AT_ONCE)?;
            let last = pieces.last().map(|piece| (piece.import, piece.part));
            let mut removed = 0;
            for piece in pieces {
                let separator = imports::get(tx, piece.import)?
                    .and_then(|import| import.plan)
                    .map_or(Separator::Comma, |plan| plan.format.separator);
                let (csv, rows) = without(&piece.csv, separator, &whom)?;
                if rows > 0 {
                    imports::rewrite_errors(tx, &ErrorPiece { csv, ..piece })?;
                    removed += rows;
                }
            }
            Ok::<_, AppError>((last, removed))
        };
        let (last, rows) = app.db().write(work).await?;
        removed += rows;
        match last {
            Some(last) => after = last,
            None => return Ok(removed),
        }
    }
}

/// How somebody is known.
#[derive(Clone, Debug)]
struct Whom {
    email: Option<String>,
    /// Without the sign in front.
    digits: Option<String>,
}

impl Whom {
    fn of(email: Option<&str>, phone: Option<&str>) -> Self {
        let digits = phone.map(digits_of).filter(|digits| digits.len() >= DIGITS_MIN);
        Self { email: email.map(str::to_lowercase), digits }
    }

    fn is_in(&self, cell: &str) -> bool {
        // The start of a line that is no row stands in one cell.
        let parts = || cell.split([',', ';', '\t', '|', '"', '\n', '\r']);
        let is_mailbox = |email: &String| {
            let words = parts().flat_map(|part| part.split([' ', '<', '>', '(', ')', '\'']));
            words.into_iter().any(|word| word.to_lowercase().trim_start_matches("mailto:") == email)
        };
        let is_number = |digits: &String| {
            parts().any(|part| {
                let own = digits_of(part);
                let own = own.trim_start_matches('0');
                own.len() >= DIGITS_MIN && (digits.ends_with(own) || own.ends_with(digits.as_str()))
            })
        };
        self.email.as_ref().is_some_and(is_mailbox) || self.digits.as_ref().is_some_and(is_number)
    }
}

fn digits_of(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// The piece without the rows in which they are, and how many these were.
fn without(csv: &str, separator: Separator, whom: &Whom) -> Result<(String, u64), AppError> {
    let mut rows = csv::ReaderBuilder::new()
        .delimiter(separator.byte())
        .flexible(true)
        .has_headers(false)
        .from_reader(csv.as_bytes());
    let (mut kept, mut removed) = (String::with_capacity(csv.len()), 0);
    let mut row = csv::StringRecord::new();
    let mut begin = 0;
    loop {
        let has_row = rows.read_record(&mut row).map_err(|why| AppError::invalid("file of errors", why))?;
        let end = usize::try_from(rows.position().byte()).unwrap_or(csv.len()).min(csv.len());
        if !has_row {
            kept.push_str(&csv[begin..]);
            return Ok((kept, removed));
        }
        // The reason in front of a row quotes what is behind it.
        if row.iter().skip(1).any(|cell| whom.is_in(cell)) {
            removed += 1;
        } else {
            kept.push_str(&csv[begin..end]);
        }
        begin = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\u{feff}import_error;name;phone;email\n\
        \"line 2, email \"\"ann@\"\": no\";Ann;+1 (212) 555-0100;ann@\n\
        line 3;\"Bob; \"\"the\"\"\nman\";020 7946 0958;bob@example.com\n\
        line 4;Ann B;'+1 212 555 0199;<Ann.B@Example.com>\n\
        line 5: a quote;\"Carl,\"\"212-555-0100,carl@example.com\"\n\
        line 6;Dora;1984;joann@example.com\n";

    fn left(email: Option<&str>, phone: Option<&str>) -> Vec<String> {
        let (csv, removed) = without(FILE, Separator::Semicolon, &Whom::of(email, phone)).expect("a file");
        let lines: Vec<String> =
            (2..=6).map(|line| format!("line {line}")).filter(|line| csv.contains(line)).collect();
        assert_eq!(lines.len() as u64 + removed, 5);
        assert!(csv.starts_with("\u{feff}import_error;name;phone;email\n"), "the headings stay");
        lines
    }

    #[test]
    fn rows_are_known_by_mailbox_or_number_however_these_are_written_and_the_others_stay_as_they_are() {
        let numbers = |phone| left(None, Some(phone));
        assert_eq!(numbers("+12125550100"), ["line 3", "line 4", "line 6"]);
        assert_eq!(numbers("+442079460958"), ["line 2", "line 4", "line 5", "line 6"]);
        assert_eq!(numbers("+12125550199"), ["line 2", "line 3", "line 5", "line 6"]);
        assert_eq!(numbers("+4911111984").len(), 5, "four digits are no number");
        assert_eq!(left(Some("ann.b@example.com"), None), ["line 2", "line 3", "line 5", "line 6"]);
        assert_eq!(left(Some("carl@example.com"), None), ["line 2", "line 3", "line 4", "line 6"]);
        assert_eq!(left(Some("ann@example.com"), None).len(), 5, "and nobody else's");
        assert_eq!(left(None, None).len(), 5);
        let (same, _) = without(FILE, Separator::Semicolon, &Whom::of(None, Some("+9"))).expect("a file");
        assert_eq!(same, FILE);
    }
}
