//! How a command fails: one exit code, one message, and what to do next.
//!
//! The codes are a promise to scripts and stand in `docs/cli.md`. Everything that goes wrong anywhere below ends here as
//! a [`Fault`]; `main` prints it on stderr and nothing else does.

use std::fmt;
use std::io;

use serde_json::json;
use windlass_api::problem::Problem;
use windlass_core::{Rejection, StoreError};

use crate::arguments::Global;

/// What the process answers to whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// It failed in a way that no other code names.
    Failed = 1,
    /// The command line makes no sense; nothing was tried.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// The store said no: a conflict, a state that does not allow it, a full queue.
    Refused = 4,
    /// The store cannot be reached, or another process holds its directory.
    Unreachable = 5,
    /// To a mail server (`EX_DATAERR`): what was given is no mail.
    NoMail = 65,
    /// To a mail server (`EX_TEMPFAIL`): not now, keep the mail and try again.
    Later = 75,
}

impl Exit {
    /// Every code with what it means, for the documentation.
    #[cfg(test)]
    pub(crate) const ALL: [(Exit, &'static str); 8] = [
        (Exit::Done, "done"),
        (
            Exit::Failed,
            "failed: the store stopped, a file cannot be read, a check found damage or a broken invariant",
        ),
        (Exit::Usage, "usage: the command line makes no sense, nothing was tried"),
        (Exit::NotFound, "not found: the job, queue, group, limit or schedule does not exist"),
        (
            Exit::Refused,
            "refused: a conflict, a state that does not allow it, a full queue, or no confirmation",
        ),
        (
            Exit::Unreachable,
            "unreachable: the store cannot be opened, or another process holds its directory",
        ),
        (Exit::NoMail, "`campaigns mail` only: what was given is no mail"),
        (
            Exit::Later,
            "`campaigns mail` only: not now, whatever the reason; a mail server keeps the mail and tries again",
        ),
    ];
}

/// Why a command did not do what was asked, in words for people.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The process's exit code.
    pub(crate) exit: Exit,
    /// The stable word for machines.
    pub(crate) code: &'static str,
    /// What went wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) next: Option<String>,
    /// A command on the same store, with which that ends.
    pub(crate) command: Option<String>,
}

impl Fault {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), next: None, command: None }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, "failed", message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn not_found(what: impl fmt::Display) -> Self {
        Self::new(Exit::NotFound, "not_found", format!("{what} not found"))
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::failed(format!("{what}: {error}"))
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Proposes a command on the same store, behind the words that say what it is for.
    pub(crate) fn proposing(self, why: impl Into<String>, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self.next(why) }
    }

    /// What is proposed can be given as it is told: it names the store that this command was given.
    pub(crate) fn on(self, global: &Global) -> Self {
        Self { command: self.command.map(|command| global.again(&command)), ..self }
    }

    /// What to do about it, the command that is proposed included.
    pub(crate) fn advice(&self) -> Option<String> {
        let parts = [self.next.as_deref(), self.command.as_deref()].into_iter().flatten().collect::<Vec<_>>();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// The reader of our output has gone (`windlass … | head`): nothing went wrong, nobody listens any more.
    pub(crate) fn is_hang_up(&self) -> bool {
        self.code == HANG_UP
    }

    /// The fault as one JSON object, as `--json` prints it on stderr.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({ "error": { "code": self.code, "message": self.message, "next": self.advice(), "exit": self.exit as u8 } })
    }
}

const HANG_UP: &str = "hang_up";

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::BrokenPipe { HANG_UP } else { "failed" };
        Self::new(Exit::Failed, code, error.to_string())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let fault = Self::new(Exit::Failed, "store", error.to_string());
        match error.hint {
            Some(hint) => fault.next(hint),
            None if error.retryable => fault.next("the same command may be given again"),
            None => fault,
        }
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        let fault = Self::new(exit_of(&rejection), rejection.code(), rejection.to_string());
        match &rejection {
            Rejection::UniqueConflict { holder } => {
                fault.proposing("see the holder:", format!("windlass jobs get {holder}"))
            }
            Rejection::QueueFull { queue, .. } => fault.proposing(
                "start workers, or raise the bound:",
                format!("windlass queues set {queue} --max-waiting N"),
            ),
            Rejection::OutOfSpace => fault.next(
                "free space where the store lies (its disk, or the maxmemory of Redis), or shorten retention",
            ),
            Rejection::HasLiveChildren => fault.proposing("see its children:", "windlass jobs get ID"),
            Rejection::BadCursor => fault.next("start again without --cursor"),
            Rejection::CostTooHigh { limit, .. } => {
                fault.proposing("see it:", format!("windlass limits show {limit}"))
            }
            _ => fault,
        }
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Self {
        let fault = match (problem.rejection(), problem.status) {
            (Some(rejection), _) => rejection.into(),
            (None, 400) => Self::usage(problem.detail),
            (None, 404) => Self::new(Exit::NotFound, "not_found", problem.detail),
            (None, 500..) => return problem.store_error("server").into(),
            (None, _) => Self::new(Exit::Refused, "refused", problem.detail),
        };
        match problem.hint {
            Some(hint) if fault.next.is_none() => fault.next(hint),
            _ => fault,
        }
    }
}

/// The exit code of a refusal.
pub(crate) fn exit_of(rejection: &Rejection) -> Exit {
    match rejection {
        Rejection::NotFound { .. } => Exit::NotFound,
        Rejection::Invalid { .. } | Rejection::BadCursor => Exit::Usage,
        _ => Exit::Refused,
    }
}
