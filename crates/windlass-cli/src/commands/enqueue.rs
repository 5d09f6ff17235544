//! `windlass enqueue`: one job from the command line, or many from a file of JSON lines.

use clap::Args;
use serde::Serialize;
use windlass_core::job::{OnConflict, OnParent, Parent, Unique, UniqueScope};
use windlass_core::limit::LimitUse;
use windlass_core::name::{Tag, UniqueKey};
use windlass_core::store::{EnqueueStatus, Enqueued};
use windlass_core::{GroupKey, JobId, Kind, LimitName, NewJob, QueueName, Time};

use crate::arguments::Global;
use crate::commands::{closing, ndjson};
use crate::connect::{self, Intent};
use crate::fault::Fault;
use crate::output::Output;
use crate::values::retry::{self, Policy};
use crate::values::span::Span;
use crate::values::{moment, payload};

const EXAMPLES: &str = "\
Examples:
  windlass enqueue email send_email '{\"to\":\"a@b.c\"}'
  windlass enqueue email send_email @mail.json --delay 10m --group campaign-7
  windlass enqueue reports build --unique daily --unique-for 1h --on-conflict refuse
  jq -c '.[]' contacts.json | windlass enqueue email send_email --ndjson -
";

/// Put a job into a queue, or many with --ndjson
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct EnqueueArgs {
    /// The queue; with --ndjson, of lines that name none
    #[arg(required_unless_present = "ndjson")]
    queue: Option<QueueName>,
    /// The kind, which a handler knows; with --ndjson, of lines that name none
    #[arg(required_unless_present = "ndjson")]
    kind: Option<Kind>,
    /// The payload as JSON, `@FILE`, or `-` for stdin; `{}` when left out
    #[arg(conflicts_with = "ndjson", allow_negative_numbers = true)]
    payload: Option<String>,
    /// Take one job from each line of FILE (`-`: stdin); a bad line is told and stops no other
    #[arg(long, value_name = "FILE")]
    ndjson: Option<String>,
    /// Send the payload's bytes as they are, JSON or not
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    options: JobOptions,
}

/// The options of a job; with --ndjson, defaults of lines that do not say otherwise.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Job options")]
pub(crate) struct JobOptions {
    /// Share the queue as one of this group
    #[arg(long, value_name = "KEY")]
    pub(crate) group: Option<GroupKey>,
    /// -9 to 9, higher first
    #[arg(long, allow_negative_numbers = true, value_name = "N")]
    pub(crate) priority: Option<i8>,
    /// Not before that long from now (10m)
    #[arg(long, value_name = "SPAN", conflicts_with = "run_at")]
    pub(crate) delay: Option<Span>,
    /// Not before that time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub(crate) run_at: Option<Time>,
    /// At most one live job with this key
    #[arg(long, value_name = "KEY", conflicts_with = "ndjson")]
    pub(crate) unique: Option<UniqueKey>,
    /// Keep the key for a span (1h) or `until-start`, not only while the job is live
    #[arg(long, value_name = "SPAN", requires = "unique", value_parser = unique_scope)]
    pub(crate) unique_for: Option<UniqueScope>,
    /// What to do when the key is taken: existing, replace, reschedule or refuse
    #[arg(long, value_name = "WHAT", requires = "unique", value_parser = on_conflict)]
    pub(crate) on_conflict: Option<OnConflict>,
    /// Take a named limit when it starts; up to four
    #[arg(long = "limit", value_name = "NAME[=COST]", value_parser = limit_use)]
    pub(crate) limits: Vec<LimitUse>,
    /// Start when that job has completed (ID=always: has ended, however)
    #[arg(long = "after", value_name = "ID", value_parser = parent)]
    pub(crate) parents: Vec<Parent>,
    /// For people and filters; up to eight
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<Tag>,
    /// Cancelled if it has not started by then
    #[arg(long, value_name = "SPAN")]
    pub(crate) expires_in: Option<Span>,
    /// How long one attempt may take
    #[arg(long, value_name = "SPAN")]
    pub(crate) timeout: Option<Span>,
    /// Failures at which it is dead, with the default delays
    #[arg(long, value_name = "N", conflicts_with = "retry")]
    pub(crate) max_failures: Option<u32>,
    /// Its own retry policy: exponential(base=5s,cap=30m,max=12), fixed(10s,max=5), list(1s,10s), never
    #[arg(long, value_name = "POLICY")]
    pub(crate) retry: Option<Policy>,
    /// Its id (a UUID): the same id sent twice is one job
    #[arg(long, value_name = "ID", conflicts_with = "ndjson")]
    pub(crate) id: Option<JobId>,
}

impl JobOptions {
    /// The job that these options, a queue, a kind and a payload make.
    pub(crate) fn job(&self, queue: QueueName, kind: Kind, payload: Vec<u8>, id: JobId, now: Time) -> NewJob {
        let mut job = NewJob::new(self.id.unwrap_or(id), queue, kind, payload);
        job.group.clone_from(&self.group);
        job.priority = self.priority.unwrap_or(0);
        job.delay_ms = self.delay.map(|span| span.ms);
        job.run_at = self.run_at;
        job.expires_at = self.expires_in.map(|span| now.plus_ms(span.ms));
        job.retry = match (&self.retry, self.max_failures) {
            (Some(policy), _) => Some(policy.0.clone()),
            (None, max) => max.map(retry::with_max_failures),
        };
        job.unique = self.unique.clone().map(|key| Unique {
            key,
            scope: self.unique_for.unwrap_or_default(),
            on_conflict: self.on_conflict.unwrap_or_default(),
        });
        job.limits.clone_from(&self.limits);
        job.parents.clone_from(&self.parents);
        job.tags.clone_from(&self.tags);
        job.timeout_ms = self.timeout.map(|span| span.ms);
        job
    }
}

/// Reads how long a unique key stays taken.
pub(crate) fn unique_scope(text: &str) -> Result<UniqueScope, String> {
    match text {
        "live" => Ok(UniqueScope::WhileLive),
        "until-start" => Ok(UniqueScope::UntilStart),
        _ => crate::values::span::parse(text)
            .map(|ttl_ms| UniqueScope::For { ttl_ms })
            .map_err(|_| format!("{text:?} is neither a span of time (1h) nor `live` nor `until-start`")),
    }
}

/// Reads what a taken key means.
pub(crate) fn on_conflict(text: &str) -> Result<OnConflict, String> {
    match text {
        "existing" => Ok(OnConflict::Existing),
        "replace" => Ok(OnConflict::Replace),
        "reschedule" => Ok(OnConflict::Reschedule),
        "refuse" => Ok(OnConflict::Refuse),
        _ => Err(format!("{text:?} is none of existing, replace, reschedule, refuse")),
    }
}

/// Reads `NAME` or `NAME=COST`.
pub(crate) fn limit_use(text: &str) -> Result<LimitUse, String> {
    let (name, cost) = text.split_once('=').unwrap_or((text, "1"));
    let cost = cost.parse().map_err(|_| format!("{text:?}: the cost {cost:?} is not a whole number"))?;
    LimitName::new(name).map(|name| LimitUse { name, cost }).map_err(|refused| refused.to_string())
}

/// Reads `ID` or `ID=always`.
pub(crate) fn parent(text: &str) -> Result<Parent, String> {
    let (id, on) = match text.split_once('=') {
        Some((id, "always")) => (id, OnParent::Always),
        Some((id, "success")) => (id, OnParent::Success),
        Some((_, other)) => return Err(format!("{other:?} is neither `success` nor `always`")),
        None => (text, OnParent::Success),
    };
    id.parse().map(|id| Parent { id, on }).map_err(|refused: windlass_core::Rejection| refused.to_string())
}

/// The answer to one enqueue.
#[derive(Debug, Serialize)]
pub(crate) struct EnqueuedShape {
    id: JobId,
    status: EnqueueStatus,
    state: &'static str,
}

impl From<Enqueued> for EnqueuedShape {
    fn from(enqueued: Enqueued) -> Self {
        Self { id: enqueued.id, status: enqueued.status, state: enqueued.state.as_str() }
    }
}

/// The word and the sentence for what became of an enqueue.
fn told(enqueued: &Enqueued) -> (&'static str, String) {
    let Enqueued { id, state, .. } = enqueued;
    match enqueued.status {
        EnqueueStatus::Created => ("created", format!("created {id} ({state})")),
        EnqueueStatus::Known => ("known", format!("known already: {id} ({state}), nothing changed")),
        EnqueueStatus::Existing => {
            ("existing", format!("the unique key is held by {id} ({state}), nothing changed"))
        }
        EnqueueStatus::Replaced => ("replaced", format!("replaced the payload of {id} ({state})")),
        EnqueueStatus::Rescheduled => ("rescheduled", format!("rescheduled {id} ({state})")),
    }
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, args: EnqueueArgs) -> Result<(), Fault> {
    if let Some(file) = &args.ndjson {
        let defaults = ndjson::Defaults { queue: args.queue, kind: args.kind, options: args.options };
        let source = ndjson::Source::open(file)?;
        let open = connect::open(global, Intent::Put).await?;
        let result = ndjson::run(&open, out, source, defaults).await;
        return closing(open, result).await;
    }
    let (Some(queue), Some(kind)) = (args.queue, args.kind) else {
        return Err(Fault::usage("a queue and a kind are needed"));
    };
    let bytes = payload::read(args.payload.as_deref(), args.raw)?;
    let open = connect::open(global, Intent::Put).await?;
    let see_it = format!("windlass jobs{}", global.store_again());
    let result = one(&open, out, args.options, queue, kind, bytes, &see_it).await;
    closing(open, result).await
}

async fn one(
    open: &connect::Open,
    out: &Output,
    options: JobOptions,
    queue: QueueName,
    kind: Kind,
    bytes: Vec<u8>,
    see_it: &str,
) -> Result<(), Fault> {
    let job = options.job(queue, kind, bytes, open.client().new_id(), moment::now());
    let answers = open.store().enqueue(vec![job], false, None).await?;
    let answer = answers.into_iter().next().ok_or_else(|| Fault::failed("the store gave no answer"))?;
    let enqueued = answer.map_err(Fault::from)?;
    let (word, sentence) = told(&enqueued);
    let id = enqueued.id.to_string();
    out.done(&EnqueuedShape::from(enqueued), &sentence, &[&id, word, enqueued.state.as_str()])?;
    out.hint(&format!("see it: {see_it} get {id}"));
    Ok(())
}
