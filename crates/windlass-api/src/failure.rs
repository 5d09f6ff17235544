//! Failure modes with what people have said about them.

use serde::{Deserialize, Serialize};

use crate::event::FailureModeShape;

/// What a person has to do with a failure mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureState {
    /// Nobody has said anything about it.
    #[default]
    Open,
    /// It is known, and nobody wants to hear of it.
    Muted,
    /// It was dealt with, and has not come again since.
    Resolved,
    /// It was dealt with, and has come again.
    Regressed,
}

impl FailureState {
    /// All of them.
    pub const ALL: [FailureState; 4] =
        [FailureState::Open, FailureState::Regressed, FailureState::Muted, FailureState::Resolved];

    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureState::Open => "open",
            FailureState::Muted => "muted",
            FailureState::Resolved => "resolved",
            FailureState::Regressed => "regressed",
        }
    }

    /// Whether somebody has to look into it.
    pub const fn is_trouble(self) -> bool {
        matches!(self, FailureState::Open | FailureState::Regressed)
    }
}

impl std::str::FromStr for FailureState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is none of open, regressed, muted, resolved"))
    }
}

/// A failure mode as a server tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MarkedFailureMode {
    /// What the store counts of it.
    #[serde(flatten)]
    pub mode: FailureModeShape,
    /// What a person has to do with it.
    pub state: FailureState,
    /// Whether it was first seen in the last 24 hours.
    pub new: bool,
}
