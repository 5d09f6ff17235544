//! What a client call may fail with: one enum for every verb.

use windlass_core::{Rejection, StoreError};

/// Why a verb did not do what was asked.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The contract said no; nothing was changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The world failed; the error says whether the call may have taken effect.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The job's arguments could not be turned into a payload; nothing was sent.
    #[error("job {kind}: its payload does not serialise: {cause}")]
    Encode {
        /// The kind of the job.
        kind: String,
        /// What serde says.
        cause: serde_json::Error,
    },
    /// The worker was not set up so that it can run.
    #[error("worker: {0}")]
    Worker(String),
}

impl std::fmt::Debug for Error {
    /// In words, since this is what a `main` that returns it prints.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// The rejection, if the contract said no.
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            Error::Rejected(rejection) => Some(rejection),
            _ => None,
        }
    }
}
