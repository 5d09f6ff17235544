//! The fields of a header, and of the parts of reports that are written like one: names, colons, folded lines.
//!
//! What mail servers return of a mail may be cut anywhere and is nobody's promise, so a line that is no field is passed over
//! and nothing here fails. Values are unfolded and otherwise as they stand: no encoded word is decoded.

/// The most of a header that is read; those of real mails are below a fifth of it.
const HEADER_BYTES_MOST: usize = 64 * 1024;
/// The most fields of one header.
const FIELDS_MOST: usize = 1_000;

/// The fields of one header, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The fields up to the first empty line.
    pub(super) fn of_header(bytes: &[u8]) -> Self {
        Self::groups(bytes).next().unwrap_or_default()
    }

    /// The fields of each group that is set apart by empty lines, as in a report on deliveries.
    pub(super) fn groups(bytes: &[u8]) -> impl Iterator<Item = Fields> {
        let bytes = &bytes[..bytes.len().min(HEADER_BYTES_MOST)];
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut groups = vec![Fields::default()];
        let mut fields = 0;
        for line in text.lines() {
            let group = groups.last_mut().expect("there is a group from the beginning");
            if line.trim().is_empty() {
                if !group.0.is_empty() {
                    groups.push(Fields::default());
                }
                continue;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = group.0.last_mut() {
                    value.push(' ');
                    value.push_str(line.trim());
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let is_name = !name.is_empty() && name.trim_end().bytes().all(|byte| byte.is_ascii_graphic());
            if is_name && fields < FIELDS_MOST {
                fields += 1;
                group.0.push((name.trim_end().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        groups.into_iter().filter(|group| !group.0.is_empty())
    }

    /// The first value of that name, which is in lower case.
    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The values of that name, which is in lower case.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The first value of that name without comments and parameters, in lower case.
    pub(super) fn word(&self, name: &str) -> Option<String> {
        let value = self.get(name)?.split([';', '(']).next().unwrap_or_default();
        Some(value.trim().to_ascii_lowercase())
    }
}

/// The Message-IDs in a value, each with its brackets.
pub(super) fn message_ids(value: &str) -> impl Iterator<Item = &str> {
    value.split_inclusive('>').filter_map(|piece| {
        let id = &piece[piece.rfind('<')?..];
        (id.ends_with('>') && id.contains('@') && !id.contains(char::is_whitespace)).then_some(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_lines_are_one_value_and_lines_that_are_no_field_are_passed_over() {
        let fields = Fields::of_header(
            b"A: 1\r\n\t2\r\nno field\r\n a \r\nB:\r\n 3\r\n: x\r\nbad name: y\r\na: 4\r\n\r\nC: 5\r\n",
        );
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1 2 a", "4"]);
        assert_eq!((fields.get("b"), fields.get("c")), (Some(" 3"), None));
        assert_eq!(Fields::of_header(b"X: Yes; a=b").word("x").as_deref(), Some("yes"));
        assert_eq!(Fields::groups(b"\n\nA: 1\n\n \nB: 2\n").count(), 2);
    }

    #[test]
    fn message_ids_are_found_wherever_they_stand() {
        let found = |value| message_ids(value).collect::<Vec<_>>();
        assert_eq!(found("<a@b> <c@d>"), ["<a@b>", "<c@d>"]);
        assert_eq!(
            found("Ann's message of Monday <a@b> <<c@d>>, <x y@z> <none> <cut@of"),
            ["<a@b>", "<c@d>"]
        );
    }
}
