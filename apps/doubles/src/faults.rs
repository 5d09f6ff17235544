//! The faults that every server has, as rates: what a test or a rehearsal wants without writing rules.

use std::{collections::HashSet, ops::RangeInclusive};

use crate::{
    Rate,
    rules::{Rule, Rules},
};

/// What a server does wrong; the default is nothing.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The seed of all decisions.
    pub seed: u64,
    /// Refusals for now: 451 to a recipient, 429 to a request.
    pub defer: Rate,
    /// Answers 503 before anything was taken; not the mail server.
    pub unavailable: Rate,
    /// Messages that are taken, and the connection closed in place of the reply: what makes duplicates.
    pub drop_reply: Rate,
    /// Addresses that are refused for good: 550 5.1.1, or error 21211.
    pub refused_recipients: HashSet<String>,
    /// How long every message or request takes.
    pub latency_ms: RangeInclusive<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 0,
            defer: Rate::NEVER,
            unavailable: Rate::NEVER,
            drop_reply: Rate::NEVER,
            refused_recipients: HashSet::new(),
            latency_ms: 0..=0,
        }
    }
}

/// What a server calls the faults that all have.
pub(crate) struct Words<F> {
    pub(crate) slow: fn(RangeInclusive<u64>) -> F,
    pub(crate) refuse: F,
    pub(crate) defer: F,
    pub(crate) unavailable: Option<F>,
    pub(crate) drop_reply: F,
}

impl Faults {
    pub(crate) fn rules<F: Clone>(self, words: Words<F>) -> Rules<F> {
        let mut rules = Vec::new();
        if *self.latency_ms.end() > 0 {
            rules.push(Rule::at(Rate::ALWAYS, (words.slow)(self.latency_ms)));
        }
        let mut refused: Vec<String> = self.refused_recipients.into_iter().collect();
        refused.sort_unstable();
        rules.extend(refused.iter().map(|who| Rule::of(who, words.refuse.clone())));
        rules.push(Rule::at(self.defer, words.defer));
        rules.extend(words.unavailable.map(|fault| Rule::at(self.unavailable, fault)));
        rules.push(Rule::at(self.drop_reply, words.drop_reply));
        Rules::new(self.seed, rules)
    }
}
