//! The comparison as people and as programs read it.
//!
//! The table is one of Markdown with aligned columns, so that what a terminal shows can be put into a page as it is.

use serde_json::{Value, json};

use super::figures::{Goal, Row, median};

/// All rows under their headings.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let headings =
        ["server", "what", "peer", "peer's figure", "Windlass", "ratio (runs)", "goal, at least", ""];
    let mut lines = vec![headings.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let rule = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("|");
    let mut shown: Vec<String> = lines.iter().map(|cells| line(cells, &widths)).collect();
    shown.insert(1, format!("|{rule}|"));
    shown.join("\n")
}

/// One object for each row, with the figure of every run.
pub(crate) fn json_lines(rows: &[Row]) -> Vec<Value> {
    rows.iter().map(object).collect()
}

fn line(cells: &[String; 8], widths: &[usize]) -> String {
    let padded: Vec<String> =
        cells.iter().zip(widths).map(|(cell, width)| format!(" {cell:<width$} ")).collect();
    format!("|{}|", padded.join("|"))
}

fn cells(row: &Row) -> [String; 8] {
    let with_unit = |value: Option<f64>| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{}{}", number(value), row.unit))
    };
    let ratio = match (row.ratio(), row.spread()) {
        (Some(ratio), Some((low, high))) if row.ours.len() > 1 => {
            format!("{ratio:.2} ({low:.2} to {high:.2})")
        }
        (Some(ratio), _) => format!("{ratio:.2}"),
        (None, _) => "-".to_owned(),
    };
    let goal = match row.goal {
        Some(Goal::Ratio { reach, least }) => format!("{reach} x, {least} x"),
        Some(Goal::Figure { reach, least }) => {
            format!("{}{unit}, {}{unit}", number(reach), number(least), unit = row.unit)
        }
        None => String::new(),
    };
    [
        row.server.to_owned(),
        row.what.to_owned(),
        row.peer.to_owned(),
        with_unit(median(&row.theirs)),
        with_unit(median(&row.ours)),
        ratio,
        goal,
        row.verdict().map_or("", |verdict| verdict.word()).to_owned(),
    ]
}

fn object(row: &Row) -> Value {
    let (reach, least, of) = match row.goal {
        Some(Goal::Ratio { reach, least }) => (Some(reach), Some(least), Some("ratio")),
        Some(Goal::Figure { reach, least }) => (Some(reach), Some(least), Some("windlass")),
        None => (None, None, None),
    };
    json!({
        "server": row.server,
        "what": row.what,
        "peer": row.peer,
        "unit": row.unit.trim(),
        "peer_figure": median(&row.theirs),
        "windlass": median(&row.ours),
        "ratio": row.ratio(),
        "ratio_min": row.spread().map(|(low, _)| low),
        "ratio_max": row.spread().map(|(_, high)| high),
        "goal_of": of,
        "goal": reach,
        "at_least": least,
        "verdict": row.verdict().map(|verdict| verdict.word()),
        "peer_runs": row.theirs,
        "windlass_runs": row.ours,
    })
}

/// A figure to as many digits as it deserves, thousands set apart.
pub(crate) fn number(value: f64) -> String {
    if value < 100.0 {
        let short = format!("{value:.2}");
        return short.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::super::figures::Better;
    use super::*;

    fn row(ours: Vec<f64>) -> Row {
        Row {
            server: "redis",
            what: "lifecycles",
            peer: "bullmq",
            unit: "/s",
            better: Better::Higher,
            theirs: vec![10_000.0, 12_000.0, 11_000.0],
            ours,
            goal: Some(Goal::Ratio { reach: 4.0, least: 2.5 }),
        }
    }

    #[test]
    fn every_line_of_the_table_is_as_wide_as_the_others() {
        let shown = markdown(&[row(vec![33_000.0, 33_000.0, 33_000.0]), row(vec![])]);
        let widths: Vec<usize> = shown.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 4);
        assert!(widths.iter().all(|width| *width == widths[0]), "{shown}");
        assert!(shown.contains("| 11,000/s"), "{shown}");
        assert!(shown.contains("| 3.00 (2.75 to 3.30) | 4 x, 2.5 x     | at least |"), "{shown}");
    }

    #[test]
    fn a_side_that_was_not_measured_is_a_dash_and_in_json_null() {
        assert!(markdown(&[row(vec![])]).contains("| -        | -            |"));
        let object = &json_lines(&[row(vec![])])[0];
        assert!(object["windlass"].is_null() && object["ratio"].is_null() && object["verdict"].is_null());
        assert_eq!(object["peer_figure"], 11_000.0);
    }

    #[test]
    fn numbers_have_the_digits_they_deserve() {
        let shown = [0.806, 2.5, 99.994, 100.4, 1_000.0, 1_234_567.8].map(number);
        assert_eq!(shown, ["0.81", "2.5", "99.99", "100", "1,000", "1,234,568"]);
    }
}
