//! THE state table: every verb on every state, and what each may do.
//!
//! The story of one job: it is enqueued as *ready*, as *scheduled* until its time, or as *blocked*
//! until its parents have ended. A worker's claim makes it *running* under a lease. The holder ends
//! the attempt: it completes, fails (and is *retrying* until the next try, or *dead* when it has
//! none left), or is given back. A lease that runs out is a loss, not a failure. People may cancel,
//! edit and retry. Ended jobs are kept for a while and then pruned.
//!
//! This module is pure and knows one job at a time. The engines execute it; stores in other
//! languages restate it and are held to it by a test over every state and every verb.
//! It knows nothing of order, limits or time: the caller has decided that a claim is admitted, that
//! a lease is overdue, that attempts are spent.

use crate::error::Rejection;
use crate::job::State;

/// What is asked of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// T2: its time has come.
    Promote,
    /// T3: a worker takes it.
    Claim,
    /// T4: its holder is alive.
    Heartbeat,
    /// Progress, log or checkpoint from its holder.
    Report,
    /// T5: its holder is done.
    Complete,
    /// T6: its holder failed; `dead` when no try is left or the error is fatal.
    Fail {
        /// No further try.
        dead: bool,
    },
    /// T7: its lease ran out; `dead` when it was lost too often.
    Expire {
        /// No further try.
        dead: bool,
    },
    /// T8: its holder wants it later.
    Snooze,
    /// T8: its holder gives it back, `delayed` when no handler knew it.
    Release {
        /// Back after a delay, not at once.
        delayed: bool,
    },
    /// T9, T10: somebody wants it stopped.
    Cancel,
    /// T10: the grace after a cancellation of a running job is over.
    EndGrace,
    /// T11: every parent has ended in a way that lets it go; `due` unless its own time lies ahead.
    Unblock {
        /// Its own time has come.
        due: bool,
    },
    /// T11: a parent ended in a way that forbids it.
    ParentFailed,
    /// T12: a new generation; `blocked` when parents are still to end.
    Retry {
        /// It has to wait for parents again.
        blocked: bool,
    },
    /// T13: retention removes it.
    Prune,
    /// T13: somebody removes it.
    Delete,
    /// T14: now instead of later.
    RunNow,
    /// T14: priority or time changed, and the payload perhaps; `due` unless its time lies ahead.
    Edit {
        /// Its time has come.
        due: bool,
    },
    /// T14: the payload changed and nothing else, of a job that is to run or may be retried.
    EditPayload,
    /// T14: not started by `expires_at`.
    ExpireUnstarted,
}

impl Verb {
    /// Every verb with every form of its argument.
    pub const ALL: [Verb; 26] = [
        Verb::Promote,
        Verb::Claim,
        Verb::Heartbeat,
        Verb::Report,
        Verb::Complete,
        Verb::Fail { dead: false },
        Verb::Fail { dead: true },
        Verb::Expire { dead: false },
        Verb::Expire { dead: true },
        Verb::Snooze,
        Verb::Release { delayed: false },
        Verb::Release { delayed: true },
        Verb::Cancel,
        Verb::EndGrace,
        Verb::Unblock { due: true },
        Verb::Unblock { due: false },
        Verb::ParentFailed,
        Verb::Retry { blocked: false },
        Verb::Retry { blocked: true },
        Verb::Prune,
        Verb::Delete,
        Verb::RunNow,
        Verb::Edit { due: true },
        Verb::Edit { due: false },
        Verb::EditPayload,
        Verb::ExpireUnstarted,
    ];

    /// The verb's word, as rejections print it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verb::Promote => "promote",
            Verb::Claim => "claim",
            Verb::Heartbeat => "heartbeat",
            Verb::Report => "report",
            Verb::Complete => "complete",
            Verb::Fail { .. } => "fail",
            Verb::Expire { .. } => "expire",
            Verb::Snooze => "snooze",
            Verb::Release { .. } => "release",
            Verb::Cancel => "cancel",
            Verb::EndGrace => "end_grace",
            Verb::Unblock { .. } => "unblock",
            Verb::ParentFailed => "parent_failed",
            Verb::Retry { .. } => "retry",
            Verb::Prune => "prune",
            Verb::Delete => "delete",
            Verb::RunNow => "run_now",
            Verb::Edit { .. } | Verb::EditPayload => "edit",
            Verb::ExpireUnstarted => "expire_unstarted",
        }
    }

    /// Whether the verb must show a lease token.
    pub const fn needs_lease(self) -> bool {
        matches!(
            self,
            Verb::Heartbeat
                | Verb::Report
                | Verb::Complete
                | Verb::Fail { .. }
                | Verb::Expire { .. }
                | Verb::Snooze
                | Verb::Release { .. }
                | Verb::EndGrace
        )
    }
}

/// How the token shown compares with the job's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// It is the token of the current lease, or the verb needs none.
    Current,
    /// It is the token that ended the job's last attempt, with the same outcome: a second ack.
    Repeated,
    /// Neither.
    Stale,
}

/// What the table needs to know of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Where it stands.
    pub state: State,
    /// Whether its running attempt was asked to stop.
    pub cancel_requested: bool,
    /// Whether it ever started.
    pub started: bool,
}

/// What a verb does when it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The job moves to that state.
    To(State),
    /// The job stays where it is; what the verb carries is recorded.
    Stay,
    /// The holder is asked to stop (T10).
    RequestCancel,
    /// The job is removed.
    Gone,
    /// It has been done before with the same token: answered `ok`, nothing changes.
    Already,
}

/// The step that `verb` takes on a job that stands at `at`, with a token that compares as `token`.
///
/// # Errors
/// [`Rejection::Stale`] when a lease is needed and the token is not current (rule b);
/// [`Rejection::WrongState`] when the state does not allow the verb.
pub fn step(at: Standing, verb: Verb, token: Token) -> Result<Step, Rejection> {
    use State::{Blocked, Cancelled, Completed, Dead, Ready, Retrying, Running, Scheduled};
    if verb.needs_lease() {
        return match token {
            Token::Repeated if verb != Verb::Heartbeat && verb != Verb::Report => Ok(Step::Already),
            Token::Current if at.state == Running => Ok(settle(at, verb)),
            _ => Err(Rejection::Stale),
        };
    }
    let wrong = Err(Rejection::WrongState { verb: verb.as_str(), state: at.state });
    match (at.state, verb) {
        (Scheduled | Retrying, Verb::Promote | Verb::RunNow) => Ok(Step::To(Ready)),
        (Ready, Verb::RunNow) => Ok(Step::Stay),
        (Ready, Verb::Claim) => Ok(Step::To(Running)),
        (Running, Verb::Cancel) if at.cancel_requested => Ok(Step::Already),
        (Running, Verb::Cancel) => Ok(Step::RequestCancel),
        (Cancelled, Verb::Cancel) => Ok(Step::Already),
        (Scheduled | Ready | Retrying | Blocked, Verb::Cancel) => Ok(Step::To(Cancelled)),
        (Blocked, Verb::Unblock { due: true }) => Ok(Step::To(Ready)),
        (Blocked, Verb::Unblock { due: false }) => Ok(Step::To(Scheduled)),
        (Blocked, Verb::ParentFailed) => Ok(Step::To(Cancelled)),
        (Dead | Cancelled | Completed, Verb::Retry { blocked: false }) => Ok(Step::To(Ready)),
        (Dead | Cancelled | Completed, Verb::Retry { blocked: true }) => Ok(Step::To(Blocked)),
        (Dead | Cancelled | Completed, Verb::Prune) => Ok(Step::Gone),
        (Running, Verb::Delete) => wrong,
        (_, Verb::Delete) => Ok(Step::Gone),
        (Blocked, Verb::Edit { .. }) => Ok(Step::Stay),
        (Retrying, Verb::Edit { due: false }) => Ok(Step::Stay),
        (Scheduled | Ready | Retrying, Verb::Edit { due: true }) => Ok(Step::To(Ready)),
        (Scheduled | Ready, Verb::Edit { due: false }) => Ok(Step::To(Scheduled)),
        // What a completed job was asked to do is history.
        (Scheduled | Ready | Retrying | Blocked | Dead | Cancelled, Verb::EditPayload) => Ok(Step::Stay),
        (Scheduled | Ready | Blocked, Verb::ExpireUnstarted) if !at.started => Ok(Step::To(Cancelled)),
        _ => wrong,
    }
}

/// The end, or the continuation, of a running attempt by its holder or by upkeep.
///
/// From a cancellation on, only a completion completes; everything else that would give the job
/// back ends it as cancelled (T10).
fn settle(at: Standing, verb: Verb) -> Step {
    let back = |state| Step::To(if at.cancel_requested { State::Cancelled } else { state });
    match verb {
        Verb::Complete => Step::To(State::Completed),
        Verb::Fail { dead: true } | Verb::Expire { dead: true } => back(State::Dead),
        Verb::Fail { dead: false } | Verb::Expire { dead: false } => back(State::Retrying),
        Verb::Snooze | Verb::Release { delayed: true } => back(State::Scheduled),
        Verb::Release { delayed: false } => back(State::Ready),
        Verb::EndGrace if at.cancel_requested => Step::To(State::Cancelled),
        _ => Step::Stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::*;

    fn at(state: State) -> Standing {
        Standing { state, cancel_requested: false, started: false }
    }

    /// The table of the contract, written out a second time by hand: `.` refused as wrong state,
    /// `S` stale, otherwise the state reached or the step's letter.
    #[test]
    fn every_verb_on_every_state_does_what_the_contract_says() {
        // columns: scheduled ready running retrying blocked completed dead cancelled
        let table: &[(Verb, [&str; 8])] = &[
            (Verb::Promote, ["ready", ".", ".", "ready", ".", ".", ".", "."]),
            (Verb::Claim, [".", "running", ".", ".", ".", ".", ".", "."]),
            (Verb::Heartbeat, ["S", "S", "stay", "S", "S", "S", "S", "S"]),
            (Verb::Report, ["S", "S", "stay", "S", "S", "S", "S", "S"]),
            (Verb::Complete, ["S", "S", "completed", "S", "S", "S", "S", "S"]),
            (Verb::Fail { dead: false }, ["S", "S", "retrying", "S", "S", "S", "S", "S"]),
            (Verb::Fail { dead: true }, ["S", "S", "dead", "S", "S", "S", "S", "S"]),
            (Verb::Expire { dead: false }, ["S", "S", "retrying", "S", "S", "S", "S", "S"]),
            (Verb::Expire { dead: true }, ["S", "S", "dead", "S", "S", "S", "S", "S"]),
            (Verb::Snooze, ["S", "S", "scheduled", "S", "S", "S", "S", "S"]),
            (Verb::Release { delayed: false }, ["S", "S", "ready", "S", "S", "S", "S", "S"]),
            (Verb::Release { delayed: true }, ["S", "S", "scheduled", "S", "S", "S", "S", "S"]),
            (Verb::Cancel, ["cancelled", "cancelled", "ask", "cancelled", "cancelled", ".", ".", "already"]),
            (Verb::EndGrace, ["S", "S", "stay", "S", "S", "S", "S", "S"]),
            (Verb::Unblock { due: true }, [".", ".", ".", ".", "ready", ".", ".", "."]),
            (Verb::Unblock { due: false }, [".", ".", ".", ".", "scheduled", ".", ".", "."]),
            (Verb::ParentFailed, [".", ".", ".", ".", "cancelled", ".", ".", "."]),
            (Verb::Retry { blocked: false }, [".", ".", ".", ".", ".", "ready", "ready", "ready"]),
            (Verb::Retry { blocked: true }, [".", ".", ".", ".", ".", "blocked", "blocked", "blocked"]),
            (Verb::Prune, [".", ".", ".", ".", ".", "gone", "gone", "gone"]),
            (Verb::Delete, ["gone", "gone", ".", "gone", "gone", "gone", "gone", "gone"]),
            (Verb::RunNow, ["ready", "stay", ".", "ready", ".", ".", ".", "."]),
            (Verb::Edit { due: true }, ["ready", "ready", ".", "ready", "stay", ".", ".", "."]),
            (Verb::Edit { due: false }, ["scheduled", "scheduled", ".", "stay", "stay", ".", ".", "."]),
            (Verb::EditPayload, ["stay", "stay", ".", "stay", "stay", ".", "stay", "stay"]),
            (Verb::ExpireUnstarted, ["cancelled", "cancelled", ".", ".", "cancelled", ".", ".", "."]),
        ];
        for verb in Verb::ALL {
            let row = table.iter().find(|(v, _)| *v == verb).map(|(_, row)| row);
            let row = row.unwrap_or_else(|| panic!("{verb:?} has no row"));
            for (state, want) in State::ALL.into_iter().zip(row) {
                let got = match step(at(state), verb, Token::Current) {
                    Ok(Step::To(to)) => to.as_str(),
                    Ok(Step::Stay) => "stay",
                    Ok(Step::RequestCancel) => "ask",
                    Ok(Step::Gone) => "gone",
                    Ok(Step::Already) => "already",
                    Err(Rejection::Stale) => "S",
                    Err(Rejection::WrongState { .. }) => ".",
                    Err(other) => panic!("{other}"),
                };
                assert_eq!(got, *want, "{verb:?} on {state}");
            }
        }
    }

    #[test]
    fn a_stale_token_changes_nothing_in_any_state() {
        for verb in Verb::ALL.into_iter().filter(|v| v.needs_lease()) {
            for state in State::ALL {
                for cancel_requested in [false, true] {
                    let at = Standing { state, cancel_requested, started: true };
                    assert_eq!(step(at, verb, Token::Stale), Err(Rejection::Stale), "{verb:?} on {state}");
                }
            }
        }
    }

    #[test]
    fn a_second_ack_is_answered_ok_and_a_second_heartbeat_is_stale() {
        for verb in Verb::ALL.into_iter().filter(|v| v.needs_lease()) {
            let want = match verb {
                Verb::Heartbeat | Verb::Report => Err(Rejection::Stale),
                _ => Ok(Step::Already),
            };
            assert_eq!(step(at(Completed), verb, Token::Repeated), want, "{verb:?}");
        }
    }

    #[test]
    fn after_a_cancellation_only_a_completion_completes() {
        let at = Standing { state: Running, cancel_requested: true, started: true };
        for verb in Verb::ALL.into_iter().filter(|v| v.needs_lease()) {
            let want = match verb {
                Verb::Complete => Step::To(Completed),
                Verb::Heartbeat | Verb::Report => Step::Stay,
                _ => Step::To(Cancelled),
            };
            assert_eq!(step(at, verb, Token::Current), Ok(want), "{verb:?}");
        }
        assert_eq!(step(at, Verb::Cancel, Token::Current), Ok(Step::Already));
    }

    #[test]
    fn a_job_that_has_started_does_not_expire_unstarted() {
        let at = Standing { state: Ready, cancel_requested: false, started: true };
        assert!(step(at, Verb::ExpireUnstarted, Token::Current).is_err());
    }
}
