//! Flows: jobs that wait for each other, enqueued and seen as one.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use windlass_core::JobId;
use windlass_core::job::Parent;

use crate::job::JobRow;
use crate::work::EnqueuedShape;

/// Pairs of a JSON object in the order in which they stand, each name once.
#[derive(Clone, Debug, Default)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pairs<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a value for each name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut seen = std::collections::HashSet::new();
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if !seen.insert(name.clone()) {
                        return Err(de::Error::custom(format!("{name:?} is said twice")));
                    }
                    pairs.push((name, value));
                }
                Ok(Named(pairs))
            }
        }
        from.deserialize_map(Pairs(std::marker::PhantomData))
    }
}

/// Jobs that wait for each other: all of them exist from one moment on, or none does.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FlowRequest<'a> {
    /// The jobs, each under a name of this request, by which others name it in their `after`.
    #[serde(borrow)]
    #[cfg_attr(feature = "schema", schemars(with = "Named<crate::schema::FlowJobRequest>"))]
    pub jobs: Named<&'a RawValue>,
}

/// What became of a flow.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FlowEnqueued {
    /// What became of each job, under its name.
    pub jobs: Named<EnqueuedShape>,
}

/// A job of a flow.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FlowJob {
    /// What a list shows.
    #[serde(flatten)]
    pub row: JobRow,
    /// Jobs it waits or waited for.
    pub parents: Vec<Parent>,
}

/// The jobs that a job waits for and those that wait for it, near and far.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FlowShape {
    /// The job that was asked for.
    pub id: JobId,
    /// It and its relatives, parents before their children.
    pub jobs: Vec<FlowJob>,
    /// Whether these are all that are known.
    pub complete: bool,
    /// Relatives that are named and not here, up to 1,000: to be asked for in turn.
    pub beyond: Vec<JobId>,
    /// Relatives that are not known any more.
    pub gone: u64,
}
