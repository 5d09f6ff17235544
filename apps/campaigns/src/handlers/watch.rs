//! The watch on a touch: asks the provider what has become of it until there is an answer that stays.

use std::sync::Arc;

use windlass::{JobError, Outcome, State};

use super::App;
use crate::plan::WatchTouch;

pub(super) async fn watch(job: WatchTouch, State(app): State<Arc<App>>) -> Result<Outcome, JobError> {
    let status = app.phone.status(job.channel, &job.provider_id).await?.status;
    match status.as_str() {
        // The provider is still at it: looking again is no failure.
        "queued" | "ringing" | "in-progress" | "sending" | "sent" => {
            Ok(Outcome::snooze(app.watch_every, status))
        }
        _ => Outcome::done_with(&status),
    }
}
