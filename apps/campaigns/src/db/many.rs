//! A statement that takes many rows of values at once, in the words that both databases have: `VALUES (…), (…), …`.
//!
//! A row by itself costs PostgreSQL a message each way and SQLite a run of its program, whatever it holds; a thousand
//! rows of an import were most of its time. The text of a statement is known before it runs, so there is one for each of a
//! few numbers of rows, and any number is made up of these.

use std::fmt::Write as _;

use super::{DbError, Row, Tx, Value};

/// The numbers of rows that a statement is written for: a thousand rows are nine of them, and the values of the largest are
/// within what either database takes (SQLite: 32,766) for up to 127 columns.
const SIZES: [usize; 7] = [256, 64, 16, 8, 4, 2, 1];

/// A statement around a list of rows. It is made once and kept in a `static`.
#[derive(Debug)]
pub struct Many {
    texts: [String; SIZES.len()],
    columns: usize,
}

impl Many {
    /// The statement `before VALUES (…), (…) after`. Each of `columns` is a value of a row: `$` alone is the value itself,
    /// other texts have it in them, as `CAST($ AS BIGINT)` does.
    pub fn new(before: &str, columns: &[&str], after: &str) -> Self {
        let text = |rows: usize| {
            let mut sql = format!("{before} VALUES ");
            for row in 0..rows {
                sql += if row == 0 { "(" } else { ", (" };
                for (at, column) in columns.iter().enumerate() {
                    let number = row * columns.len() + at + 1;
                    let (left, right) = column.split_once('$').unwrap_or((column, ""));
                    // Writing to a string cannot fail.
                    let _ = write!(sql, "{}{left}${number}{right}", if at == 0 { "" } else { ", " });
                }
                sql += ")";
            }
            sql + " " + after
        };
        Self { texts: SIZES.map(text), columns: columns.len() }
    }

    /// Each text with the rows that it takes, so that all of them are taken once.
    fn split<'a>(
        &'static self,
        mut rows: &'a [Vec<Value>],
    ) -> impl Iterator<Item = (&'static str, Vec<Value>)> + 'a {
        std::iter::from_fn(move || {
            let (at, size) = SIZES.into_iter().enumerate().find(|(_, size)| *size <= rows.len())?;
            let (some, rest) = rows.split_at(size);
            rows = rest;
            debug_assert!(
                some.iter().all(|row| row.len() == self.columns),
                "a row has a value for each column"
            );
            Some((self.texts[at].as_str(), some.concat()))
        })
    }
}

impl Tx<'_> {
    /// Runs the statement for all rows of values, and says how many rows it touched.
    ///
    /// # Errors
    /// What the database says.
    pub fn run_many(&mut self, statement: &'static Many, rows: &[Vec<Value>]) -> Result<u64, DbError> {
        let mut touched = 0;
        for (sql, values) in statement.split(rows) {
            touched += self.run(sql, &values)?;
        }
        Ok(touched)
    }

    /// The same, with the rows that it returns, in whatever order.
    ///
    /// # Errors
    /// What the database says.
    pub fn rows_many(&mut self, statement: &'static Many, rows: &[Vec<Value>]) -> Result<Vec<Row>, DbError> {
        let mut all = Vec::new();
        for (sql, values) in statement.split(rows) {
            all.extend(self.rows(sql, &values)?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static ADD: LazyLock<Many> = LazyLock::new(|| {
        Many::new("INSERT INTO t (a, b)", &["$", "CAST($ AS BIGINT)"], "ON CONFLICT DO NOTHING")
    });

    #[test]
    fn every_row_is_taken_once_and_in_its_order_whatever_their_number() {
        for count in [0_i64, 1, 2, 3, 7, 255, 256, 257, 1_000, 1_023] {
            let rows: Vec<Vec<Value>> = (0..count).map(|row| vec![row.into(), (row * 2).into()]).collect();
            let parts: Vec<_> = ADD.split(&rows).collect();
            let values: Vec<Value> = parts.iter().flat_map(|(_, values)| values.clone()).collect();
            assert_eq!(values, rows.concat());
            assert!(parts.len() as i64 <= count / 256 + 13, "{count} rows in {} statements", parts.len());
        }
        let (sql, _) = ADD
            .split(&[vec![Value::Int(1), Value::Int(2)], vec![Value::Int(3), Value::Int(4)]])
            .next()
            .expect("one");
        let text = "INSERT INTO t (a, b) VALUES ($1, CAST($2 AS BIGINT)), ($3, CAST($4 AS BIGINT)) ON CONFLICT DO NOTHING";
        assert_eq!(sql, text);
    }
}
