//! What a check found: for people a sentence and the lines that show it, for machines the same as JSON.

use serde::Serialize;
use std::fmt;
use windlass_core::JobId;

/// An invariant of section 8 of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Invariant {
    /// No acknowledged enqueue is lost by a fault that the store's level covers.
    I1,
    /// At most one current lease per job.
    I2,
    /// A stale token changes nothing.
    I3,
    /// The counter only grows, and so do attempts.
    I4,
    /// At most one live job per unique key.
    I5,
    /// An ordered group never holds two leases, and goes in order.
    I6,
    /// Slots held equal jobs running, and none is granted above its limit.
    I7,
    /// Grants in any window are at most burst + rate x t.
    I8,
    /// Nothing is claimed from a paused queue, nor before it is due.
    I9,
    /// Exactly one terminal event per generation.
    I10,
    /// A blocked job runs only after its parents, and always when they have ended.
    I11,
    /// One job per schedule tick.
    I12,
    /// A transactional enqueue is visible if and only if the transaction committed.
    I13,
    /// Every extra execution has a recorded cause.
    I14,
    /// All due jobs end when faults stop and workers are up.
    I15,
    /// Counts equal a scan.
    I16,
    /// Recovery gives the same state.
    I17,
}

impl Invariant {
    /// All of them, in order.
    pub const ALL: [Invariant; 17] = {
        use Invariant::{I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12, I13, I14, I15, I16, I17};
        [I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12, I13, I14, I15, I16, I17]
    };
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One place where a history breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// The job that shows it, where it is one job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// The lines of the history that show it, the first line being 1.
    pub lines: Vec<u64>,
    /// What happened, in a sentence.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)?;
        let lines: Vec<String> = self.lines.iter().map(u64::to_string).collect();
        match lines.len() {
            0 => Ok(()),
            1 => write!(f, " (line {})", lines[0]),
            _ => write!(f, " (lines {})", lines.join(", ")),
        }
    }
}

/// How much was recorded, and how much of it each invariant could use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Lines read.
    pub lines: u64,
    /// Lines that a kill has torn; what they said counts as never written.
    pub torn_lines: u64,
    /// Processes that wrote.
    pub processes: u64,
    /// Calls begun.
    pub calls: u64,
    /// Calls of which nobody knows what became: without an answer, or answered so.
    pub unknown_calls: u64,
    /// Jobs seen.
    pub jobs: u64,
    /// Leases answered to workers.
    pub executions: u64,
    /// Of those, second and later attempts.
    pub repeats: u64,
    /// Events read.
    pub events: u64,
    /// Full looks at the store.
    pub dumps: u64,
    /// Faults.
    pub faults: u64,
    /// Acknowledged jobs that a fault took which the store's level does not cover.
    pub losses_not_covered: u64,
}

/// Whether the history gave an invariant something to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// Which one.
    pub invariant: Invariant,
    /// How many things were held against it; 0 means that the history says nothing about it.
    pub checks: u64,
    /// How many of them broke it.
    pub violations: u64,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How much was recorded.
    pub figures: Figures,
    /// Every invariant with what was there to judge.
    pub invariants: Vec<Judged>,
    /// The first violations of each invariant, at most [`VIOLATIONS_MAX`] of one.
    pub violations: Vec<Violation>,
}

/// Violations of one invariant that are told: one cause often breaks a rule for thousands of jobs.
pub const VIOLATIONS_MAX: usize = 50;

impl Report {
    /// Whether the history keeps every invariant that it says something about.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// The verdict about one invariant.
    pub fn judged(&self, invariant: Invariant) -> Judged {
        self.invariants[invariant as usize]
    }
}

/// Collects what the rules find.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    checks: [u64; 17],
    broken: [u64; 17],
    violations: Vec<Violation>,
    pub(crate) losses_not_covered: u64,
}

impl Findings {
    /// Something was held against that invariant.
    pub(crate) fn judge(&mut self, invariant: Invariant) {
        self.checks[invariant as usize] += 1;
    }

    /// It was judged and is broken unless `holds`; `why` gives the sentence.
    pub(crate) fn hold(
        &mut self,
        invariant: Invariant,
        holds: bool,
        job: impl Into<Option<JobId>>,
        lines: &[u64],
        why: impl FnOnce() -> String,
    ) {
        self.judge(invariant);
        if holds {
            return;
        }
        let broken = &mut self.broken[invariant as usize];
        *broken += 1;
        if *broken <= VIOLATIONS_MAX as u64 {
            let mut lines: Vec<u64> = lines.iter().copied().filter(|line| *line > 0).collect();
            lines.sort_unstable();
            lines.dedup();
            self.violations.push(Violation { invariant, job: job.into(), lines, text: why() });
        }
    }

    pub(crate) fn violations(&self) -> &[Violation] {
        &self.violations
    }

    pub(crate) fn report(&self, figures: Figures) -> Report {
        let judged = |invariant: Invariant| Judged {
            invariant,
            checks: self.checks[invariant as usize],
            violations: self.broken[invariant as usize],
        };
        let mut violations = self.violations.clone();
        violations.sort_by_key(|violation| violation.invariant);
        Report { figures, invariants: Invariant::ALL.map(judged).to_vec(), violations }
    }
}
