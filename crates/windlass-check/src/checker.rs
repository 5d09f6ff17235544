//! Takes a history line by line: shows it to the rules, then to the world.

use crate::format::{Answer, Ask, DumpEnd, Item, Line, Says, Told};
use crate::reader::{HistoryError, Lines};
use crate::report::{Figures, Findings, Report, Violation};
use crate::rules::{self, Dump, Rule, Seen};
use crate::world::{Ack, Open, World};
use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use windlass_core::JobId;
use windlass_core::error::Outcome;
use windlass_core::store::Cancelled;

/// What to ask of a history.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Faults had stopped, workers were up, and the last look is the end: check I15 too.
    pub complete: bool,
}

/// A check that goes on: it can be asked what it has found whenever the file has been read to its present end.
pub struct Checker<R> {
    lines: Lines<R>,
    world: World,
    rules: Vec<Box<dyn Rule>>,
    found: Findings,
    figures: Figures,
    open: HashMap<(String, u64), Open>,
    writers: HashSet<String>,
    dump: Option<Dump>,
}

impl<R> std::fmt::Debug for Checker<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").field("figures", &self.figures).finish_non_exhaustive()
    }
}

impl<R: BufRead> Checker<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// It is no history, or one of another version.
    pub fn new(from: R, options: Options) -> Result<Self, HistoryError> {
        let (header, lines) = Lines::open(from)?;
        Ok(Self {
            lines,
            world: World::new(header),
            rules: rules::all(options.complete),
            found: Findings::default(),
            figures: Figures::default(),
            open: HashMap::new(),
            writers: HashSet::new(),
            dump: None,
        })
    }

    /// Reads on to the present end of the file.
    ///
    /// # Errors
    /// A line says nothing that the format knows, or answers what nobody asked.
    pub fn read(&mut self) -> Result<(), HistoryError> {
        self.read_each(|_| ())
    }

    /// The same, and shows each line to `look`: for whoever wants something else of the history as well.
    ///
    /// # Errors
    /// As [`Checker::read`].
    pub fn read_each(&mut self, mut look: impl FnMut(&Line)) -> Result<(), HistoryError> {
        while let Some(line) = self.lines.next()? {
            look(&line);
            self.take(line)?;
        }
        Ok(())
    }

    /// What has been found so far, by the lines read. The rules that judge at the end have not spoken.
    pub fn violations(&self) -> &[Violation] {
        self.found.violations()
    }

    /// Judges what can be judged only at the end.
    pub fn finish(mut self) -> Report {
        for rule in &mut self.rules {
            rule.finish(&self.world, &mut self.found);
        }
        self.found.report(self.figures())
    }

    /// How much was recorded so far.
    pub fn figures(&self) -> Figures {
        Figures {
            lines: self.lines.number,
            torn_lines: self.lines.torn,
            processes: self.writers.len() as u64,
            unknown_calls: self.figures.unknown_calls + self.open.len() as u64,
            jobs: self.world.jobs_seen,
            faults: self.world.faults.len() as u64,
            losses_not_covered: self.found.losses_not_covered,
            ..self.figures.clone()
        }
    }

    fn take(&mut self, line: Line) -> Result<(), HistoryError> {
        (self.world.line, self.world.at) = (self.lines.number, line.at);
        match line.says {
            Says::Process(_) => drop(self.writers.insert(line.by)),
            Says::Call(call) => {
                self.figures.calls += 1;
                let begun = Open { line: self.world.line, at: line.at, ask: call.ask };
                self.show(&Seen::Begun(&begun));
                self.world.begin(&begun.ask);
                self.open.insert((line.by, call.id), begun);
            }
            Says::Answer(answer) => self.answer(line.by, answer)?,
            Says::Handler(handler) => self.show(&Seen::Handler(&handler)),
            Says::Fault(fault) => {
                self.world.fault(fault.what, fault.covered);
                self.show(&Seen::Fault(&fault));
            }
            Says::Transaction(transaction) => {
                self.show(&Seen::Transaction(&transaction));
                self.world.transaction(&transaction);
            }
            Says::Event(event) => {
                self.figures.events += 1;
                self.show(&Seen::Event(&event));
                self.world.event(&event);
            }
            Says::Dump(begins) => {
                let (line, at) = (self.world.line, self.world.at);
                self.dump = Some(Dump { line, at, begins, ..Dump::default() });
            }
            Says::Job(job) => {
                let (dump, number) = self.in_dump()?;
                if let Some((_, first)) = dump.jobs.get(&job.id) {
                    let why = format!("job {} stands in one look twice, first in line {first}", job.id);
                    return Err(HistoryError::Line { line: number, why });
                }
                dump.jobs.insert(job.id, (job, number));
            }
            Says::Queue(queue) => {
                let (dump, number) = self.in_dump()?;
                dump.queues.push((queue, number));
            }
            Says::Limit(limit) => {
                let (dump, number) = self.in_dump()?;
                dump.limits.push((limit, number));
            }
            Says::Schedule(schedule) => {
                let (dump, number) = self.in_dump()?;
                dump.schedules.push((schedule, number));
            }
            Says::DumpEnd(end) => self.end_dump(end)?,
        }
        Ok(())
    }

    fn in_dump(&mut self) -> Result<(&mut Dump, u64), HistoryError> {
        let line = self.lines.number;
        let outside = || HistoryError::Line { line, why: "stands outside of a dump".into() };
        Ok((self.dump.as_mut().ok_or_else(outside)?, line))
    }

    fn end_dump(&mut self, end: DumpEnd) -> Result<(), HistoryError> {
        self.in_dump()?.0.end = end;
        let Some(dump) = self.dump.take() else { return Ok(()) };
        self.figures.dumps += 1;
        for (job, line) in dump.jobs.values() {
            self.show(&Seen::DumpedJob { job, line: *line, dump: &dump });
        }
        self.show(&Seen::Dump(&dump));
        if dump.end.events_complete {
            self.world.forget(dump.line);
        }
        Ok(())
    }

    fn show(&mut self, seen: &Seen<'_>) {
        for rule in &mut self.rules {
            rule.see(seen, &self.world, &mut self.found);
        }
    }

    /// An answer, item by item: each is shown to the rules before the world knows of it.
    fn answer(&mut self, by: String, answer: Answer) -> Result<(), HistoryError> {
        let line = self.lines.number;
        let wrong = |why: String| HistoryError::Line { line, why };
        let begun = self.open.remove(&(by, answer.id));
        let begun = begun.ok_or_else(|| wrong(format!("answers call {}, which has not begun", answer.id)))?;
        let same = |asked: usize, told: usize| match asked == told {
            true => Ok(()),
            false => Err(wrong(format!("{told} answers to {asked} items"))),
        };
        match (&begun.ask, answer.told) {
            (ask, Told::Failed { outcome, .. }) => {
                let unknown = outcome == Outcome::Unknown;
                self.figures.unknown_calls += u64::from(unknown);
                if matches!(ask, Ask::Claim { .. }) {
                    self.world.claim_answered(unknown);
                }
            }
            (Ask::Enqueue { jobs, .. }, Told::Enqueued(told)) => {
                same(jobs.len(), told.len())?;
                for (asked, told) in jobs.iter().zip(&told) {
                    self.show(&Seen::Enqueued { asked, told, begun: &begun });
                    self.world.enqueued(asked, told);
                }
            }
            (Ask::Claim { settle, .. }, Told::Claimed { settled, jobs }) => {
                same(settle.len(), settled.len())?;
                self.world.claim_answered(false);
                for (settle, told) in settle.iter().zip(&settled) {
                    self.show(&Seen::Settled { settle, told, begun: &begun });
                    self.world.settled(settle, told, &begun);
                }
                for given in &jobs {
                    self.figures.executions += 1;
                    self.figures.repeats += u64::from(given.lease.attempt > 1);
                    self.show(&Seen::Given { given, begun: &begun });
                    self.world.given(given, &begun);
                }
            }
            (Ask::Heartbeat { leases }, Told::Beats(told)) => {
                same(leases.len(), told.len())?;
                for (lease, told) in leases.iter().zip(&told) {
                    self.show(&Seen::Beat { lease, told, begun: &begun });
                    if let Item::Ok(beat) = told {
                        self.world.beat(lease, beat.deadline);
                    }
                }
            }
            (Ask::Report { leases }, Told::Items(told)) => {
                same(leases.len(), told.len())?;
                for (lease, told) in leases.iter().zip(&told) {
                    self.show(&Seen::Reported { lease, told, begun: &begun });
                }
            }
            (Ask::Cancel { jobs }, Told::Cancelled(told)) => {
                same(jobs.len(), told.len())?;
                self.acknowledged(jobs, &told, &begun, |cancelled| match cancelled {
                    Cancelled::Now => Some(Ack::Cancelled),
                    Cancelled::Requested => Some(Ack::CancelRequested),
                });
            }
            (Ask::Delete { jobs } | Ask::Retry { jobs } | Ask::RunNow { jobs }, Told::Items(told)) => {
                same(jobs.len(), told.len())?;
                let ack = match &begun.ask {
                    Ask::Delete { .. } => Some(Ack::Deleted),
                    Ask::Retry { .. } => Some(Ack::Retried),
                    _ => None,
                };
                self.acknowledged(jobs, &told, &begun, |()| ack);
            }
            (Ask::Edit { edits }, Told::Items(told)) => same(edits.len(), told.len())?,
            (
                Ask::Pause { .. }
                | Ask::SetQueue { .. }
                | Ask::SetGroup { .. }
                | Ask::SetLimit { .. }
                | Ask::SetSchedule { .. }
                | Ask::DeleteSchedule { .. }
                | Ask::Close {},
                Told::One(told),
            ) => self.world.set(&begun, &told),
            _ => return Err(wrong("an answer to another verb".into())),
        }
        Ok(())
    }

    fn acknowledged<T>(
        &mut self,
        jobs: &[JobId],
        told: &[Item<T>],
        begun: &Open,
        ack: impl Fn(&T) -> Option<Ack>,
    ) {
        for (id, told) in jobs.iter().zip(told) {
            match told {
                Item::Ok(value) => ack(value).into_iter().for_each(|ack| self.world.acknowledged(*id, ack)),
                Item::Rejected(why) => self.world.refused(begun, *id, why),
            }
        }
    }
}

/// Holds a whole history against the invariants.
///
/// # Errors
/// It is no history, or not one to its end.
pub fn check(from: impl BufRead, options: Options) -> Result<Report, HistoryError> {
    let mut checker = Checker::new(from, options)?;
    checker.read()?;
    Ok(checker.finish())
}
