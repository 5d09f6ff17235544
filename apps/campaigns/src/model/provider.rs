//! A provider: an account somewhere that takes messages.

use serde::{Deserialize, Serialize};

use super::{ProviderId, words};
use crate::channel::{
    pace::Pace,
    rules::{Action, ProviderKind},
};

words!(ProviderKind, Action);

/// An account at a provider. Nothing shows its secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its number.
    pub id: ProviderId,
    /// What people call it.
    pub name: String,
    /// What it speaks.
    pub kind: ProviderKind,
    /// Where it is.
    pub url: String,
    /// The account, where it has one beside the secret.
    pub account: String,
    /// The password, token or key.
    #[serde(skip_serializing)]
    pub secret: String,
    /// What its callbacks are signed with, where that is not the secret.
    #[serde(skip_serializing)]
    pub callback_key: String,
    /// What whoever hands over mails that come in shows; without it none are taken.
    #[serde(skip_serializing)]
    pub inbound_key: String,
    /// Messages a second; none is as fast as it takes them.
    pub per_second: Option<u32>,
    /// Messages at once.
    pub concurrency: Option<u32>,
    /// How it gives way when the account says that it is too much.
    #[serde(skip)]
    pub pace: Pace,
    /// Grows with every change.
    pub revision: i64,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, name, kind, revision, .. } = self;
        f.debug_struct("Provider")
            .field("id", id)
            .field("name", name)
            .field("kind", kind)
            .field("revision", revision)
            .finish_non_exhaustive()
    }
}
