//! The same as the buttons of a job's page, as lines for a shell.

use windlass_core::State;
use windlass_core::job::JobDetail;

use crate::app::{Access, App};
use crate::routes::Scope;

/// What each line does, and the line, of what the caller may do. An id and a server's name hold nothing that a shell reads.
pub(crate) fn lines(app: &App, server: &str, job: &JobDetail) -> Vec<(&'static str, String)> {
    let at = format!("{server}/v1/jobs/{}", job.view.id);
    let curl = match app.options().access {
        Access::Anyone => "curl",
        Access::Bearer(_) => "curl -H \"Authorization: Bearer $WINDLASS_TOKEN\"",
    };
    let post = |verb: &str| format!("{curl} -X POST {at}/{verb}");
    let mut all = vec![("look", format!("{curl} {at}"))];
    let state = job.view.state;
    if !state.is_terminal() {
        all.push(("why", format!("{curl} {at}/why")));
    }
    if job.view.attempt > 0 {
        all.push(("log", format!("{curl} {at}/attempts/{}/log", job.view.attempt)));
    }
    if !app.caller().may(Scope::Operate) {
        return all;
    }
    match state {
        State::Scheduled | State::Retrying => {
            all.push(("run now", post("run-now")));
            all.push(("cancel", post("cancel")));
        }
        State::Ready | State::Blocked | State::Running => all.push(("cancel", post("cancel"))),
        State::Completed | State::Dead | State::Cancelled => all.push(("retry", post("retry"))),
    }
    if state.is_waiting() {
        all.push(("edit", format!("{curl} -X PATCH -d '{{\"priority\":5}}' {at}")));
    }
    if state != State::Running {
        all.push(("delete", format!("{curl} -X DELETE {at}")));
    }
    all
}
