//! `windlass schedules`: jobs on a clock.

use clap::{Args, Subcommand};
use serde::Serialize;
use windlass_api::schedule::ScheduleShape;
use windlass_core::bounds::PRIORITY_MAX;
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::{ScheduleInfo, ScheduleSpec, Store};
use windlass_core::{GroupKey, JobId, Kind, NewJob, QueueName, Rejection, ScheduleName, Time};

use crate::arguments::Global;
use crate::commands::closing;
use crate::connect::{self, Intent, Open};
use crate::fault::Fault;
use crate::output::Output;
use crate::values::span::Span;
use crate::values::{moment, payload};

/// The verbs of `schedules`.
#[derive(Debug, Subcommand)]
pub(crate) enum SchedulesCommand {
    /// List schedules with their last and next tick
    #[command(before_help = "Examples:\n  windlass schedules ls\n")]
    Ls,
    /// One schedule with its next ticks
    #[command(before_help = "Examples:\n  windlass schedules show nightly\n")]
    Show {
        /// The schedule
        name: ScheduleName,
    },
    Set(SetArgs),
    /// Remove a schedule; jobs that it made stay
    #[command(before_help = "Examples:\n  windlass schedules rm nightly\n")]
    Rm {
        /// The schedule
        name: ScheduleName,
    },
    /// Make no jobs until it is resumed; ticks in between are not caught up
    #[command(before_help = "Examples:\n  windlass schedules pause nightly\n")]
    Pause {
        /// The schedule
        name: ScheduleName,
    },
    /// Make jobs again, from the next tick on
    #[command(before_help = "Examples:\n  windlass schedules resume nightly\n")]
    Resume {
        /// The schedule
        name: ScheduleName,
    },
    /// Make one job of it now, apart from its ticks
    #[command(before_help = "Examples:\n  windlass schedules run nightly\n")]
    Run {
        /// The schedule
        name: ScheduleName,
    },
}

const SET_EXAMPLES: &str = "\
Examples:
  windlass schedules set nightly --cron '30 2 * * *' --tz Europe/Berlin --queue reports --kind build
  windlass schedules set pulse --every 5m --queue watch --kind ping --overlap skip
  windlass schedules set nightly --cron '0 3 * * *'       the rest stays
";

/// Create a schedule or change it; what is not named stays
#[derive(Debug, Args)]
#[command(before_help = SET_EXAMPLES)]
pub(crate) struct SetArgs {
    /// The schedule
    name: ScheduleName,
    /// Five or six cron fields, or @hourly, @daily, @weekly, @monthly, @yearly
    #[arg(long, value_name = "FIELDS", conflicts_with = "every")]
    cron: Option<String>,
    /// The time zone of --cron (an IANA name); UTC when left out
    #[arg(long, value_name = "ZONE", conflicts_with = "every")]
    tz: Option<String>,
    /// Every so often
    #[arg(long, value_name = "SPAN")]
    every: Option<Span>,
    /// The tick that --every counts from (RFC 3339); whole hours and minutes when left out
    #[arg(long, value_name = "TIME", requires = "every", value_parser = moment::parse)]
    anchor: Option<Time>,
    /// The queue of its jobs
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// The kind of its jobs
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// The payload of its jobs as JSON, `@FILE`, or `-` for stdin; `{}` when left out
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    payload: Option<String>,
    /// Take the payload's bytes as they are
    #[arg(long, requires = "payload")]
    raw: bool,
    /// The group of its jobs
    #[arg(long, value_name = "KEY")]
    group: Option<GroupKey>,
    /// The priority of its jobs, -9 to 9
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = clap::value_parser!(i8).range(-9..=PRIORITY_MAX as i64))]
    priority: Option<i8>,
    /// While the last tick's job is live: allow another, or skip
    #[arg(long, value_name = "WHAT", value_parser = overlap)]
    overlap: Option<Overlap>,
    /// Ticks missed while nobody was there: skip, last, or all=N
    #[arg(long, value_name = "WHAT", value_parser = catch_up)]
    catch_up: Option<CatchUp>,
}

fn overlap(text: &str) -> Result<Overlap, String> {
    match text {
        "allow" => Ok(Overlap::Allow),
        "skip" => Ok(Overlap::Skip),
        _ => Err(format!("{text:?} is neither `allow` nor `skip`")),
    }
}

fn catch_up(text: &str) -> Result<CatchUp, String> {
    let catch_up = match (text, text.strip_prefix("all=").map(str::parse)) {
        ("skip", _) => CatchUp::Skip,
        ("last", _) => CatchUp::Last,
        (_, Some(Ok(max))) => CatchUp::All { max },
        _ => return Err(format!("{text:?} is none of skip, last, all=N")),
    };
    catch_up.validate().map(|()| catch_up)
}

impl SetArgs {
    /// The timing that is asked for, or the one there is with what is asked changed.
    fn timing(&self, old: Option<&Timing>) -> Result<Timing, Fault> {
        if let Some(every) = self.every {
            return Ok(Timing::Interval { every_ms: every.ms, anchor: self.anchor.unwrap_or_default() });
        }
        let (old_cron, old_tz) = match old {
            Some(Timing::Cron { expression, time_zone }) => (Some(expression), Some(time_zone)),
            _ => (None, None),
        };
        match (self.cron.as_ref().or(old_cron), old) {
            (Some(expression), _) => Ok(Timing::Cron {
                expression: expression.clone(),
                time_zone: self.tz.as_ref().or(old_tz).cloned().unwrap_or_else(|| "UTC".to_owned()),
            }),
            (None, Some(_)) if self.tz.is_some() => {
                Err(Fault::usage("--tz is for --cron, and this schedule has none"))
            }
            (None, Some(old)) => Ok(old.clone()),
            (None, None) => Err(Fault::usage("when? give --cron or --every")),
        }
    }

    /// The schedule as it shall be.
    pub(crate) fn spec(self, old: Option<ScheduleSpec>) -> Result<ScheduleSpec, Fault> {
        let timing = self.timing(old.as_ref().map(|spec| &spec.timing))?;
        timing.validate().map_err(Fault::usage)?;
        let given = self.payload.as_deref().map(|text| payload::read(Some(text), self.raw)).transpose()?;
        let needed = |what: &str| Fault::usage(format!("a new schedule needs --{what}"));
        let (old_queue, old_kind) = match &old {
            Some(spec) => (Some(spec.queue.clone()), Some(spec.kind.clone())),
            None => (None, None),
        };
        Ok(ScheduleSpec {
            name: self.name,
            timing,
            queue: self.queue.or(old_queue).ok_or_else(|| needed("queue"))?,
            kind: self.kind.or(old_kind).ok_or_else(|| needed("kind"))?,
            overlap: self.overlap.or(old.as_ref().map(|spec| spec.overlap)).unwrap_or_default(),
            catch_up: self.catch_up.or(old.as_ref().map(|spec| spec.catch_up)).unwrap_or_default(),
            priority: self.priority.or(old.as_ref().map(|spec| spec.priority)).unwrap_or_default(),
            paused: old.as_ref().is_some_and(|spec| spec.paused),
            payload: given
                .or(old.as_ref().map(|spec| spec.payload.clone()))
                .unwrap_or_else(|| b"{}".to_vec()),
            group: self.group.or(old.and_then(|spec| spec.group)),
        })
    }
}

/// The answer of verbs that leave nothing to show.
#[derive(Serialize)]
struct Removed {
    schedule: ScheduleName,
    removed: bool,
}

/// The answer to `run`.
#[derive(Serialize)]
struct Ran {
    schedule: ScheduleName,
    id: JobId,
}

/// Runs the verb.
pub(crate) async fn run(global: &Global, out: &Output, command: SchedulesCommand) -> Result<(), Fault> {
    let intent = if matches!(command, SchedulesCommand::Set(_)) { Intent::Put } else { Intent::Look };
    let open = connect::open(global, intent).await?;
    let store = open.store().as_ref();
    let result = match command {
        SchedulesCommand::Ls => ls(global, store, out).await,
        SchedulesCommand::Show { name } => show(store, out, &name).await,
        SchedulesCommand::Set(args) => set(store, out, args).await,
        SchedulesCommand::Rm { name } => rm(store, out, name).await,
        SchedulesCommand::Pause { name } => pause(store, out, &name, true).await,
        SchedulesCommand::Resume { name } => pause(store, out, &name, false).await,
        SchedulesCommand::Run { name } => run_now(&open, out, name).await,
    };
    closing(open, result).await
}

async fn ls(global: &Global, store: &dyn Store, out: &Output) -> Result<(), Fault> {
    let schedules: Vec<ScheduleShape> = store.schedules().await?.into_iter().map(shape).collect();
    if schedules.is_empty() {
        let first = global.again("windlass schedules set NAME --every 5m --queue QUEUE --kind KIND");
        out.hint(&format!("no schedules yet: {first}"));
    }
    out.list(&schedules)
}

/// A schedule with the ticks that lie ahead of this moment.
fn shape(info: ScheduleInfo) -> ScheduleShape {
    ScheduleShape::new(info, moment::now())
}

pub(crate) async fn find(store: &dyn Store, name: &ScheduleName) -> Result<Option<ScheduleInfo>, Fault> {
    Ok(store.schedules().await?.into_iter().find(|info| info.spec.name == *name))
}

async fn known(store: &dyn Store, name: &ScheduleName) -> Result<ScheduleInfo, Fault> {
    find(store, name).await?.ok_or_else(|| unknown(name))
}

fn unknown(name: &ScheduleName) -> Fault {
    Fault::not_found(format!("schedule {name}")).proposing("what is there:", "windlass schedules ls")
}

async fn show(store: &dyn Store, out: &Output, name: &ScheduleName) -> Result<(), Fault> {
    out.record(&shape(known(store, name).await?))
}

async fn set(store: &dyn Store, out: &Output, args: SetArgs) -> Result<(), Fault> {
    let name = args.name.clone();
    let old = find(store, &name).await?.map(|info| info.spec);
    let word = if old.is_some() { "changed" } else { "created" };
    store.set_schedule(args.spec(old)?, None).await?.map_err(Fault::from)?;
    let info = known(store, &name).await?;
    let next = info.next_tick.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let sentence = format!("{word} schedule {name}: next tick {next}");
    out.done(&shape(info), &sentence, &[name.as_str(), word, &next])
}

async fn rm(store: &dyn Store, out: &Output, name: ScheduleName) -> Result<(), Fault> {
    store.delete_schedule(name.clone(), None).await?.map_err(|rejection| match rejection {
        Rejection::NotFound { .. } => unknown(&name),
        other => other.into(),
    })?;
    let sentence = format!("schedule {name} is gone; jobs that it made stay");
    out.done(&Removed { schedule: name.clone(), removed: true }, &sentence, &[name.as_str(), "removed"])
}

async fn pause(store: &dyn Store, out: &Output, name: &ScheduleName, paused: bool) -> Result<(), Fault> {
    let spec = ScheduleSpec { paused, ..known(store, name).await?.spec };
    store.set_schedule(spec, None).await?.map_err(Fault::from)?;
    let (word, sentence) = match paused {
        true => ("paused", format!("schedule {name} is paused; ticks in between are not caught up")),
        false => ("on", format!("schedule {name} is on again")),
    };
    out.done(&shape(known(store, name).await?), &sentence, &[name.as_str(), word])
}

async fn run_now(open: &Open, out: &Output, name: ScheduleName) -> Result<(), Fault> {
    let store = open.store().as_ref();
    let ScheduleSpec { queue, kind, payload, group, priority, .. } = known(store, &name).await?.spec;
    let mut job = NewJob::new(open.client().new_id(), queue, kind, payload);
    job.group = group;
    job.priority = priority;
    let answer = store.enqueue(vec![job], true, None).await?.into_iter().next();
    let id = answer.ok_or_else(|| Fault::failed("the store gave no answer"))?.map_err(Fault::from)?.id;
    let sentence = format!("created {id} from schedule {name}");
    out.done(&Ran { schedule: name.clone(), id }, &sentence, &[name.as_str(), &id.to_string()])
}
