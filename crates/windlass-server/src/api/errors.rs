//! Failure modes: dead and retrying jobs that failed the same way, and what people say about them.

use axum::extract::{Path, State};
use windlass_api::failure::FailureState;
use windlass_core::fingerprint::Fingerprint;

use crate::answer::{Answer, items};
use crate::app::App;
use crate::failures::{self, Marks, Word};
use crate::read::{self, Pairs};

/// `GET /v1/errors`: of one queue or of all, most dead first; those of one state where that is asked for.
pub(crate) async fn list(State(app): State<App>, mut query: Pairs) -> Answer {
    let (queue, limit) = (query.take_value("queue")?, query.take_limit()?);
    let state = query.take_value::<FailureState>("state")?;
    query.end("queue, state and limit")?;
    // Those of another state take no room on the page.
    let most = if state.is_some() { usize::MAX } else { limit };
    let (modes, marks) = tokio::try_join!(app.store().errors(queue, most), Marks::read(&app))?;
    let now = app.client().now();
    let marked = modes.into_iter().map(|mode| marks.marked(mode, now));
    items(marked.filter(|mode| state.is_none_or(|state| mode.state == state)).take(limit))
}

async fn say(app: App, fingerprint: &str, word: Word) -> Answer {
    let print: Fingerprint = read::value("fingerprint", fingerprint)?;
    items(failures::say(&app, print, word).await?)
}

/// `POST /v1/errors/{fingerprint}/mute`: answers with the mode in each queue that knows it, as do the others.
pub(crate) async fn mute(State(app): State<App>, Path(fingerprint): Path<String>) -> Answer {
    say(app, &fingerprint, Word::Mute).await
}

/// `POST /v1/errors/{fingerprint}/resolve`.
pub(crate) async fn resolve(State(app): State<App>, Path(fingerprint): Path<String>) -> Answer {
    say(app, &fingerprint, Word::Resolve).await
}

/// `POST /v1/errors/{fingerprint}/reopen`.
pub(crate) async fn reopen(State(app): State<App>, Path(fingerprint): Path<String>) -> Answer {
    say(app, &fingerprint, Word::Reopen).await
}
