//! What rows say of a job, read as far as it can be read.
//!
//! Whatever was written past the checks, by hand or before there were any, costs the field that it stands in: the job
//! without it is claimed, shown and changed like any other, and so are those that came with it. What is dropped is told
//! in the log, once for each time that the job is read.

use crate::wire::unknown;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::error::Error;
use tokio_postgres::types::{FromSql, Type};
use windlass_core::job::{JobOptions, JobView};
use windlass_core::{JobId, StoreError};

/// The text of a `jsonb`, not yet understood: a number in it may be beyond every number of ours.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl<'a> FromSql<'a> for Text<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match raw.split_first() {
            Some((1, text)) => Ok(Self(std::str::from_utf8(text)?)),
            _ => Err("jsonb of an unknown version".into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSONB
    }
}

/// The fields of an object, each by itself.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads what it can, and notes which fields say nothing that is understood.
#[derive(Default)]
pub(crate) struct Reading {
    lost: Vec<&'static str>,
}

impl Reading {
    /// The options of a job.
    pub(crate) fn options(&mut self, text: Option<&str>) -> JobOptions {
        let Some(text) = text.filter(|text| *text != "null") else { return JobOptions::default() };
        let mut options = serde_json::from_str(text).unwrap_or_else(|_| {
            let Ok(fields) = serde_json::from_str::<Fields<'_>>(text) else {
                self.lose("options");
                return JobOptions::default();
            };
            JobOptions {
                retry: self.one(&fields, "retry"),
                unique: self.one(&fields, "unique"),
                limits: self.each(&fields, "limits"),
                parents: self.each(&fields, "parents"),
                tags: self.each(&fields, "tags"),
                expires_at: self.one(&fields, "expires_at"),
                timeout_ms: self.one(&fields, "timeout_ms"),
                trace: self.one(&fields, "trace"),
            }
        });
        // It would leave every attempt no time.
        if options.timeout_ms == Some(0) {
            options.timeout_ms = None;
            self.lose("timeout_ms");
        }
        options
    }

    /// What a list shows of a job. Group and tags are as somebody wrote them; the rest is the store's own.
    pub(crate) fn view(&mut self, operation: &'static str, text: &str) -> Result<JobView, StoreError> {
        if let Ok(view) = serde_json::from_str(text) {
            return Ok(view);
        }
        let mut fields: Fields<'_> = known(operation, text)?;
        let (group, tags) = (self.one(&fields, "group"), self.each(&fields, "tags"));
        fields.remove("group");
        fields.insert("tags".to_owned(), known(operation, "[]")?);
        let rest = serde_json::to_string(&fields).unwrap_or_default();
        Ok(JobView { group, tags, ..known(operation, &rest)? })
    }

    /// Tells what was lost of that job, if anything was.
    pub(crate) fn tell(self, operation: &'static str, job: JobId) {
        if !self.lost.is_empty() {
            let lost = self.lost.join(", ");
            tracing::warn!(operation, %job, lost, "a job says what no job can say: it is read without that");
        }
    }

    /// The field's value; its default when it is not there, or cannot be read.
    fn one<T: DeserializeOwned + Default>(&mut self, fields: &Fields<'_>, name: &'static str) -> T {
        let Some(raw) = fields.get(name) else { return T::default() };
        serde_json::from_str(raw.get()).unwrap_or_else(|_| {
            self.lose(name);
            T::default()
        })
    }

    /// Of a list, what can be read.
    fn each<T: DeserializeOwned>(&mut self, fields: &Fields<'_>, name: &'static str) -> Vec<T> {
        let Some(raw) = fields.get(name) else { return Vec::new() };
        let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
            self.lose(name);
            return Vec::new();
        };
        let read: Vec<T> = all.iter().filter_map(|raw| serde_json::from_str(raw.get()).ok()).collect();
        if read.len() < all.len() {
            self.lose(name);
        }
        read
    }

    fn lose(&mut self, name: &'static str) {
        if !self.lost.contains(&name) {
            self.lost.push(name);
        }
    }
}

/// The options of a job, with what is lost of them told.
pub(crate) fn options(operation: &'static str, job: JobId, text: Option<Text<'_>>) -> JobOptions {
    let mut reading = Reading::default();
    let options = reading.options(text.map(|text| text.0));
    reading.tell(operation, job);
    options
}

/// What a list shows of a job, with what is lost of it told.
pub(crate) fn view(operation: &'static str, text: &str) -> Result<JobView, StoreError> {
    let mut reading = Reading::default();
    let view = reading.view(operation, text)?;
    reading.tell(operation, view.id);
    Ok(view)
}

/// What this crate's own functions answer.
pub(crate) fn known<'a, T: Deserialize<'a>>(operation: &'static str, text: &'a str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|why| unknown(operation, &why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_once_and_the_rest_is_kept() {
        let of = |text: &str| {
            let mut reading = Reading::default();
            let options = reading.options(Some(text));
            (options, reading.lost)
        };
        let (options, lost) =
            of(r#"{"timeout_ms": 5, "tags": ["a", 1, ""], "retry": "never", "trace": 1e400, "later": [1]}"#);
        assert_eq!((options.timeout_ms, options.tags.len(), options.retry), (Some(5), 1, None));
        assert_eq!(lost, ["retry", "tags", "trace"]);
        assert_eq!((of("[1]").1, of("5").1), (vec!["options"], vec!["options"]));
        assert_eq!(of(r#"{"timeout_ms": 0}"#), (JobOptions::default(), vec!["timeout_ms"]));
        for whole in ["null", "{}", r#"{"due": 7, "of_a_newer_program": {}}"#] {
            assert_eq!(of(whole), (JobOptions::default(), vec![]), "{whole}");
        }
        assert!(
            serde_json::from_str::<serde_json::Value>(r#"{"trace": 1e400}"#).is_err(),
            "else this shows nothing"
        );
    }
}
