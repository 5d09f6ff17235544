//! Lines of jobs without end: read as they come, enqueued in batches, answered as they go.
//!
//! Memory holds one batch, however many lines there are: while the store works, nothing more is read, and the sender
//! waits. A line that is refused is told with its number and stops no other; the last line of the answer counts them.

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;
use tracing::Instrument as _;
use windlass_api::page::ItemAnswer;
use windlass_api::problem::Problem;
use windlass_core::bounds::{BATCH_ITEMS_MAX, PAYLOAD_BYTES_MAX};
use windlass_core::store::EnqueueStatus;
use windlass_core::{NewJob, Rejection};

use super::enqueue;
use super::idempotency::Keyed;
use crate::app::App;

/// Longest line: a payload of 1 MiB whose every byte is an escape of six, and room for the rest.
const LINE_BYTES_MAX: usize = 6 * PAYLOAD_BYTES_MAX + (64 << 10);
/// Payload bytes at which a batch is sent, full or not.
const BATCH_BYTES: usize = 8 << 20;
/// Answers that wait to be read: a sender who reads none is slowed down, not buffered for.
const ANSWERS_AHEAD: usize = 16;

/// What became of all lines.
#[derive(Default, JsonSchema, Serialize)]
pub(crate) struct Summary {
    /// Lines that were not empty.
    lines: u64,
    /// New jobs.
    created: u64,
    /// Jobs that were there already.
    existing: u64,
    /// Lines that were refused.
    refused: u64,
}

/// A line of the answer.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only the document reads it")]
pub(crate) enum Told {
    /// A refused line.
    Refused {
        /// Its number, from 1.
        line: u64,
        /// The refusal.
        error: windlass_api::page::Refusal<'static>,
    },
    /// The store failed, and nothing more is read.
    Failed {
        /// The last line that is enqueued or told of.
        after_line: u64,
        /// Why.
        error: Problem,
    },
    /// The last line.
    Summary {
        /// The counts.
        summary: Summary,
    },
}

#[derive(Serialize)]
struct Refused {
    line: u64,
    #[serde(flatten)]
    answer: ItemAnswer<()>,
}

#[derive(Serialize)]
struct Failed<'a> {
    after_line: u64,
    error: &'a Problem,
}

/// Enqueues every line of the body; the answer is lines as well.
pub(super) fn enqueue(app: App, keyed: Keyed, body: Body) -> Body {
    let (answers, mut answered) = mpsc::channel::<Bytes>(ANSWERS_AHEAD);
    let run = async move {
        let mut lines =
            Lines { app, keyed, tally: Summary::default(), number: 0, batch: Vec::new(), bytes: 0, answers };
        // A sender who has gone away wants no answer.
        let _ = lines.run(body.into_data_stream()).await;
    };
    tokio::spawn(run.in_current_span());
    let stream = futures_util::stream::poll_fn(move |cx| answered.poll_recv(cx));
    Body::from_stream(stream.map(Ok::<_, std::convert::Infallible>))
}

struct Lines {
    app: App,
    keyed: Keyed,
    tally: Summary,
    number: u64,
    batch: Vec<(u64, Result<NewJob, Rejection>)>,
    bytes: usize,
    answers: mpsc::Sender<Bytes>,
}

/// Nobody reads the answers any more, or the store failed: it has been told, and there is no more to do.
struct Stop;

impl Lines {
    async fn run(&mut self, mut body: BodyDataStream) -> Result<(), Stop> {
        let mut rest: Vec<u8> = Vec::new();
        // The line that is being read is longer than any job, and is skipped up to its end.
        let mut skipping = false;
        while let Some(chunk) = body.next().await {
            let Ok(chunk) = chunk else {
                return self.fail(&Problem::new("bad_request", "the body broke off")).await;
            };
            let mut from = 0;
            while let Some(end) = chunk[from..].iter().position(|byte| *byte == b'\n') {
                let piece = &chunk[from..from + end];
                from += end + 1;
                if std::mem::take(&mut skipping) {
                    continue;
                }
                if rest.is_empty() {
                    self.line(piece).await?;
                } else {
                    rest.extend_from_slice(piece);
                    let line = std::mem::take(&mut rest);
                    self.line(&line).await?;
                }
            }
            if !skipping {
                rest.extend_from_slice(&chunk[from..]);
            }
            if rest.len() > LINE_BYTES_MAX {
                skipping = true;
                let line = std::mem::take(&mut rest);
                self.line(&line).await?;
            }
        }
        if !rest.is_empty() && !skipping {
            self.line(&rest).await?;
        }
        self.send().await?;
        self.say(&serde_json::json!({ "summary": self.tally })).await
    }

    async fn line(&mut self, text: &[u8]) -> Result<(), Stop> {
        self.number += 1;
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        self.tally.lines += 1;
        let job = if text.len() > LINE_BYTES_MAX {
            let why = format!("a line of more than {LINE_BYTES_MAX} bytes is no job");
            Err(Rejection::Invalid { what: "batch", why })
        } else {
            // A line is known by its number, so that a stream that broke off can be sent again from its beginning.
            let id = self.keyed.id(&self.app, usize::try_from(self.number).unwrap_or(usize::MAX));
            enqueue::item(&self.app, text, id)
        };
        self.bytes += job.as_ref().map_or(0, |job| job.payload.len());
        self.batch.push((self.number, job));
        if self.batch.len() == BATCH_ITEMS_MAX || self.bytes >= BATCH_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Stop> {
        let (numbers, jobs): (Vec<u64>, Vec<_>) = self.batch.drain(..).unzip();
        self.bytes = 0;
        let answers = match enqueue::enqueue(&self.app, jobs, false).await {
            Ok(answers) => answers,
            Err(fault) => return self.fail(&fault.0).await,
        };
        let mut told = Vec::new();
        for (line, answer) in numbers.into_iter().zip(answers) {
            match answer {
                Ok(enqueued) if enqueued.status == EnqueueStatus::Created => self.tally.created += 1,
                Ok(_) => self.tally.existing += 1,
                Err(rejection) => {
                    self.tally.refused += 1;
                    write(&mut told, &Refused { line, answer: ItemAnswer(Err(rejection)) });
                }
            }
        }
        if told.is_empty() {
            // Somebody may have gone away without a word.
            return if self.answers.is_closed() { Err(Stop) } else { Ok(()) };
        }
        self.answers.send(told.into()).await.map_err(|_| Stop)
    }

    /// Says that it ends here, and after which line: those before are enqueued or told of.
    async fn fail(&mut self, problem: &Problem) -> Result<(), Stop> {
        let after_line = self.number.saturating_sub(self.batch.len() as u64);
        self.say(&Failed { after_line, error: problem }).await?;
        Err(Stop)
    }

    async fn say<T: Serialize>(&mut self, what: &T) -> Result<(), Stop> {
        let mut told = Vec::new();
        write(&mut told, what);
        self.answers.send(told.into()).await.map_err(|_| Stop)
    }
}

fn write<T: Serialize>(told: &mut Vec<u8>, what: &T) {
    // A vector takes every byte, and the shapes have nothing that JSON cannot say.
    if serde_json::to_writer(&mut *told, what).is_ok() {
        told.push(b'\n');
    }
}
