//! The name of the outbox's table, and the SQL of this crate for it.

use windlass_core::Rejection;

/// The name in the SQL of this crate.
const TEMPLATE: &str = "windlass_outbox";
/// Longest name: PostgreSQL cuts identifiers at 63 bytes, and the longest suffix of ours has 12.
const NAME_BYTES_MAX: usize = 48;

/// The name of an outbox's table; its other tables, functions and indexes are named after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table(String);

impl Default for Table {
    fn default() -> Self {
        Self(TEMPLATE.to_owned())
    }
}

impl Table {
    /// The name, checked: it goes into SQL as it is.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] that says what a name may hold.
    pub fn new(name: &str) -> Result<Self, Rejection> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        let first = name.bytes().next().is_some_and(letter);
        let all = name.bytes().all(|byte| letter(byte) || byte.is_ascii_digit());
        if first && all && name.len() <= NAME_BYTES_MAX {
            return Ok(Self(name.to_owned()));
        }
        let why = format!(
            "{name:?} is not a table's name: 1 to {NAME_BYTES_MAX} lower-case letters, digits and _, no digit first"
        );
        Err(Rejection::Invalid { what: "table", why })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The command that prints the SQL which makes it.
    pub(crate) fn command(&self, database: &str) -> String {
        let table = if self.0 == TEMPLATE { String::new() } else { format!(" --table {self}") };
        format!("windlass outbox schema {database}{table}")
    }

    /// A statement of this crate for this table.
    pub(crate) fn sql(&self, template: &str) -> String {
        template.replace(TEMPLATE, &self.0)
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Table {
    type Err = Rejection;
    fn from_str(text: &str) -> Result<Self, Rejection> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_can_be_nothing_but_a_name() {
        assert!(Table::new("windlass_outbox").is_ok());
        for bad in ["", "1a", "Outbox", "a;drop table b", "a.b", &"x".repeat(49)] {
            assert!(Table::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Table::new("mail_out").expect("a name").sql("windlass_outbox_batch"), "mail_out_batch");
    }
}
