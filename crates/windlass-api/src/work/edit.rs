//! A change to a job that is not running.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use windlass_core::store::Edit;
use windlass_core::{JobId, Rejection, Time};

use super::invalid;
use crate::payload::{self, Encoding};

/// A change to a job that is not running; what is not said stays. Where the address names the job, it need not be said
/// again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EditShape<'a> {
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// Its new payload.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::payload::present")]
    pub payload: Option<Cow<'a, RawValue>>,
    /// How to read the payload: `json` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_encoding: Option<Encoding>,
    /// Its new priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = -9, max = 9)))]
    pub priority: Option<i8>,
    /// Its new time.
    #[serde(with = "crate::time::or_null", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub run_at: Option<Time>,
}

impl<'a> EditShape<'a> {
    /// The change as it is said.
    pub fn of(edit: &'a Edit) -> Self {
        let (payload, encoding) = payload::show_some(edit.payload.as_deref());
        let payload_encoding = payload::said(payload.as_deref(), encoding);
        Self { id: Some(edit.id), payload, payload_encoding, priority: edit.priority, run_at: edit.run_at }
    }

    /// The change that is meant.
    ///
    /// # Errors
    /// [`Rejection::Invalid`] with what is wrong.
    pub fn edit(self) -> Result<Edit, Rejection> {
        let id = self.id.ok_or_else(|| invalid("id")("the edit names no job".into()))?;
        let encoding = self.payload_encoding.unwrap_or_default();
        let payload = self.payload.map(|value| payload::read(&value, encoding)).transpose();
        Ok(Edit {
            id,
            payload: payload.map_err(invalid("payload"))?,
            priority: self.priority,
            run_at: self.run_at,
        })
    }
}

/// Changes to jobs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EditRequest<'a> {
    /// The changes.
    #[serde(borrow, deserialize_with = "crate::object::list")]
    #[cfg_attr(feature = "schema", schemars(length(max = 1000)))]
    pub edits: Vec<EditShape<'a>>,
}
