//! A circuit breaker: a provider that fails is left alone for a while, then tried with one attempt at a time.
//!
//! The story: closed, everything passes and the last outcomes are counted. When too many of them were the provider's
//! own failures it opens, and nothing passes until its cool-down has ended. Then one attempt passes, the probe, and
//! nothing else until the probe's outcome is known: success closes the breaker, failure opens it again for twice as
//! long, up to a bound. A person can force it open or closed, with a reason, and let it go again.
//!
//! It is a value without a clock: time comes with each question. It is stored as one row and written by compare and
//! set, so any number of processes share it; whoever loses the race reads the row and asks again. Which outcomes count
//! is in [`Sign`]: a recipient that does not exist says that the provider is well.

use std::fmt;

use serde::{Deserialize, Serialize};
use windlass::Time;

use super::{Action, RefusalClass, SendOutcome};

/// The longest window: one bit for each outcome of a machine word.
pub const MAX_WINDOW: u32 = 64;
/// The longest reason that is kept, in characters; it is a provider's or a person's sentence.
const MAX_WHY_CHARS: usize = 200;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How many of the last outcomes are looked at, 1 to [`MAX_WINDOW`].
    pub window: u32,
    /// How many outcomes there must be before their rate means anything, 1 to `window`.
    pub least_outcomes: u32,
    /// The share of failures at which it opens, in per cent, 1 to 100.
    pub open_at_percent: u32,
    /// The first cool-down, in milliseconds.
    pub cool_down_ms: u64,
    /// The longest cool-down, in milliseconds.
    pub longest_cool_down_ms: u64,
    /// How long a probe may take before another one is let through: its process may have died.
    pub probe_ms: u64,
}

impl Default for Policy {
    /// Half of the last 20 outcomes, at least 5 of them; 30 seconds, doubling up to 15 minutes.
    fn default() -> Self {
        Self {
            window: 20,
            least_outcomes: 5,
            open_at_percent: 50,
            cool_down_ms: 30_000,
            longest_cool_down_ms: 15 * 60_000,
            // Above the time-outs of all channels, so that a slow probe is not doubled.
            probe_ms: 90_000,
        }
    }
}

impl Policy {
    /// The policy with every setting in its range.
    fn in_range(self) -> Self {
        let window = self.window.clamp(1, MAX_WINDOW);
        Self {
            window,
            least_outcomes: self.least_outcomes.clamp(1, window),
            open_at_percent: self.open_at_percent.clamp(1, 100),
            cool_down_ms: self.cool_down_ms.max(1),
            longest_cool_down_ms: self.longest_cool_down_ms.max(self.cool_down_ms.max(1)),
            probe_ms: self.probe_ms.max(1),
        }
    }
}

/// What an outcome says about the provider's or the sender's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answered as it should, if only to refuse a recipient.
    Well,
    /// It failed, or it refuses us.
    Ill,
}

impl Sign {
    /// What an outcome says about the provider, given what is done about it.
    ///
    /// A refusal that brakes the sender is the sender's alone: the provider is well.
    pub fn of_provider(outcome: &SendOutcome, action: Option<Action>) -> Self {
        match outcome {
            SendOutcome::Sent { .. } => Sign::Well,
            SendOutcome::Refused(_) if action == Some(Action::OpenBreaker) => Sign::Ill,
            SendOutcome::Refused(no) if no.class == RefusalClass::Ours && action != Some(Action::Brake) => {
                Sign::Ill
            }
            SendOutcome::Refused(_) => Sign::Well,
            SendOutcome::Unanswered(_) => Sign::Ill,
        }
    }

    /// What an outcome says about the sender; nothing when it is the provider that did not answer or refuses us all.
    pub fn of_sender(outcome: &SendOutcome, action: Option<Action>) -> Option<Self> {
        match outcome {
            SendOutcome::Sent { .. } => Some(Sign::Well),
            SendOutcome::Refused(_) if action == Some(Action::Brake) => Some(Sign::Ill),
            SendOutcome::Refused(no) if no.class == RefusalClass::Ours => None,
            SendOutcome::Refused(_) => Some(Sign::Well),
            SendOutcome::Unanswered(_) => None,
        }
    }
}

/// The state of one breaker; serialises into one small row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    phase: Phase,
    /// A person's word, which goes before the phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forced: Option<Forced>,
    /// The number of the last probe; an older probe's outcome counts no more.
    probes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
enum Phase {
    Closed {
        /// The last outcomes, the newest in the lowest bit; set for a failure.
        failures: u64,
        /// How many outcomes there are.
        outcomes: u32,
    },
    Open {
        since: Time,
        until: Time,
        cool_down_ms: u64,
        why: String,
    },
    HalfOpen {
        /// When the probe that is out counts as lost; none when no probe is out.
        probe_until: Option<Time>,
        cool_down_ms: u64,
        why: String,
    },
}

impl Default for Phase {
    fn default() -> Self {
        Phase::Closed { failures: 0, outcomes: 0 }
    }
}

/// A breaker in a person's hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forced {
    /// Whether nothing passes, or everything.
    pub gate: Gate,
    /// Who decided it.
    pub by: String,
    /// Why.
    pub why: String,
    /// When.
    pub at: Time,
}

/// What a person made of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Nothing passes.
    Open,
    /// Everything passes.
    Closed,
}

/// A breaker's answer to whoever wants to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// Send, and report the outcome with this pass.
    Pass(Pass),
    /// Do not send.
    Wait {
        /// When asking again may have another answer; none when only a person can change it.
        until: Option<Time>,
        /// Why, for people.
        why: String,
    },
}

/// The right to one attempt, given back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// The number of the probe, when it is one.
    probe: Option<u64>,
}

impl Breaker {
    /// Whether an attempt may go now. An answer that changes the breaker (a probe) holds only once the row is
    /// written.
    pub fn ask(&mut self, now: Time, policy: &Policy) -> Answer {
        match &self.forced {
            Some(forced) if forced.gate == Gate::Open => {
                return Answer::Wait { until: None, why: self.says() };
            }
            Some(_) => return Answer::Pass(Pass { probe: None }),
            None => {}
        }
        let (cool_down_ms, reason) = match &self.phase {
            Phase::Closed { .. } => return Answer::Pass(Pass { probe: None }),
            Phase::Open { until, .. } if now < *until => {
                return Answer::Wait { until: Some(*until), why: self.says() };
            }
            Phase::HalfOpen { probe_until: Some(until), .. } if now < *until => {
                return Answer::Wait { until: Some(*until), why: self.says() };
            }
            Phase::Open { cool_down_ms, why, .. } | Phase::HalfOpen { cool_down_ms, why, .. } => {
                (*cool_down_ms, why.clone())
            }
        };
        self.probes += 1;
        let probe_until = Some(now.plus_ms(policy.in_range().probe_ms));
        self.phase = Phase::HalfOpen { probe_until, cool_down_ms, why: reason };
        Answer::Pass(Pass { probe: Some(self.probes) })
    }

    /// Takes in the outcome of an attempt that had a pass; `why` is the failure's reason, for people.
    ///
    /// An attempt that began before the breaker opened says nothing about the provider now, and is left out of
    /// account once it is open; so is a probe that was taken for lost, and everything while a person holds it.
    pub fn record(&mut self, pass: Pass, sign: Sign, why: &str, now: Time, policy: &Policy) {
        if self.forced.is_some() {
            return;
        }
        let policy = policy.in_range();
        match (&mut self.phase, pass.probe) {
            (Phase::Closed { failures, outcomes }, None) => {
                *failures = (*failures << 1) | u64::from(sign == Sign::Ill);
                *outcomes = (*outcomes + 1).min(policy.window);
                let looked_at = u64::MAX >> (MAX_WINDOW - *outcomes);
                let failed = (*failures & looked_at).count_ones();
                let too_many = failed * 100 >= policy.open_at_percent * *outcomes;
                if sign == Sign::Ill && *outcomes >= policy.least_outcomes && too_many {
                    self.open(now, policy.cool_down_ms, why);
                }
            }
            (Phase::HalfOpen { cool_down_ms, .. }, Some(probe)) if probe == self.probes => match sign {
                Sign::Well => self.phase = Phase::default(),
                Sign::Ill => {
                    let doubled = cool_down_ms.saturating_mul(2).min(policy.longest_cool_down_ms);
                    self.open(now, doubled.max(policy.cool_down_ms), why);
                }
            },
            _ => {}
        }
    }

    /// Whether this is `kept`, as the row has it, with nothing but outcomes counted on top: both closed, and neither
    /// probed nor forced in between.
    pub fn counts_on(&self, kept: &Breaker) -> bool {
        let closed = |breaker: &Breaker| matches!(breaker.phase, Phase::Closed { .. });
        closed(self) && closed(kept) && self.probes == kept.probes && self.forced == kept.forced
    }

    /// Gives a pass back whose attempt was never made; a probe's place is free again at once.
    pub fn give_back(&mut self, pass: Pass) {
        if let (Phase::HalfOpen { probe_until, .. }, Some(probe)) = (&mut self.phase, pass.probe)
            && probe == self.probes
        {
            *probe_until = None;
        }
    }

    /// Opens at once, whatever the rate: for an answer after which every other attempt would fail the same way, such
    /// as a wrong password. A breaker that is open already stays so, for as long as it was.
    pub fn trip(&mut self, why: &str, now: Time, policy: &Policy) {
        if self.forced.is_none() && matches!(self.phase, Phase::Closed { .. }) {
            self.open(now, policy.in_range().cool_down_ms, why);
        }
    }

    fn open(&mut self, now: Time, cool_down_ms: u64, why: &str) {
        let why = why.chars().take(MAX_WHY_CHARS).collect();
        self.phase = Phase::Open { since: now, until: now.plus_ms(cool_down_ms), cool_down_ms, why };
    }

    /// Puts the breaker into a person's hand until [`Breaker::release`].
    pub fn force(&mut self, gate: Gate, by: &str, why: &str, now: Time) {
        let bounded = |text: &str| text.chars().take(MAX_WHY_CHARS).collect();
        self.forced = Some(Forced { gate, by: bounded(by), why: bounded(why), at: now });
    }

    /// Lets the breaker go. One that was forced open begins with a probe; one that was forced closed, afresh.
    pub fn release(&mut self, policy: &Policy) {
        self.phase = match self.forced.take() {
            Some(Forced { gate: Gate::Open, why, .. }) => {
                Phase::HalfOpen { probe_until: None, cool_down_ms: policy.in_range().cool_down_ms, why }
            }
            Some(_) => Phase::default(),
            None => return,
        };
    }

    /// Who holds the breaker, when a person does.
    pub fn forced(&self) -> Option<&Forced> {
        self.forced.as_ref()
    }

    /// Whether anything but a probe is held back.
    pub fn holds_back(&self) -> bool {
        match &self.forced {
            Some(forced) => forced.gate == Gate::Open,
            None => !matches!(self.phase, Phase::Closed { .. }),
        }
    }

    /// Whether another process would decide differently than with `before`, so that the row must be written now. The
    /// counts of a closed breaker may be written now and then, or never: each process then counts its own.
    pub fn must_be_written_after(&self, before: &Breaker) -> bool {
        let closed = |breaker: &Breaker| matches!(breaker.phase, Phase::Closed { .. });
        self.forced != before.forced || !(closed(self) && closed(before)) && self != before
    }

    /// The word for the state in lists: `closed`, `open`, `probing`, `forced open` or `forced closed`.
    pub fn state(&self) -> &'static str {
        match (&self.forced, &self.phase) {
            (Some(Forced { gate: Gate::Open, .. }), _) => "forced open",
            (Some(Forced { gate: Gate::Closed, .. }), _) => "forced closed",
            (None, Phase::Closed { .. }) => "closed",
            (None, Phase::Open { .. }) => "open",
            (None, Phase::HalfOpen { .. }) => "probing",
        }
    }

    /// One sentence on the state, for people.
    pub fn says(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Forced { gate, by, why, at }) = &self.forced {
            let what = match gate {
                Gate::Open => "Held back",
                Gate::Closed => "Sending whatever happens",
            };
            return write!(f, "{what} by {by} since {at}: {why}");
        }
        match &self.phase {
            Phase::Closed { .. } => f.write_str("Sending."),
            Phase::Open { since, until, why, .. } => {
                write!(f, "Held back since {since}: {why}. One message tries again at {until}.")
            }
            Phase::HalfOpen { probe_until: Some(until), why, .. } => {
                write!(f, "Held back: {why}. One message is trying now, until {until} at the latest.")
            }
            Phase::HalfOpen { probe_until: None, why, .. } => {
                write!(f, "Held back: {why}. The next message tries whether it works again.")
            }
        }
    }
}

#[cfg(test)]
mod tests;
