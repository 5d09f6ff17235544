//! Many jobs from a file of JSON lines.
//!
//! A line is one job: `{"queue":"email","kind":"send_email","payload":{"to":"a@b.c"},"delay":"10m"}`. What a line does
//! not say comes from the command line. A line that cannot be read, or that the store refuses, is told with its number
//! and stops no other. Memory holds one batch, however long the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use indicatif::{HumanCount, ProgressBar};
use serde::Serialize;
use windlass_api::idempotency::IdempotencyKey;
use windlass_api::payload;
use windlass_api::work::{EnqueuedShape, JobRequest};
use windlass_core::bounds::{BATCH_ITEMS_MAX, PAYLOAD_BYTES_MAX};
use windlass_core::store::EnqueueStatus;
use windlass_core::{JobId, Kind, NewJob, QueueName};

use super::enqueue::JobOptions;
use crate::arguments::Global;
use crate::connect::Open;
use crate::fault::{Exit, Fault};
use crate::output::{Form, Output, escape, progress};
use crate::values::moment;

/// Longest line: a payload of 1 MiB whose every byte is an escape of six, and room for the rest.
const LINE_BYTES_MAX: u64 = 6 * PAYLOAD_BYTES_MAX as u64 + (64 << 10);
/// Payload bytes at which a batch is sent, full or not: what is held in memory, and far below a batch's bound.
const BATCH_BYTES: usize = 8 << 20;
/// Bad lines told one by one to people; beyond it only their number is.
const TOLD_MAX: u64 = 50;

/// Where the lines come from.
pub(crate) struct Source {
    name: String,
    lines: Box<dyn BufRead + Send>,
    bytes: Option<u64>,
}

impl Source {
    /// Opens the file, or stdin for `-`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(crate) fn open(name: &str) -> Result<Self, Fault> {
        if name == "-" {
            return Ok(Self {
                name: "stdin".into(),
                lines: Box::new(BufReader::new(std::io::stdin())),
                bytes: None,
            });
        }
        let file = File::open(name).map_err(|error| Fault::file(name, &error))?;
        let bytes = file.metadata().ok().filter(|meta| meta.is_file()).map(|meta| meta.len());
        Ok(Self { name: name.to_owned(), lines: Box::new(BufReader::new(file)), bytes })
    }

    /// The next line without its end, or none at the end; a line that is too long is skipped and told.
    fn next(&mut self, line: &mut Vec<u8>) -> Result<Option<Result<u64, String>>, Fault> {
        line.clear();
        let read = |error| Fault::file(&self.name, &error);
        let bytes = (&mut self.lines).take(LINE_BYTES_MAX).read_until(b'\n', line).map_err(read)? as u64;
        if bytes == 0 {
            return Ok(None);
        }
        if bytes == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            let skipped = self.lines.skip_until(b'\n').map_err(read)?;
            return Ok(Some(Err(format!("{} bytes are more than any job has", bytes + skipped as u64))));
        }
        while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            line.pop();
        }
        Ok(Some(Ok(bytes)))
    }
}

/// What lines leave unsaid.
pub(crate) struct Defaults {
    pub(crate) queue: Option<QueueName>,
    pub(crate) kind: Option<Kind>,
    /// Names all lines, which are then known by their numbers.
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) options: JobOptions,
}

/// What is said of a line that is JSON, but no object.
const NO_OBJECT: &str = "is not a JSON object with the fields of a job";

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// What is wrong with a line, in words of lines and jobs: the parser's place is that within the line.
fn not_a_job(text: &str, error: &serde_json::Error) -> String {
    let why = error.to_string();
    let why = why.split(" at line ").next().unwrap_or(&why);
    match error.classify() {
        serde_json::error::Category::Data if is_object(text) => format!("is no job: {why}"),
        serde_json::error::Category::Data => NO_OBJECT.to_owned(),
        _ => format!("is not JSON: {why} (column {})", error.column()),
    }
}

/// The job of one line.
fn job(line: &[u8], defaults: &Defaults, id: JobId) -> Result<NewJob, String> {
    let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    let mut request: JobRequest<'_> = serde_json::from_str(text).map_err(|error| not_a_job(text, &error))?;
    // A list of its fields' values reads as a job, too, and is nearly always another list that took a wrong turn.
    if !is_object(text) {
        return Err(NO_OBJECT.to_owned());
    }
    request.queue = Some(request.queue.or_else(|| defaults.queue.clone()).ok_or("names no queue")?);
    request.kind = Some(request.kind.or_else(|| defaults.kind.clone()).ok_or("names no kind")?);
    defaults.options.fill(&mut request);
    let json = request.payload.take_if(|_| request.payload_encoding.is_json());
    let mut job = request.job(None, id, moment::now()).map_err(|rejection| rejection.to_string())?;
    if let Some(json) = json {
        job.payload = payload::compact(json.get()).into_bytes();
    }
    Ok(job)
}

/// What became of all lines.
#[derive(Debug, Default)]
struct Tally {
    lines: u64,
    created: u64,
    existing: u64,
    refused: u64,
    /// The refused ones by the word for machines, each with the first of them.
    reasons: BTreeMap<&'static str, (u64, Fault)>,
}

/// What to do about a line that is wrong itself.
const REPAIR: &str = "repair those that are wrong";

/// Enqueues every line.
///
/// # Errors
/// When the store fails, and with exit code 4 when some lines were refused.
pub(crate) async fn run(
    global: &Global,
    open: &Open,
    out: &Output,
    mut source: Source,
    defaults: Defaults,
) -> Result<(), Fault> {
    let bar = progress::bytes(out, "enqueue", source.bytes);
    let mut tally = Tally::default();
    let mut batch: Vec<Numbered> = Vec::with_capacity(BATCH_ITEMS_MAX);
    let mut line = Vec::new();
    let (mut number, mut bytes) = (0, 0);
    while let Some(read) = source.next(&mut line)? {
        number += 1;
        match read {
            Ok(bytes) => bar.inc(bytes),
            Err(why) => {
                tally.lines += 1;
                batch.push((number, Err(why)));
                continue;
            }
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        tally.lines += 1;
        let id = defaults.key.as_ref().map_or_else(|| open.client().new_id(), |key| key.id(number));
        let read = job(&line, &defaults, id);
        bytes += read.as_ref().map_or(0, |job| job.payload.len());
        batch.push((number, read));
        if batch.len() == BATCH_ITEMS_MAX || bytes >= BATCH_BYTES {
            send(open, out, &bar, &mut batch, &mut tally).await?;
            bytes = 0;
        }
    }
    send(open, out, &bar, &mut batch, &mut tally).await?;
    bar.finish_and_clear();
    summary(global, out, tally)
}

/// A line with its number: its job, or what is wrong with it.
type Numbered = (u64, Result<NewJob, String>);

async fn send(
    open: &Open,
    out: &Output,
    bar: &ProgressBar,
    batch: &mut Vec<Numbered>,
    tally: &mut Tally,
) -> Result<(), Fault> {
    let mut jobs = Vec::with_capacity(batch.len());
    let first = batch.iter().find(|(_, job)| job.is_ok()).map_or(0, |(number, _)| *number);
    let read = batch.drain(..).map(|(number, job)| (number, job.map(|job| jobs.push(job))));
    let read: Vec<(u64, Result<(), String>)> = read.collect();
    let answers = if jobs.is_empty() {
        Vec::new()
    } else {
        open.store().enqueue(jobs, false, None).await.map_err(|error| {
            let told = Fault::from(error);
            let done = tally.created + tally.existing;
            Fault { message: format!("{} (after {done} jobs, at line {first})", told.message), ..told }
        })?
    };
    let mut answers = answers.into_iter();
    for (number, read) in read {
        let answer = match read {
            Ok(()) => answers.next().ok_or_else(|| Fault::failed("the store gave too few answers"))?,
            Err(why) => {
                refused(out, bar, tally, number, Fault::new(Exit::Usage, "invalid", why))?;
                continue;
            }
        };
        match answer {
            Ok(enqueued) => {
                match enqueued.status {
                    EnqueueStatus::Created => tally.created += 1,
                    _ => tally.existing += 1,
                }
                match out.form {
                    Form::Json => out.json(&LineDone { line: number, done: enqueued.into() })?,
                    Form::Plain => out.line(&format!("{number}\t{}", enqueued.id))?,
                    Form::Human => {}
                }
            }
            Err(rejection) => refused(out, bar, tally, number, rejection.into())?,
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct LineDone {
    line: u64,
    #[serde(flatten)]
    done: EnqueuedShape,
}

fn refused(out: &Output, bar: &ProgressBar, tally: &mut Tally, line: u64, fault: Fault) -> Result<(), Fault> {
    tally.refused += 1;
    let (code, why) = (fault.code, fault.message.clone());
    tally.reasons.entry(code).or_insert((0, fault)).0 += 1;
    match out.form {
        Form::Json => {
            return out.json(&serde_json::json!({ "line": line, "error": { "code": code, "message": why } }));
        }
        _ if tally.refused <= TOLD_MAX => {
            bar.suspend(|| out.say(&format!("line {line}: {}", escape::line(&why))))
        }
        _ => {}
    }
    Ok(())
}

fn summary(global: &Global, out: &Output, tally: Tally) -> Result<(), Fault> {
    if out.form == Form::Human {
        let known = match tally.existing {
            0 => String::new(),
            n => format!(", {} were there already", HumanCount(n)),
        };
        let jobs = if tally.created == 1 { "job" } else { "jobs" };
        out.line(&format!("enqueued {} {jobs}{known}", HumanCount(tally.created)))?;
    }
    if tally.refused == 0 {
        return Ok(());
    }
    let reasons: Vec<String> =
        tally.reasons.iter().map(|(code, (lines, _))| format!("{} {code}", HumanCount(*lines))).collect();
    let (refused, lines) = (HumanCount(tally.refused), HumanCount(tally.lines));
    let message = format!("{refused} of {lines} lines were refused ({})", reasons.join(", "));
    let advice = tally.reasons.into_values().map(|(_, fault)| fault.on(global).advice());
    let advice: BTreeSet<String> = advice.map(|advice| advice.unwrap_or_else(|| REPAIR.to_owned())).collect();
    let advice: Vec<String> = advice.into_iter().collect();
    let others = if tally.refused < tally.lines { "; the others are enqueued" } else { "" };
    Err(Fault::new(Exit::Refused, "lines_refused", message)
        .next(format!("{}; then send the refused lines again, and them alone{others}", advice.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::span::Span;
    use crate::values::{option, retry};
    use windlass_core::Time;
    use windlass_core::job::{OnParent, Parent};
    use windlass_core::retry::RetryPolicy;

    fn read(line: &str) -> Result<NewJob, String> {
        let defaults = Defaults {
            queue: Some(QueueName::new("q").expect("a name")),
            kind: None,
            key: None,
            options: JobOptions { priority: Some(3), ..JobOptions::default() },
        };
        job(line.as_bytes(), &defaults, JobId::from_parts(Time(1_763_700_000_000), 1))
    }

    #[test]
    fn what_is_no_job_is_told_in_words_of_lines() {
        let told = |line: &str| read(line).expect_err("no job");
        assert!(told("nonsense").starts_with("is not JSON: "), "{}", told("nonsense"));
        assert_eq!(told("[1,2]"), "is not a JSON object with the fields of a job");
        assert!(told(r#"{"kind":"k","priority":"high"}"#).starts_with("is no job: invalid type"));
        assert!(!told(r#"{"kind":7}"#).contains("at line"), "the parser's line is not the file's");
    }

    #[test]
    fn a_line_says_what_differs_from_the_command_line() {
        let job = read(r#"{"kind":"k","payload":{"a": 1},"delay":"10m","limits":["gpu=2"],"tags":["x"]}"#)
            .expect("a job");
        assert_eq!((job.queue.as_str(), job.priority, job.delay_ms), ("q", 3, Some(600_000)));
        assert_eq!(job.payload, br#"{"a":1}"#);
        assert_eq!(job.limits[0].cost, 2);
        let job = read(r#"{"kind":"k","payload":"a \n b","payload_encoding":"text"}"#).expect("a job");
        assert_eq!(job.payload, b"a \n b");
        assert_eq!(read(r#"{"kind":"k"}"#).expect("a job").payload, b"{}");
    }

    #[test]
    fn a_line_takes_from_the_command_line_what_it_leaves_unsaid_and_only_that() {
        let parent = JobId::from_parts(Time(1_763_700_000_000), 7);
        let options = JobOptions {
            group: Some("g".parse().expect("a key")),
            priority: Some(-3),
            run_at: Some(Time(1_763_700_000_001)),
            limits: vec![option::limit_use("gpu=2").expect("a limit")],
            parents: vec![Parent { id: parent, on: OnParent::Always }],
            tags: vec!["t".parse().expect("a tag")],
            timeout: Some(Span { ms: 61_001 }),
            max_failures: Some(3),
            ..JobOptions::default()
        };
        let (queue, kind) = ("q".parse().expect("a name"), "k".parse().expect("a name"));
        let defaults = Defaults { queue: Some(queue), kind: Some(kind), key: None, options };
        let read = |line: &str| job(line.as_bytes(), &defaults, parent).expect("a job");
        let plain = read("{}");
        assert_eq!((plain.queue.as_str(), plain.kind.as_str(), plain.priority), ("q", "k", -3));
        assert_eq!((plain.run_at, plain.delay_ms), (Some(Time(1_763_700_000_001)), None));
        assert_eq!((plain.limits[0].cost, plain.parents[0].on), (2, OnParent::Always));
        assert_eq!((plain.tags.len(), plain.timeout_ms), (1, Some(61_001)));
        assert_eq!(plain.retry, Some(retry::with_max_failures(3)));
        let own = read(
            r#"{"queue":"r","group":"h","priority":0,"delay":"1s","limits":[],"after":[],"tags":[],"retry":"never"}"#,
        );
        assert_eq!((own.queue.as_str(), own.priority, own.delay_ms, own.run_at), ("r", 0, Some(1_000), None));
        assert_eq!(own.group.expect("a key").as_str(), "h");
        assert!(own.limits.is_empty() && own.parents.is_empty() && own.tags.is_empty());
        assert_eq!(own.retry, Some(RetryPolicy::never()));
    }

    #[test]
    fn a_bad_line_is_refused_with_its_fault() {
        for (line, says) in [
            ("{}", "kind"),
            (r#"{"kind":"k","prioritty":1}"#, "prioritty"),
            (r#"{"kind":"a b"}"#, "kind"),
            (r#"{"kind":"k","delay":"soon"}"#, "1h30m"),
            (r#"{"kind":"k","unique_for":"1h"}"#, "unique"),
            (r#"{"kind":"k","after":["x"]}"#, "job id"),
            (r#"["kind"]"#, "not a JSON object"),
            ("not json", "expected"),
        ] {
            let said = read(line).expect_err(line);
            assert!(said.contains(says), "{line}: {said}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_one_read() {
        let long = vec![b'x'; LINE_BYTES_MAX as usize + 10];
        let input = [&long[..], b"\n{\"next\":1}\r\n"].concat();
        let mut source = Source {
            name: "test".into(),
            lines: Box::new(BufReader::new(std::io::Cursor::new(input))),
            bytes: None,
        };
        let mut line = Vec::new();
        assert!(
            source
                .next(&mut line)
                .expect("readable")
                .expect("a line")
                .expect_err("too long")
                .contains("bytes")
        );
        assert!(source.next(&mut line).expect("readable").expect("a line").is_ok());
        assert_eq!(line, b"{\"next\":1}");
        assert!(source.next(&mut line).expect("readable").is_none());
    }
}
