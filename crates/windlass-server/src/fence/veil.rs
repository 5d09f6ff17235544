//! What stands in the place of what a job holds, for those who may look but not see it.
//!
//! Hidden are payloads, results, checkpoints, logs, the words of progress, and every text that a handler wrote: messages
//! and details of errors, titles of failure modes, reasons of snoozes. Shown is what the queue works by, which is no place
//! for secrets: names, keys, tags, times, states, counts, and of an error its class and its fingerprint.

use windlass_core::event::Event;
use windlass_core::job::{ErrorReport, JobBody, JobDetail, JobView};
use windlass_core::store::{FailureMode, ScheduleInfo};
use windlass_core::why::{Reason, Why};

/// What is shown instead of bytes: JSON, like most of them.
pub(crate) const TEXT: &str = "\"(hidden: the scope payloads shows it)\"";
/// What is shown instead of words.
pub(crate) const WORDS: &str = "(hidden: the scope payloads shows it)";

fn bytes(shown: &mut Vec<u8>) {
    *shown = TEXT.as_bytes().to_vec();
}

fn maybe(shown: &mut Option<Vec<u8>>) {
    shown.iter_mut().for_each(bytes);
}

fn words(shown: &mut Option<String>) {
    shown.iter_mut().for_each(|text| WORDS.clone_into(text));
}

fn error(report: &mut ErrorReport) {
    WORDS.clone_into(&mut report.message);
    report.detail = None;
}

pub(super) fn view(job: &mut JobView) {
    words(&mut job.last_error);
}

pub(super) fn detail(job: &mut JobDetail) {
    view(&mut job.view);
    bytes(&mut job.payload);
    maybe(&mut job.result);
    maybe(&mut job.checkpoint);
    job.progress.iter_mut().for_each(|progress| words(&mut progress.message));
    job.attempts.iter_mut().filter_map(|attempt| attempt.error.as_mut()).for_each(error);
}

pub(super) fn body(body: &mut JobBody) {
    bytes(&mut body.payload);
}

pub(super) fn event(event: &mut Event) {
    words(&mut event.text);
    maybe(&mut event.result);
}

pub(super) fn mode(mode: &mut FailureMode) {
    WORDS.clone_into(&mut mode.title);
}

pub(super) fn schedule(info: &mut ScheduleInfo) {
    bytes(&mut info.spec.payload);
}

/// Reasons that a store puts into words of its own keep them; where a handler's words may stand, they go.
pub(super) fn why(why: &mut Why) {
    let own = matches!(
        why.reason,
        Reason::Scheduled
            | Reason::QueuePaused
            | Reason::QueueConcurrency
            | Reason::GroupConcurrency
            | Reason::Limit
            | Reason::FairShare
            | Reason::OrderedBehind
            | Reason::WaitingOnParents
            | Reason::NoWorker
            | Reason::Running
    );
    if !own {
        WORDS.clone_into(&mut why.detail);
    }
}
