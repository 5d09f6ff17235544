//! Which jobs are meant: one text for people, or a field for each condition.
//!
//! ```text
//! queue:email state:dead error:"timed out" after:1h
//! ```
//!
//! A text is conditions with spaces between them, all of which must hold; a value with spaces stands in double quotes,
//! in which `\"` is a quote and `\\` a backslash.

use serde::{Deserialize, Serialize};
use windlass_core::store::Filter;
use windlass_core::{JobId, State, Time};

use crate::spell::moment;

/// The conditions there are, each with what its value is.
pub const CONDITIONS: [(&str, &str); 11] = [
    ("queue", "the queue's name"),
    (
        "state",
        "scheduled, ready, running, retrying, blocked, completed, dead or cancelled; several with commas between",
    ),
    ("group", "the group's key"),
    ("kind", "the kind"),
    ("fingerprint", "the failure mode of its last error"),
    ("tag", "one of its tags"),
    ("after", "enqueued at that time or later: RFC 3339, or how long ago (1h)"),
    ("before", "enqueued before that time: RFC 3339, or how long ago"),
    ("error", "text that its last error holds"),
    ("payload", "text that its payload holds"),
    ("id", "its id; several with commas between"),
];

/// The conditions as fields, each spelled as in the text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct FilterShape {
    /// In this queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<windlass_core::QueueName>"))]
    pub queue: Option<String>,
    /// In one of these states.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::StatesText>"))]
    pub state: Option<String>,
    /// In this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<windlass_core::GroupKey>"))]
    pub group: Option<String>,
    /// Of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<windlass_core::Kind>"))]
    pub kind: Option<String>,
    /// Failed in this mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<windlass_core::fingerprint::Fingerprint>"))]
    pub fingerprint: Option<String>,
    /// With this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<windlass_core::name::Tag>"))]
    pub tag: Option<String>,
    /// Enqueued at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Past>"))]
    pub after: Option<String>,
    /// Enqueued before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Past>"))]
    pub before: Option<String>,
    /// Whose last error holds this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whose payload holds this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// Of these ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::IdsText>"))]
    pub id: Option<String>,
}

impl FilterShape {
    /// The fields of a filter.
    pub fn of(filter: &Filter) -> Self {
        let list = |texts: Vec<String>| (!texts.is_empty()).then(|| texts.join(","));
        Self {
            queue: filter.queue.as_ref().map(ToString::to_string),
            state: list(filter.states.iter().map(ToString::to_string).collect()),
            group: filter.group.as_ref().map(ToString::to_string),
            kind: filter.kind.as_ref().map(ToString::to_string),
            fingerprint: filter.fingerprint.map(|mode| mode.to_string()),
            tag: filter.tag.as_ref().map(ToString::to_string),
            after: filter.after.map(|at| at.to_string()),
            before: filter.before.map(|at| at.to_string()),
            error: filter.error_contains.clone(),
            payload: filter.payload_contains.clone(),
            id: list(filter.ids.iter().map(ToString::to_string).collect()),
        }
    }

    /// The field of that name.
    fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "queue" => &mut self.queue,
            "state" => &mut self.state,
            "group" => &mut self.group,
            "kind" => &mut self.kind,
            "fingerprint" => &mut self.fingerprint,
            "tag" => &mut self.tag,
            "after" => &mut self.after,
            "before" => &mut self.before,
            "error" => &mut self.error,
            "payload" => &mut self.payload,
            "id" => &mut self.id,
            _ => return None,
        })
    }

    /// Adds the conditions of a text; each may be said once.
    ///
    /// # Errors
    /// What is wrong with the text, with an example.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        for (name, value) in conditions(text)? {
            let names = || CONDITIONS.map(|(name, _)| name).join(", ");
            let field = self
                .field(&name)
                .ok_or_else(|| format!("there is no condition {name:?}; there are {}", names()))?;
            if field.replace(value).is_some() {
                return Err(format!("the condition {name:?} is said twice"));
            }
        }
        Ok(())
    }

    /// The filter that is meant, with spans counted from `now`.
    ///
    /// # Errors
    /// What is wrong with a value.
    pub fn filter(&self, now: Time) -> Result<Filter, String> {
        fn read<T: std::str::FromStr>(name: &str, text: &Option<String>) -> Result<Option<T>, String>
        where
            T::Err: std::fmt::Display,
        {
            text.as_ref().map(|text| text.parse::<T>().map_err(|why| format!("{name}: {why}"))).transpose()
        }
        fn list<T: std::str::FromStr>(name: &str, text: &Option<String>) -> Result<Vec<T>, String>
        where
            T::Err: std::fmt::Display,
        {
            let parts =
                text.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| part.parse::<T>().map_err(|why| format!("{name}: {why}"))).collect()
        }
        let past =
            |text: &Option<String>| text.as_ref().map(|text| moment::parse_past(text, now)).transpose();
        Ok(Filter {
            ids: list::<JobId>("id", &self.id)?,
            queue: read("queue", &self.queue)?,
            states: list::<State>("state", &self.state)?,
            group: read("group", &self.group)?,
            kind: read("kind", &self.kind)?,
            fingerprint: read("fingerprint", &self.fingerprint)?,
            tag: read("tag", &self.tag)?,
            after: past(&self.after)?,
            before: past(&self.before)?,
            error_contains: self.error.clone(),
            payload_contains: self.payload.clone(),
        })
    }
}

/// Name and value of each condition of a text.
fn conditions(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let colon = rest.find([':', ' ']).filter(|at| rest[*at..].starts_with(':'));
        let Some(colon) = colon else {
            let word = rest.split(' ').next().unwrap_or(rest);
            return Err(format!(
                "{word:?} is no condition: write queue:email state:dead error:\"timed out\""
            ));
        };
        let name = rest[..colon].to_owned();
        rest = &rest[colon + 1..];
        let value = if let Some(quoted) = rest.strip_prefix('"') {
            let (value, after) =
                unquoted(quoted).ok_or_else(|| format!("the quote after {name}: has no end"))?;
            rest = after;
            value
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            let value = rest[..end].to_owned();
            rest = &rest[end..];
            value
        };
        if value.is_empty() {
            return Err(format!("{name}: has no value"));
        }
        all.push((name, value));
        rest = rest.trim_start();
    }
    Ok(all)
}

/// The text up to the closing quote, and what stands behind it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_763_700_000_000);

    fn read(text: &str) -> Result<Filter, String> {
        let mut shape = FilterShape::default();
        shape.add(text)?;
        shape.filter(NOW)
    }

    #[test]
    fn a_text_means_all_of_its_conditions() {
        let filter = read(r#"queue:email  state:dead,retrying error:"timed \"out\"" after:1h tag:a=b"#)
            .expect("a filter");
        assert_eq!(filter.queue.as_ref().map(ToString::to_string).as_deref(), Some("email"));
        assert_eq!(filter.states, [State::Dead, State::Retrying]);
        assert_eq!(filter.error_contains.as_deref(), Some("timed \"out\""));
        assert_eq!(filter.after, Some(NOW.minus_ms(3_600_000)));
        assert_eq!(read("").expect("all"), Filter::default());
    }

    #[test]
    fn a_filter_is_read_back_from_its_fields() {
        let id = JobId::from_parts(NOW, 5);
        let text = format!(
            "id:{id} group:\"a b\" kind:k before:2026-11-21T09:30:00Z payload:{{x fingerprint:00abcdef01234567"
        );
        let filter = read(&text).expect("a filter");
        assert_eq!(FilterShape::of(&filter).filter(NOW).expect("its own fields"), filter);
    }

    #[test]
    fn what_is_no_filter_is_refused_in_words() {
        for (text, word) in [
            ("dead", "state:dead"),
            ("queu:x", "there are queue"),
            ("state:ded", "not a state"),
            ("queue:a queue:b", "twice"),
            ("error:\"x", "no end"),
            ("queue:", "no value"),
            ("after:soon", "1h"),
            ("id:7", "UUID"),
        ] {
            let told = read(text).expect_err(text);
            assert!(told.contains(word) || told.contains("10m"), "{text}: {told}");
        }
    }
}
