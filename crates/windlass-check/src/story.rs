//! A job's story, as the store's events tell it: one event after the other, none doubted here.
//!
//! Whether an event may follow another is for the rules; this only keeps where the job stands.

use crate::format::SeenEvent;
use windlass_core::event::EventType as E;
use windlass_core::{State, Time, WorkerId};

/// Where the events have brought a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    /// Its first event was read, and nothing since can be missing.
    pub(crate) begun: bool,
    /// A fault that the level does not cover may have taken back what is told here.
    pub(crate) unsure: bool,
    pub(crate) attempt: u32,
    /// The claim: line, worker, time.
    pub(crate) running: Option<(u64, Option<WorkerId>, Time)>,
    pub(crate) ended: Option<(State, u64)>,
    pub(crate) removed: Option<u64>,
    /// The next attempt has a reason.
    pub(crate) cause: bool,
    /// How each attempt ended.
    pub(crate) ends: Vec<(E, u32)>,
    pub(crate) completed_ever: bool,
    pub(crate) ended_ever: bool,
    pub(crate) cancelled_ever: bool,
    pub(crate) cancel_requested_ever: bool,
    pub(crate) retried: bool,
    /// The line of the newest event.
    pub(crate) line: u64,
}

impl Story {
    pub(crate) fn unsure() -> Self {
        Self { unsure: true, ..Self::default() }
    }

    /// Whether it is known to be live.
    pub(crate) fn is_live(&self) -> bool {
        self.begun && self.ended.is_none() && self.removed.is_none()
    }

    /// Whether nothing is known of it.
    pub(crate) fn is_blank(&self) -> bool {
        !self.begun && self.line == 0
    }

    fn end(&mut self, state: State, line: u64) {
        self.ended = Some((state, line));
        self.ended_ever = true;
        self.completed_ever |= state == State::Completed;
        self.cancelled_ever |= state == State::Cancelled;
    }

    pub(crate) fn take(&mut self, event: &SeenEvent, line: u64) {
        match event.event {
            E::Enqueued => *self = Story { begun: true, ..Story::default() },
            E::Claimed => {
                (self.attempt, self.running) = (event.attempt, Some((line, event.worker, event.at)));
                self.cause = false;
            }
            E::Completed | E::Failed | E::Died | E::Lost | E::Snoozed | E::Released => {
                self.running = None;
                self.cause = true;
                self.ends.push((event.event, event.attempt));
                match event.event {
                    E::Completed => self.end(State::Completed, line),
                    E::Died => self.end(State::Dead, line),
                    _ => {}
                }
            }
            E::Cancelled => {
                if self.running.take().is_some() {
                    self.ends.push((E::Cancelled, self.attempt));
                }
                self.cause = true;
                self.end(State::Cancelled, line);
            }
            E::Retried => (self.ended, self.cause, self.retried) = (None, true, true),
            E::Removed => self.removed = Some(line),
            E::CancelRequested => self.cancel_requested_ever = true,
            E::Promoted | E::Unblocked | E::Edited => {}
        }
        self.line = line;
    }
}
