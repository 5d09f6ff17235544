//! Aligned tables and records.
//!
//! Columns are as wide as their widest cell. On a terminal a table that is too wide loses text from the end of its
//! widest column that may be cut, marked by `…`; off a terminal nothing is ever cut. A cell that is not ASCII is measured
//! by what a terminal shows, not by its bytes.

use ratatui::text::Span;

use super::escape;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) kind: ColumnKind,
}

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// Left-aligned, whole.
    Text,
    /// Left-aligned, cut first when space is short.
    Cut,
    /// Right-aligned, whole.
    Number,
}

/// A column of text that is never cut.
pub(crate) const fn text(title: &'static str) -> Column {
    Column { title, kind: ColumnKind::Text }
}

/// A column of text that may be cut.
pub(crate) const fn cut(title: &'static str) -> Column {
    Column { title, kind: ColumnKind::Cut }
}

/// A column of numbers.
pub(crate) const fn number(title: &'static str) -> Column {
    Column { title, kind: ColumnKind::Number }
}

/// Between two columns.
const GAP: &str = "  ";
/// A column is not cut below this width: less says nothing.
const CUT_WIDTH_MIN: usize = 8;

/// How many columns the terminal has.
pub(crate) fn terminal_width() -> Option<usize> {
    let (columns, _) = ratatui::crossterm::terminal::size().ok()?;
    (columns > 0).then_some(usize::from(columns))
}

/// The table as text with a line end after each row.
pub(crate) fn render(
    columns: &[Column],
    rows: Vec<Vec<String>>,
    width: Option<usize>,
    style: bool,
) -> String {
    let rows: Vec<Vec<String>> =
        rows.into_iter().map(|row| row.iter().map(|cell| escape::line(cell)).collect()).collect();
    let widths = fit(columns, &rows, width);
    let titles: Vec<String> = columns.iter().map(|column| column.title.to_owned()).collect();
    let mut out = String::new();
    let head = row_text(columns, &titles, &widths);
    out.push_str(&if style { format!("\u{1b}[1m{head}\u{1b}[0m\n") } else { format!("{head}\n") });
    for row in &rows {
        out.push_str(&row_text(columns, row, &widths));
        out.push('\n');
    }
    out
}

/// Names and values below each other; a value of several lines is indented.
pub(crate) fn render_record(fields: Vec<(&'static str, String)>, style: bool) -> String {
    let widest = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in fields {
        let indent = format!("\n{:widest$}{GAP}", "");
        let value = escape::lines(value.trim_end()).replace('\n', &indent);
        let (on, off) = if style { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        let line = format!("{on}{name:widest$}{off}{GAP}{value}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The width of each column.
fn fit(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|column| shown_width(column.title)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(shown_width(cell));
        }
    }
    let Some(limit) = width else { return widths };
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
    while total(&widths) > limit {
        let widest = (0..columns.len())
            .filter(|i| columns[*i].kind == ColumnKind::Cut && widths[*i] > CUT_WIDTH_MIN)
            .max_by_key(|i| widths[*i]);
        let Some(widest) = widest else { break };
        widths[widest] -= 1;
    }
    widths
}

fn row_text(columns: &[Column], cells: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (i, ((column, cell), width)) in columns.iter().zip(cells).zip(widths).enumerate() {
        if i > 0 {
            out.push_str(GAP);
        }
        let cell = shortened(cell, *width);
        let padding = " ".repeat(width.saturating_sub(shown_width(&cell)));
        match column.kind {
            ColumnKind::Number => out.extend([padding.as_str(), &cell]),
            ColumnKind::Text | ColumnKind::Cut => out.extend([cell.as_str(), &padding]),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// The text in at most `width` columns.
fn shortened(text: &str, width: usize) -> String {
    if shown_width(text) <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        out.push(c);
        if shown_width(&out) >= width {
            out.pop();
            break;
        }
    }
    out.push('…');
    out
}

fn shown_width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { Span::raw(text).width() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[text("ID"), cut("ERROR"), number("N")];

    fn rows(rows: &[[&str; 3]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn columns_are_aligned_and_numbers_stand_right() {
        let table = render(COLUMNS, rows(&[["a", "x", "10"], ["bbb", "東京", "7"]]), None, false);
        assert_eq!(table, "ID   ERROR   N\na    x      10\nbbb  東京    7\n");
    }

    #[test]
    fn a_narrow_terminal_cuts_the_column_that_may_be_cut() {
        let long = "connection refused by peer";
        let table = render(COLUMNS, rows(&[["a", long, "1"]]), Some(20), false);
        assert!(table.lines().all(|line| line.chars().count() <= 20), "{table}");
        assert!(table.contains('…') && !table.contains(long));
        assert!(render(COLUMNS, rows(&[["a", long, "1"]]), None, false).contains(long));
    }

    #[test]
    fn stored_text_cannot_break_a_table() {
        let table = render(COLUMNS, rows(&[["a", "\u{1b}[31mred\nnext", "1"]]), None, false);
        assert_eq!(table.lines().count(), 2);
        assert!(!table.contains('\u{1b}'));
    }
}
