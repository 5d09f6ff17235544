//! The rules: one small module for each invariant or family of them.
//!
//! A rule sees one thing at a time, in the order of the lines, before the world has taken it in; a batch is shown item by
//! item. It says what it has held against its invariant, and what broke it, and must stay silent where the history allows
//! another reading: a checker that cries wolf is switched off.

mod causes;
mod counters;
mod counts;
mod due;
mod leases;
mod life;
mod limits;
mod liveness;
mod loss;
mod ordered;
mod parents;
mod rates;
mod reopen;
mod ticks;
mod transactions;
mod unique;

use crate::format::{
    Asked, AskedSettle, DumpBegins, DumpEnd, DumpJob, DumpLimit, DumpQueue, DumpSchedule, Fault, Given,
    Handler, Item, SeenEvent, Transaction,
};
use crate::report::Findings;
use crate::world::{Open, World};
use std::collections::HashMap;
use windlass_core::store::{Beat, Enqueued};
use windlass_core::{JobId, Lease, Time};

/// A full look at the store, put together.
#[derive(Debug, Default)]
pub(crate) struct Dump {
    /// Its first line and time.
    pub(crate) line: u64,
    pub(crate) at: Time,
    pub(crate) begins: DumpBegins,
    pub(crate) end: DumpEnd,
    pub(crate) jobs: HashMap<JobId, (DumpJob, u64)>,
    pub(crate) queues: Vec<(DumpQueue, u64)>,
    pub(crate) limits: Vec<(DumpLimit, u64)>,
    pub(crate) schedules: Vec<(DumpSchedule, u64)>,
}

/// One thing that a line says.
pub(crate) enum Seen<'a> {
    /// A call begins.
    Begun(&'a Open),
    /// One job was enqueued, or refused.
    Enqueued { asked: &'a Asked, told: &'a Item<Enqueued>, begun: &'a Open },
    /// One attempt was settled, or that was refused.
    Settled { settle: &'a AskedSettle, told: &'a Item<()>, begun: &'a Open },
    /// A job was given to a worker.
    Given { given: &'a Given, begun: &'a Open },
    /// A heartbeat was answered.
    Beat { lease: &'a Lease, told: &'a Item<Beat>, begun: &'a Open },
    /// A report was answered.
    Reported { lease: &'a Lease, told: &'a Item<()>, begun: &'a Open },
    /// A handler begins or ends.
    Handler(&'a Handler),
    /// Something broke.
    Fault(&'a Fault),
    /// A transaction of the caller takes a step.
    Transaction(&'a Transaction),
    /// The store tells an event.
    Event(&'a SeenEvent),
    /// A full look at the store is complete.
    Dump(&'a Dump),
    /// A look shows a job: told when the look is complete, one after the other, before [`Seen::Dump`].
    DumpedJob { job: &'a DumpJob, line: u64, dump: &'a Dump },
}

/// One invariant, or a family of them.
pub(crate) trait Rule {
    /// Something was seen; `world` is what was known before.
    fn see(&mut self, seen: &Seen<'_>, world: &World, found: &mut Findings);

    /// Nothing more comes.
    fn finish(&mut self, _world: &World, _found: &mut Findings) {}
}

/// Every rule. `complete` asks for I15 too: faults have stopped, workers were up, and the last look is the end.
pub(crate) fn all(complete: bool) -> Vec<Box<dyn Rule>> {
    let mut rules: Vec<Box<dyn Rule>> = vec![
        Box::new(loss::Loss::default()),
        Box::new(leases::Leases),
        Box::new(life::Life),
        Box::new(counters::Counters::default()),
        Box::new(unique::Unique),
        Box::new(ordered::Ordered::default()),
        Box::new(limits::Limits::default()),
        Box::new(rates::Rates::default()),
        Box::new(due::Due),
        Box::new(parents::Parents),
        Box::new(ticks::Ticks::default()),
        Box::new(transactions::Transactions::default()),
        Box::new(causes::Causes::default()),
        Box::new(counts::Counting),
        Box::new(reopen::Reopen::default()),
    ];
    if complete {
        rules.push(Box::new(liveness::Liveness::default()));
    }
    rules
}
