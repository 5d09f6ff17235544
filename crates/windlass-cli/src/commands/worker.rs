//! `windlass worker`: a program of any language as a handler.
//!
//! The program is started for each job, with the payload on its stdin and what else there is to know in its environment.
//! How it ends says how the attempt ended; what it prints is the attempt's log, and a few lines of it mean more.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use windlass::{Ctx, JobError, Outcome, RawJob, ShutdownReport};
use windlass_core::QueueName;

use crate::arguments::Global;
use crate::commands::closing;
use crate::commands::program::Program;
use crate::connect::{self, Intent, Open};
use crate::fault::Fault;
use crate::interrupt::interrupted;
use crate::output::Output;
use crate::values::span::{self, Span};

const EXAMPLES: &str = "\
Examples:
  windlass worker --store http://127.0.0.1:7979 -q thumbs -c 4 -- ./thumb.sh
  windlass worker -q email -q sms -c 10 -- python3 send.py

The program gets the payload on stdin and WINDLASS_JOB, WINDLASS_QUEUE, WINDLASS_KIND, WINDLASS_GROUP,
WINDLASS_ATTEMPT, WINDLASS_CHECKPOINT and TRACEPARENT in its environment. It ends with 0 (done), 75 (later; no try
spent) or anything else (failed, tried again by the job's policy). What it prints is the log; lines mean
more that begin with
  ::progress 40 resizing        how far it is
  ::result {\"url\":\"…\"}          what the job completed with
  ::snooze 10m provider busy    how much later, with exit code 75 (1m unless said)
  ::fatal                       with a failure: no further try
";

/// How a program says that it wants to be called again later (`EX_TEMPFAIL` of sysexits.h).
const EXIT_LATER: i32 = 75;
/// How much later, when the program does not say.
const LATER: Duration = Duration::from_secs(60);
/// How long a program has to end by itself once it was asked to (SIGTERM).
const END_WITHIN: Duration = Duration::from_secs(10);
/// A line that is longer goes into the log in parts.
const LINE_BYTES_MOST: usize = 16 << 10;
/// What is kept of stderr to say why it failed.
const LAST_LINES: usize = 20;

/// Run a program for each job of some queues, until it is told to end
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct WorkerArgs {
    /// A queue to work on; may be repeated, the first is preferred
    #[arg(short, long = "queue", value_name = "QUEUE", required = true)]
    queues: Vec<QueueName>,
    /// Programs at once, for each queue
    #[arg(short, long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: u32,
    /// The store, as --store
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How long programs may go on once the worker is told to end
    #[arg(long, default_value = "30s", value_name = "SPAN")]
    grace: Span,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Runs the command.
pub(crate) async fn run(global: &Global, out: &Output, mut args: WorkerArgs) -> Result<(), Fault> {
    let ended = interrupted();
    // Before anything is claimed: a queue is not run through by a worker that cannot work.
    let program = Program::find(std::mem::take(&mut args.program))?;
    let url = args.url.as_deref().unwrap_or(&global.store);
    let open = connect::open_url(url, Intent::Work).await?;
    let result = work(out, &open, args, program, ended).await;
    closing(open, result).await
}

async fn work(
    out: &Output,
    open: &Open,
    args: WorkerArgs,
    program: Program,
    ended: impl Future<Output = ()> + Send,
) -> Result<(), Fault> {
    let failed = |error: windlass::Error| Fault::failed(error.to_string());
    let program = Arc::new(program);
    let mut builder = open.client().worker(()).grace(Duration::from_millis(args.grace.ms));
    for queue in &args.queues {
        builder = builder.queue(queue, args.concurrency);
    }
    let handle = move |job: RawJob, cx: Ctx| {
        let program = program.clone();
        async move { attempt(&program, &job, &cx).await }
    };
    let worker = builder.handle_any(handle).start().await.map_err(failed)?;
    let queues: Vec<&str> = args.queues.iter().map(QueueName::as_str).collect();
    out.hint(&format!("works on {}; end it with Ctrl-C", queues.join(", ")));
    let report = worker.shutdown_on(ended).await;
    let ShutdownReport { done, returned, aborted } = report;
    out.hint(&format!("ended: {done} jobs finished meanwhile, {returned} given back, {aborted} cut off"));
    Ok(())
}

/// What the program said beside its log.
#[derive(Default)]
struct Said {
    result: Option<Vec<u8>>,
    snooze: Option<(Duration, String)>,
    fatal: bool,
    /// The last lines of stderr.
    last: Vec<String>,
}

async fn attempt(program: &Program, job: &RawJob, cx: &Ctx) -> Result<Outcome, JobError> {
    let mut command = program.command();
    command
        .env("WINDLASS_JOB", cx.id().to_string())
        .env("WINDLASS_QUEUE", cx.queue().as_str())
        .env("WINDLASS_KIND", cx.kind().as_str())
        .env("WINDLASS_ATTEMPT", cx.attempt().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Of its own group, so that what it has started ends with it, and a Ctrl-C in the shell is the worker's alone.
        .process_group(0);
    if let Some(group) = cx.group() {
        command.env("WINDLASS_GROUP", group.as_str());
    }
    if let Some(context) = cx.traceparent() {
        command.env("TRACEPARENT", context);
    }
    if let Some(checkpoint) = cx.resume::<serde_json::Value>()? {
        command.env("WINDLASS_CHECKPOINT", checkpoint.to_string());
    }
    let named = program.name();
    let mut child = program.start(command, cx).await?;
    let group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let payload = job.payload.clone();
    let feed = async move {
        if let Some(mut stdin) = stdin {
            // A program that does not read its payload closes its stdin, and that is its own business.
            let _ = stdin.write_all(&payload).await;
        }
    };
    let mut said = Said::default();
    let mut errors = Vec::new();
    let status = {
        let listen = async {
            let out = async {
                if let Some(stdout) = stdout {
                    each_line(stdout, |line| hear(&mut said, cx, line)).await;
                }
            };
            let err = async {
                if let Some(stderr) = stderr {
                    each_line(stderr, |line| {
                        cx.log(line);
                        errors.push(line.to_owned());
                        if errors.len() > LAST_LINES {
                            errors.remove(0);
                        }
                    })
                    .await;
                }
            };
            tokio::join!(feed, out, err, ended(&mut child, &group, cx)).3
        };
        listen.await
    };
    said.last = errors;
    drop(group);
    let status = status.map_err(|error| JobError::msg(format!("{named}: {error}")))?;
    outcome(&named, status, said, cx.is_cancelled())
}

/// Waits for the program; asks it to end when the attempt is asked to stop, and ends it when it does not.
async fn ended(child: &mut Child, group: &Group, cx: &Ctx) -> std::io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        reason = cx.cancelled() => cx.log(format!("the program is asked to end: {reason:?}")),
    }
    group.send(Signal::TERM);
    match tokio::time::timeout(END_WITHIN, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            group.send(Signal::KILL);
            child.wait().await
        }
    }
}

/// The processes that a program has started, itself included. They end with the attempt, however it ends.
struct Group(Option<Pid>);

impl Group {
    fn send(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Nobody left is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.send(Signal::KILL);
    }
}

/// What a line of stdout means.
fn hear(said: &mut Said, cx: &Ctx, line: &str) {
    let Some(words) = line.strip_prefix("::") else {
        cx.log(line);
        return;
    };
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    let rest = rest.trim();
    match word {
        "progress" => {
            let (percent, message) = rest.split_once(' ').unwrap_or((rest, ""));
            match percent.trim_end_matches('%').parse() {
                Ok(percent) => cx.progress(percent, message),
                Err(_) => cx.log(format!("{line} (not a percentage: write ::progress 40 resizing)")),
            }
        }
        "result" => said.result = Some(rest.as_bytes().to_vec()),
        "snooze" => {
            let (delay, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            match span::parse(delay) {
                Ok(ms) => said.snooze = Some((Duration::from_millis(ms), reason.to_owned())),
                Err(why) => cx.log(format!("{line} ({why})")),
            }
        }
        "fatal" => said.fatal = true,
        _ => cx.log(line),
    }
}

fn outcome(name: &str, status: ExitStatus, said: Said, asked_to_end: bool) -> Result<Outcome, JobError> {
    match status.code() {
        Some(0) => Ok(match said.result {
            Some(result) => Outcome::DoneWith(result),
            None => Outcome::Done,
        }),
        Some(EXIT_LATER) => {
            let (delay, reason) = said.snooze.unwrap_or((LATER, String::new()));
            Ok(Outcome::snooze(delay, reason))
        }
        // It ended because it was asked to: whoever asked knows what becomes of the job.
        _ if asked_to_end => Err(JobError::cancelled()),
        code => {
            let class = code.map_or_else(|| signal_of(status), |code| format!("exit {code}"));
            // The last line of stderr is where most programs say what is wrong.
            let message = match said.last.iter().rev().find(|line| !line.trim().is_empty()) {
                Some(line) => line.trim().to_owned(),
                None => format!("{name} ended with {class}"),
            };
            let error = JobError::msg(message).class(class);
            Err(if said.fatal { error.fatal() } else { error })
        }
    }
}

fn signal_of(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    status.signal().map_or_else(|| "unknown end".to_owned(), |signal| format!("signal {signal}"))
}

/// Calls `hear` with each line, whatever its bytes; one that is too long comes in parts.
async fn each_line(mut from: impl AsyncRead + Unpin, mut hear: impl FnMut(&str)) {
    let mut rest = Vec::new();
    let mut chunk = [0; 8 << 10];
    // A pipe that breaks has no more to say.
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        rest.extend_from_slice(&chunk[..read]);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            hear(String::from_utf8_lossy(&rest[..end]).trim_end_matches('\r'));
            rest.drain(..=end);
        }
        if rest.len() > LINE_BYTES_MOST {
            hear(&String::from_utf8_lossy(&rest));
            rest.clear();
        }
    }
    if !rest.is_empty() {
        hear(&String::from_utf8_lossy(&rest));
    }
}
