//! How handlers read: bodies as JSON, names and keys from the address, numbers and spans from the query.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use windlass_api::spell::span;
use windlass_core::bounds::{BATCH_ITEMS_MAX, PAGE_MAX};
use windlass_core::{JobId, Rejection};

use crate::answer::Fault;
use crate::app::WAIT_MOST;

/// What an empty body means.
const EMPTY_OBJECT: &[u8] = b"{}";

/// The body as JSON; an empty one is an empty object.
pub(crate) fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { EMPTY_OBJECT } else { body };
    // A list would be taken for the fields in their order, and an empty one for a request that says nothing.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| *byte != b'{') {
        return Err(Fault::new("bad_json", "a JSON object is wanted here"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "the body is JSON, but not what is asked for here",
            _ => "the body is not JSON",
        };
        Fault::new("bad_json", format!("{what}: {error}"))
    })
}

/// A value from the address or the query, by its own rule.
pub(crate) fn value<T: FromStr>(what: &str, text: &str) -> Result<T, Fault>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|why: T::Err| match is_number::<T>() {
        // What the standard library says of a number is for programmers of this one.
        true => Fault::bad_request(format!("{what}: {text:?} is not a whole number that may stand here")),
        false => Fault::bad_request(format!("{what}: {why}")),
    })
}

fn is_number<T>() -> bool {
    ["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64"].contains(&std::any::type_name::<T>())
}

/// A job's id from the address.
pub(crate) fn job_id(text: &str) -> Result<JobId, Fault> {
    text.parse().map_err(|refused: Rejection| refused.into())
}

/// A key from the address: `~` and the key, so that no client takes a key of dots for a way up.
pub(crate) fn key<T: FromStr>(segment: &str) -> Result<T, Fault>
where
    T::Err: Into<Rejection>,
{
    let text = segment.strip_prefix('~').ok_or_else(|| {
        Fault::bad_request(format!("a key stands behind a ~ in an address: write ~{segment}"))
    })?;
    text.parse().map_err(|refused: T::Err| refused.into().into())
}

/// A number of things that is asked for, from 1 to that many: neither none nor too many quietly means another number.
pub(crate) fn between(what: &str, asked: usize, most: usize) -> Result<usize, Fault> {
    if (1..=most).contains(&asked) {
        return Ok(asked);
    }
    Err(Fault::bad_request(format!("{what}: {asked} is not between 1 and {most}")))
}

/// Refuses a request with more items than a batch holds.
pub(crate) fn batch<T>(items: Vec<T>) -> Result<Vec<T>, Fault> {
    if items.len() <= BATCH_ITEMS_MAX {
        return Ok(items);
    }
    let why = format!("{} items are more than {BATCH_ITEMS_MAX}", items.len());
    Err(Fault::from(Rejection::Invalid { what: "batch", why }).hint("send several requests"))
}

/// The pairs of the query, in their order.
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Pairs {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let query = parts.uri.query().unwrap_or_default();
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(Fault::bad_request("the query is not UTF-8"));
        }
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Pairs {
    /// Takes the value of that name out.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let Some(at) = self.0.iter().position(|(other, _)| other == name) else { return Ok(None) };
        let (_, value) = self.0.remove(at);
        match self.0.iter().any(|(other, _)| other == name) {
            true => Err(Fault::bad_request(format!("{name} is said twice"))),
            false => Ok(Some(value)),
        }
    }

    /// Takes a value out that has a rule.
    pub(crate) fn take_value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, Fault>
    where
        T::Err: std::fmt::Display,
    {
        self.take(name)?.map(|text| value(name, &text)).transpose()
    }

    /// Takes the length of a page out: from 1 to the most that a page holds, 50 unless said.
    pub(crate) fn take_limit(&mut self) -> Result<usize, Fault> {
        /// What a screen shows.
        const USUAL: usize = 50;
        between("limit", self.take_value("limit")?.unwrap_or(USUAL), PAGE_MAX)
    }

    /// Takes a wait out: a span, at most as long as requests wait.
    pub(crate) fn take_wait(&mut self) -> Result<Duration, Fault> {
        let spelled = self.take("wait")?.map(|text| wait_ms(&text)).transpose()?;
        let ms = match (self.take_value::<u64>("wait_ms")?, spelled) {
            (Some(_), Some(_)) => return Err(Fault::bad_request("wait and wait_ms exclude each other")),
            (counted, spelled) => counted.or(spelled).unwrap_or(0),
        };
        Ok(Duration::from_millis(ms).min(WAIT_MOST))
    }

    /// Refuses what is left: a misspelt parameter must not quietly mean nothing.
    pub(crate) fn end(self, known: &str) -> Result<(), Fault> {
        match self.0.first() {
            Some((name, _)) => {
                Err(Fault::bad_request(format!("there is no parameter {name:?} here; there are {known}")))
            }
            None => Ok(()),
        }
    }
}

/// How long a spelled wait is.
pub(crate) fn wait_ms(text: &str) -> Result<u64, Fault> {
    span_ms("wait", text)
}

/// How long a span of that name is, in milliseconds.
pub(crate) fn span_ms(what: &str, text: &str) -> Result<u64, Fault> {
    span::parse(text).map_err(|why| Fault::bad_request(format!("{what}: {why}")))
}
