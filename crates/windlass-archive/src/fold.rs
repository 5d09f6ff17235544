//! Events into rows: what a stretch of the log says about each job and each attempt.
//!
//! Pure, and folded before anything is written: a job that is enqueued, claimed and completed within one batch is one
//! row of `job` and one of `attempt`, not three statements. Nothing here counts up: every column is taken from the
//! last or the first event that says something about it, so a stretch that is read again changes nothing.
//! How a row meets the one that the table holds is in `database/merge.rs`.

use std::collections::{BTreeMap, HashMap};

use windlass_core::event::{Cause, Cursor, Event, EventType};
use windlass_core::fingerprint::{fingerprint, normalise};
use windlass_core::job::JobBody;
use windlass_core::{GroupKey, JobId, Kind, QueueName, Time, WorkerId};

/// The event that tells where a job stands now, with its time and cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stand {
    pub(crate) event: EventType,
    pub(crate) at: Time,
    pub(crate) cause: Cause,
}

impl Stand {
    /// When the job ended, if this is an end.
    pub(crate) fn ended_at(&self) -> Option<Time> {
        is_end(self.event).then_some(self.at)
    }
}

/// What the stretch says about one job; what it does not mention stays as it is.
#[derive(Debug)]
pub(crate) struct JobRow {
    pub(crate) id: JobId,
    pub(crate) queue: QueueName,
    pub(crate) kind: Kind,
    pub(crate) group: Option<GroupKey>,
    pub(crate) enqueued_at: Option<Time>,
    pub(crate) attempts: u32,
    pub(crate) stand: Option<Stand>,
    pub(crate) cancel_requested_at: Option<Time>,
    pub(crate) edited_at: Option<Time>,
    pub(crate) removed: Option<(Time, Cause)>,
}

impl JobRow {
    /// When its history ended: with its end, or with its deletion while it was live.
    pub(crate) fn ended_at(&self) -> Option<Time> {
        self.stand.and_then(|stand| stand.ended_at()).or(self.removed.map(|(at, _)| at))
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) at: Time,
    pub(crate) outcome: EventType,
    pub(crate) cause: Cause,
    /// The failure mode, if it failed with a message.
    pub(crate) fingerprint: Option<i64>,
    pub(crate) text: Option<String>,
    pub(crate) result: Output,
}

/// What the stretch says about one attempt.
#[derive(Debug)]
pub(crate) struct AttemptRow {
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
    pub(crate) worker: Option<WorkerId>,
    pub(crate) started_at: Option<Time>,
    pub(crate) ending: Option<Ending>,
}

/// A cancellation of a job whose claim is not in the stretch: it ends the attempt, if the attempt is still open.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) job: JobId,
    pub(crate) attempt: u32,
    pub(crate) at: Time,
    pub(crate) cause: Cause,
}

/// A new generation, with what the one before came to where the stretch tells; else the table does.
#[derive(Debug)]
pub(crate) struct RetryRow {
    pub(crate) job: JobId,
    pub(crate) cursor: Cursor,
    pub(crate) at: Time,
    pub(crate) attempt: u32,
    pub(crate) was: Option<Stand>,
}

/// What a job brought to its handler; none where the store had it no more.
#[derive(Debug)]
pub(crate) struct BodyRow {
    pub(crate) job: JobId,
    pub(crate) body: Option<Body>,
}

/// A payload and what goes with it.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) payload: Output,
    pub(crate) priority: i8,
    /// A JSON list.
    pub(crate) tags: Option<String>,
    pub(crate) trace: Option<String>,
}

/// A result or a payload as a text column takes it, or as bytes when it is no text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) text: Option<String>,
    pub(crate) bytes: Option<Vec<u8>>,
}

/// Everything that a stretch of the log says.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) jobs: Vec<JobRow>,
    pub(crate) attempts: Vec<AttemptRow>,
    pub(crate) cuts: Vec<Cut>,
    pub(crate) retries: Vec<RetryRow>,
    pub(crate) bodies: Vec<BodyRow>,
    /// Failure modes by fingerprint: title, and when it was last seen.
    pub(crate) modes: BTreeMap<i64, (String, Time)>,
    /// Events folded in.
    pub(crate) events: u64,
    /// Of those, enqueues.
    pub(crate) enqueued: u64,
    /// Texts and results held, in bytes.
    pub(crate) bytes: usize,
    job_places: HashMap<JobId, usize>,
    attempt_places: HashMap<(JobId, u32), usize>,
}

impl Rows {
    /// Folds one event in; events of one job must come in their order.
    pub(crate) fn take(&mut self, event: Event) {
        use EventType as T;
        self.events += 1;
        self.enqueued += u64::from(event.event == T::Enqueued);
        self.bytes += event.text.as_ref().map_or(0, String::len) + event.result.as_ref().map_or(0, Vec::len);
        let (id, at, cause, attempt) = (event.job, event.at, event.cause, event.attempt);
        let stand = Stand { event: event.event, at, cause };
        let job = self.job(&event);
        job.attempts = job.attempts.max(attempt);
        match event.event {
            T::Removed => job.removed = Some((at, cause)),
            T::Edited => job.edited_at = Some(at),
            T::CancelRequested => job.cancel_requested_at = Some(at),
            _ => {
                if event.event == T::Enqueued {
                    job.enqueued_at = Some(at);
                }
                let was = job.stand.replace(stand);
                if event.event == T::Retried {
                    self.retries.push(RetryRow { job: id, cursor: event.cursor, at, attempt, was });
                }
            }
        }
        match event.event {
            T::Claimed => {
                let row = self.attempt(id, attempt);
                row.started_at = Some(at);
                row.worker = event.worker;
            }
            T::Completed | T::Failed | T::Died | T::Lost | T::Snoozed | T::Released => self.end(event),
            T::Cancelled if attempt > 0 => self.cut(id, attempt, at, cause),
            _ => {}
        }
    }

    /// Adds what the store says that a job brings to its handler; the last that is said of a job stands.
    pub(crate) fn take_body(&mut self, job: JobId, body: Option<JobBody>) {
        self.bytes += body.as_ref().map_or(0, |body| body.payload.len());
        let body = body.map(|body| Body {
            payload: whole(body.payload),
            priority: body.priority,
            tags: (!body.tags.is_empty())
                .then(|| serde_json::to_string(&body.tags).expect("a list of texts always serialises")),
            trace: body.trace.map(without_nul),
        });
        self.bodies.push(BodyRow { job, body });
    }

    /// Orders the rows by id, as the tables lie: neighbours in time are neighbours on disk.
    pub(crate) fn sort(&mut self) {
        self.jobs.sort_unstable_by_key(|row| row.id);
        self.attempts.sort_unstable_by_key(|row| (row.job, row.attempt));
        // One row of a job: the last, unless the job was gone by then.
        self.bodies.sort_by_key(|row| row.job);
        self.bodies.dedup_by(|later, row| {
            let same = later.job == row.job;
            if same && later.body.is_some() {
                row.body = later.body.take();
            }
            same
        });
        self.job_places.clear();
        self.attempt_places.clear();
    }

    fn job(&mut self, event: &Event) -> &mut JobRow {
        let place = *self.job_places.entry(event.job).or_insert(self.jobs.len());
        if place == self.jobs.len() {
            self.jobs.push(JobRow {
                id: event.job,
                queue: event.queue.clone(),
                kind: event.kind.clone(),
                group: event.group.clone(),
                enqueued_at: None,
                attempts: 0,
                stand: None,
                cancel_requested_at: None,
                edited_at: None,
                removed: None,
            });
        }
        &mut self.jobs[place]
    }

    fn attempt(&mut self, job: JobId, attempt: u32) -> &mut AttemptRow {
        let place = *self.attempt_places.entry((job, attempt)).or_insert(self.attempts.len());
        if place == self.attempts.len() {
            self.attempts.push(AttemptRow { job, attempt, worker: None, started_at: None, ending: None });
        }
        &mut self.attempts[place]
    }

    fn end(&mut self, event: Event) {
        let text = event.text.map(without_nul);
        let failed = matches!(event.event, EventType::Failed | EventType::Died);
        let mode = text.as_deref().filter(|_| failed).map(|message| {
            // The error's class is not in the event, so this fingerprint is of kind and message alone.
            let number = fingerprint(event.kind.as_str(), None, message).0.cast_signed();
            self.modes.insert(number, (normalise(message), event.at));
            number
        });
        let ending = Ending {
            at: event.at,
            outcome: event.event,
            cause: event.cause,
            fingerprint: mode,
            text,
            result: event.result.map(output).unwrap_or_default(),
        };
        let row = self.attempt(event.job, event.attempt);
        row.worker = event.worker.or(row.worker);
        row.ending.get_or_insert(ending);
    }

    /// A job that was cancelled while it waited has no open attempt, and its last one keeps its own end.
    fn cut(&mut self, job: JobId, attempt: u32, at: Time, cause: Cause) {
        let Some(place) = self.attempt_places.get(&(job, attempt)) else {
            self.cuts.push(Cut { job, attempt, at, cause });
            return;
        };
        self.attempts[*place].ending.get_or_insert(Ending {
            at,
            outcome: EventType::Cancelled,
            cause,
            fingerprint: None,
            text: None,
            result: Output::default(),
        });
    }
}

/// Whether that event ends a generation.
pub(crate) const fn is_end(event: EventType) -> bool {
    matches!(event, EventType::Completed | EventType::Died | EventType::Cancelled)
}

/// Where a job stands after that event, in the words of the tables; none for events that do not move it.
pub(crate) const fn state_after(event: EventType) -> Option<&'static str> {
    match event {
        EventType::Claimed => Some("running"),
        EventType::Completed => Some("completed"),
        EventType::Died => Some("dead"),
        EventType::Cancelled => Some("cancelled"),
        EventType::Edited | EventType::CancelRequested | EventType::Removed => None,
        // Whether it is scheduled, ready, retrying or blocked is not in the event: it is live, and nobody holds it.
        _ => Some("waiting"),
    }
}

/// PostgreSQL's texts cannot hold the character NUL, and both databases are to hold the same.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// A payload is whole: a text if all of it is one.
fn whole(payload: Vec<u8>) -> Output {
    match String::from_utf8(payload) {
        Ok(text) if !text.contains('\0') => Output { text: Some(text), bytes: None },
        Ok(text) => Output { text: None, bytes: Some(text.into_bytes()) },
        Err(error) => Output { text: None, bytes: Some(error.into_bytes()) },
    }
}

/// Results are JSON by default, so a text column serves best; anything else stays bytes.
fn output(result: Vec<u8>) -> Output {
    match String::from_utf8(result) {
        Ok(text) if !text.contains('\0') => Output { text: Some(text), bytes: None },
        Ok(text) => Output { text: None, bytes: Some(text.into_bytes()) },
        Err(error) => {
            let (valid, incomplete) =
                (error.utf8_error().valid_up_to(), error.utf8_error().error_len().is_none());
            let mut bytes = error.into_bytes();
            // A text that the event has cut in the middle of a character is still a text.
            if incomplete && valid > 0 && bytes.len() == windlass_core::bounds::EVENT_TEXT_BYTES_MAX {
                bytes.truncate(valid);
                return output(bytes);
            }
            Output { text: None, bytes: Some(bytes) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Log {
        rows: Rows,
        now: u64,
    }

    impl Log {
        fn new() -> Self {
            Self { rows: Rows::default(), now: 1_000 }
        }

        fn push(&mut self, event: EventType, attempt: u32) -> &mut Self {
            self.with(event, attempt, None, None)
        }

        fn with(
            &mut self,
            event: EventType,
            attempt: u32,
            text: Option<&str>,
            result: Option<&[u8]>,
        ) -> &mut Self {
            self.now += 1;
            self.rows.take(Event {
                cursor: Cursor { place: self.now, index: 1 },
                at: Time(self.now),
                event,
                job: JobId(7),
                queue: QueueName::new("q").unwrap(),
                kind: Kind::new("k").unwrap(),
                group: None,
                attempt,
                cause: Cause::None,
                worker: (event == EventType::Claimed).then_some(WorkerId(3)),
                text: text.map(str::to_owned),
                result: result.map(<[u8]>::to_vec),
            });
            self
        }
    }

    #[test]
    fn a_life_within_one_stretch_is_one_job_and_one_row_per_attempt() {
        let mut log = Log::new();
        log.push(EventType::Enqueued, 0).push(EventType::Claimed, 1);
        log.with(EventType::Failed, 1, Some("HTTP 503 after 12 ms"), None).push(EventType::Promoted, 1);
        log.push(EventType::Claimed, 2).with(EventType::Completed, 2, None, Some(b"{\"ok\":1}"));
        let rows = &log.rows;
        assert_eq!((rows.jobs.len(), rows.attempts.len(), rows.events, rows.enqueued), (1, 2, 6, 1));
        let job = &rows.jobs[0];
        assert_eq!((job.enqueued_at, job.attempts), (Some(Time(1_001)), 2));
        assert_eq!(job.stand.unwrap().ended_at(), Some(Time(1_006)));
        let first = rows.attempts[0].ending.as_ref().unwrap();
        assert_eq!(rows.modes[&first.fingerprint.unwrap()].0, "HTTP 503 after <n> ms");
        let second = &rows.attempts[1];
        assert_eq!((second.started_at, second.worker), (Some(Time(1_005)), Some(WorkerId(3))));
        assert_eq!(second.ending.as_ref().unwrap().result.text.as_deref(), Some("{\"ok\":1}"));
    }

    #[test]
    fn a_cancellation_ends_an_open_attempt_and_leaves_an_ended_one_alone() {
        let mut open = Log::new();
        open.push(EventType::Claimed, 1).push(EventType::CancelRequested, 1).push(EventType::Cancelled, 1);
        assert_eq!(open.rows.attempts[0].ending.as_ref().unwrap().outcome, EventType::Cancelled);
        let mut waiting = Log::new();
        waiting.push(EventType::Claimed, 1).push(EventType::Failed, 1).push(EventType::Cancelled, 1);
        assert_eq!(waiting.rows.attempts[0].ending.as_ref().unwrap().outcome, EventType::Failed);
        let mut elsewhere = Log::new();
        elsewhere.push(EventType::Cancelled, 1);
        assert_eq!((elsewhere.rows.attempts.len(), elsewhere.rows.cuts.len()), (0, 1));
        let mut never = Log::new();
        never.push(EventType::Enqueued, 0).push(EventType::Cancelled, 0);
        assert_eq!((never.rows.attempts.len(), never.rows.cuts.len()), (0, 0));
    }

    #[test]
    fn a_retry_keeps_what_the_generation_before_came_to() {
        let mut log = Log::new();
        log.push(EventType::Claimed, 1).push(EventType::Died, 1).push(EventType::Retried, 1);
        let retry = &log.rows.retries[0];
        assert_eq!(retry.was.map(|was| (was.event, was.at)), Some((EventType::Died, Time(1_002))));
        assert_eq!(log.rows.jobs[0].stand.unwrap().ended_at(), None);
        let mut later = Log::new();
        later.push(EventType::Retried, 1);
        assert_eq!(later.rows.retries[0].was, None, "the table knows it");
    }

    #[test]
    fn a_result_is_text_where_it_can_be() {
        let cut = windlass_core::bounds::EVENT_TEXT_BYTES_MAX;
        assert_eq!(output(b"{}".to_vec()).text.as_deref(), Some("{}"));
        assert_eq!(output(vec![0xff, 0]).bytes, Some(vec![0xff, 0]));
        assert_eq!(output(b"a\0".to_vec()).bytes, Some(b"a\0".to_vec()));
        let mut long = vec![b'a'; cut - 1];
        long.push(0xc3);
        assert_eq!(output(long).text.map(|text| text.len()), Some(cut - 1));
        assert_eq!(without_nul("a\0b".into()), "a\u{fffd}b");
    }

    #[test]
    fn every_event_type_has_its_word() {
        let waiting = EventType::ALL.into_iter().filter(|event| state_after(*event) == Some("waiting"));
        assert_eq!(waiting.count(), 8);
        assert!(EventType::ALL.into_iter().filter(|event| is_end(*event)).count() == 3);
    }
}
