//! `windlass enqueue`: one job from the command line, or many from a file of JSON lines.

use std::borrow::Cow;

use clap::Args;
use windlass_api::idempotency::{IdempotencyKey, is_same};
use windlass_api::work::{EnqueuedShape, JobRequest};
use windlass_core::job::{OnConflict, Parent, UniqueScope};
use windlass_core::limit::LimitUse;
use windlass_core::name::{Tag, UniqueKey};
use windlass_core::store::{EnqueueStatus, Enqueued};
use windlass_core::{GroupKey, JobId, Kind, QueueName, Time};

use crate::arguments::Global;
use crate::commands::{closing, ndjson};
use crate::connect::{self, Intent};
use crate::fault::{Exit, Fault};
use crate::output::Output;
use crate::values::retry::{self, Policy};
use crate::values::span::{self, Span};
use crate::values::{moment, option, payload};

const EXAMPLES: &str = "\
Examples:
  windlass enqueue email send_email '{\"to\":\"a@b.c\"}'
  windlass enqueue email send_email @mail.json --delay 10m --group campaign-7
  windlass enqueue email send_email @mail.json --idempotency-key order-7
  windlass enqueue reports build --unique daily --unique-for 1h --on-conflict refuse
  jq -c '.[] | {payload: .}' contacts.json | windlass enqueue email send_email --ndjson -
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
    /// Name the command, so that it can be given again: with the same key it enqueues once. With --ndjson lines are
    /// known by their numbers, so that a file that broke off can be sent again
    #[arg(long, value_name = "KEY", conflicts_with = "id")]
    idempotency_key: Option<IdempotencyKey>,
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
    #[arg(long, value_name = "SPAN", requires = "unique", value_parser = option::unique_scope)]
    pub(crate) unique_for: Option<UniqueScope>,
    /// What to do when the key is taken: existing, replace, reschedule or refuse
    #[arg(long, value_name = "WHAT", requires = "unique", value_parser = option::on_conflict)]
    pub(crate) on_conflict: Option<OnConflict>,
    /// Take a named limit when it starts; up to four
    #[arg(long = "limit", value_name = "NAME[=COST]", value_parser = option::limit_use)]
    pub(crate) limits: Vec<LimitUse>,
    /// Start when that job has completed (ID=always: has ended, however)
    #[arg(long = "after", value_name = "ID", value_parser = option::parent)]
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
    /// The W3C trace context (`traceparent`) that its attempts go on with, as a worker gives it to its programs
    #[arg(long, value_name = "CONTEXT", env = "TRACEPARENT")]
    pub(crate) trace: Option<String>,
    /// Its id (a UUID): the same id sent twice is one job
    #[arg(long, value_name = "ID", conflicts_with = "ndjson")]
    pub(crate) id: Option<JobId>,
}

impl JobOptions {
    /// Says in a request what it leaves unsaid.
    pub(crate) fn fill(&self, request: &mut JobRequest<'_>) {
        fn list<'a, T>(items: &[T], spell: impl Fn(&T) -> String) -> Option<Vec<Cow<'a, str>>> {
            (!items.is_empty()).then(|| items.iter().map(|item| spell(item).into()).collect())
        }
        let text = |span: Option<Span>| span.map(|span| span::exact(span.ms).into());
        request.id = request.id.or(self.id);
        request.group = request.group.take().or_else(|| self.group.clone());
        request.priority = request.priority.or(self.priority);
        if request.delay.is_none() && request.run_at.is_none() {
            request.delay = text(self.delay);
            request.run_at = self.run_at.map(|at| at.to_string().into());
        }
        if request.expires_in.is_none() && request.expires_at.is_none() {
            request.expires_in = text(self.expires_in);
        }
        request.timeout = request.timeout.take().or_else(|| text(self.timeout));
        if request.unique.is_none() && self.unique.is_some() {
            request.unique.clone_from(&self.unique);
            request.unique_for = self.unique_for.map(|scope| option::spell_unique_scope(scope).into());
            request.on_conflict = self.on_conflict.map(|policy| option::spell_on_conflict(policy).into());
        }
        request.limits = request.limits.take().or_else(|| list(&self.limits, option::spell_limit_use));
        request.after = request.after.take().or_else(|| list(&self.parents, option::spell_parent));
        request.trace = request.trace.take().or_else(|| self.trace.clone().map(Cow::Owned));
        request.tags = request.tags.take().or_else(|| Some(self.tags.clone()));
        if request.retry.is_none() && request.max_failures.is_none() {
            request.retry = self.retry.as_ref().map(|policy| retry::spell(&policy.0).into());
            request.max_failures = self.max_failures;
        }
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
        let defaults = ndjson::Defaults {
            queue: args.queue,
            kind: args.kind,
            key: args.idempotency_key,
            options: args.options,
        };
        let source = ndjson::Source::open(file)?;
        let open = connect::open(global, Intent::Put).await?;
        let result = ndjson::run(global, &open, out, source, defaults).await;
        return closing(open, result).await;
    }
    let (Some(queue), Some(kind)) = (args.queue, args.kind) else {
        return Err(Fault::usage("a queue and a kind are needed"));
    };
    let bytes = payload::read(args.payload.as_deref(), args.raw)?;
    let open = connect::open(global, Intent::Put).await?;
    let result = one(global, &open, out, args.options, args.idempotency_key, queue, kind, bytes).await;
    closing(open, result).await
}

#[expect(clippy::too_many_arguments, reason = "what the command line says, in its order")]
async fn one(
    global: &Global,
    open: &connect::Open,
    out: &Output,
    options: JobOptions,
    key: Option<IdempotencyKey>,
    queue: QueueName,
    kind: Kind,
    bytes: Vec<u8>,
) -> Result<(), Fault> {
    let (payload, payload_encoding) = windlass_api::payload::show(&bytes);
    let (queue, kind, payload) = (Some(queue), Some(kind), Some(payload));
    let mut request = JobRequest { queue, kind, payload, payload_encoding, ..JobRequest::default() };
    options.fill(&mut request);
    let id = key.as_ref().map_or_else(|| open.client().new_id(), |key| key.id(0));
    let job = request.job(None, id, moment::now())?;
    let answers = open.store().enqueue(vec![job.clone()], false, None).await?;
    let answer = answers.into_iter().next().ok_or_else(|| Fault::failed("the store gave no answer"))?;
    let enqueued = answer.map_err(Fault::from)?;
    if key.is_some() && enqueued.status == EnqueueStatus::Known {
        let there = open.store().get(enqueued.id).await?;
        if there.is_some_and(|there| !is_same(&job, &there.view, &there.payload)) {
            let message = format!("the idempotency key was used for another job, {}", enqueued.id);
            return Err(Fault::new(Exit::Refused, "idempotency_key_reused", message)
                .next("give every job a key of its own, and the same one only to its repetition"));
        }
    }
    let (word, sentence) = told(&enqueued);
    let id = enqueued.id.to_string();
    out.done(&EnqueuedShape::from(enqueued), &sentence, &[&id, word, enqueued.state.as_str()])?;
    out.hint(&format!("see it: {}", global.again(&format!("windlass jobs get {id}"))));
    Ok(())
}
