//! API keys: asked for, shown once, listed.

use serde::{Deserialize, Serialize};
use windlass_core::Time;

/// A key is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// Its name, which nobody has: `[A-Za-z0-9._:-]{1,128}`.
    pub name: String,
    /// What it may do: `produce`, `work`, `read`, `payloads`, `operate`, `admin`.
    pub scopes: Vec<String>,
    /// The only queues that it sees and touches: names, and beginnings of names with a `*` behind them. None is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<String>,
    /// How long it lasts (`90d`); until it is revoked unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<String>,
}

/// A key as people see it. Its secret is nowhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeyShape {
    /// Its name.
    pub name: String,
    /// How its text begins, behind `wl_`.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// The only queues that it sees and touches; none is all.
    pub queues: Vec<String>,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::schema::Instant"))]
    pub created_at: Time,
    /// Who made it.
    pub created_by: String,
    /// When it ends by itself.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub expires_at: Option<Time>,
    /// When it was last used, to the minute.
    #[serde(with = "crate::time::or_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::schema::Instant>"))]
    pub last_used_at: Option<Time>,
}

/// A key that was just made.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewKeyShape {
    /// What lists show of it.
    #[serde(flatten)]
    pub key: KeyShape,
    /// Its text, told this once: nobody can find it out again.
    pub secret: String,
}

impl std::fmt::Debug for NewKeyShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKeyShape").field("key", &self.key).finish_non_exhaustive()
    }
}
