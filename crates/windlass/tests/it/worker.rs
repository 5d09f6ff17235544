//! What the worker promises while it runs.

use crate::{Note, Number, on_both_stores, until, until_state};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tower::{Layer, Service};
use windlass::core::event::Cause;
use windlass::core::job::State as JobState;
use windlass::core::limit::LimitSettings;
use windlass::core::store::Hold;
use windlass::core::why::Reason;
use windlass::{
    Attempt, CancelReason, Client, Ctx, Draft, FromRef, HandlerService, IntoDraft, JobError, Outcome, RawJob,
    ResultExt, State,
};

on_both_stores! {
    a_handler_gets_its_job_its_state_and_its_context
    a_kind_of_old_jobs_goes_to_the_handler_that_names_it_an_alias
    a_handler_of_a_kind_reads_the_payload_itself
    an_error_is_retried_by_the_policy_and_keeps_its_chain
    a_fatal_error_and_a_discard_are_dead_at_once
    a_delay_given_by_the_error_wins_over_the_policy
    a_snooze_spends_no_failure_and_why_tells_its_reason
    a_rate_limit_holds_back_the_queue
    a_handler_that_panics_fails_and_the_worker_goes_on
    an_attempt_over_its_time_fails_and_its_future_is_dropped
    a_payload_that_does_not_decode_goes_back_without_blame
    a_kind_that_nobody_handles_goes_back_without_blame
    a_blocking_handler_keeps_its_slot_until_its_thread_comes_back
    a_cancelled_job_s_handler_is_asked_to_stop
    a_checkpoint_comes_back_with_the_next_attempt
    logs_progress_and_result_are_kept
    follow_ups_exist_if_and_only_if_the_completion_does
    a_follow_up_that_no_store_takes_fails_the_attempt
    slots_bound_the_handlers_and_change_live
    a_tower_layer_sees_every_attempt
    many_jobs_are_done_once_each
}

#[derive(Clone)]
struct App {
    seen: Seen,
    name: &'static str,
}

/// What handlers saw, in order.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    pub(crate) fn add(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl FromRef<App> for Seen {
    fn from_ref(app: &App) -> Self {
        app.seen.clone()
    }
}

impl FromRef<App> for &'static str {
    fn from_ref(app: &App) -> Self {
        app.name
    }
}

async fn a_handler_gets_its_job_its_state_and_its_context(client: Client) {
    async fn handle(job: Number, State(seen): State<Seen>, State(name): State<&'static str>, cx: Ctx) {
        let group = cx.group().map(|group| group.as_str()).unwrap_or_default();
        assert!(!cx.is_cancelled() && cx.deadline().is_some() && cx.failures() == 0);
        assert_eq!((cx.queue().as_str(), cx.kind().as_str()), ("numbers", "number"));
        assert_eq!(cx.tags().len(), 1);
        seen.add(format!("{name} {} {} {group} {}", job.n, cx.attempt(), cx.id()));
    }
    let app = App { seen: Seen::default(), name: "app" };
    let worker = client.worker(app.clone()).queue("numbers", 4).handle(handle);
    let worker = worker.timeout_for::<Number>(Duration::from_secs(60)).start().await.expect("starts");
    let id = client.enqueue(Number { n: 7 }).group("g").tag("t").await.expect("taken").id;
    until_state(&client, id, JobState::Completed).await;
    assert_eq!(app.seen.all(), [format!("app 7 1 g {id}")]);
    assert_eq!(worker.shutdown().await.aborted, 0);
}

async fn a_kind_of_old_jobs_goes_to_the_handler_that_names_it_an_alias(client: Client) {
    #[derive(Serialize, Deserialize, windlass::Job)]
    #[job(kind = "new.name", alias = "old.name", queue = "numbers")]
    struct Renamed {
        n: u64,
    }
    let worker = client.worker(()).queue("numbers", 1);
    let worker =
        worker.handle(async |job: Renamed| Outcome::done_with(&job.n)).start().await.expect("starts");
    let old = Draft::raw("numbers", "old.name", *br#"{"n":3}"#);
    let id = client.enqueue(old).await.expect("taken").id;
    assert_eq!(until_state(&client, id, JobState::Completed).await.result, Some(b"3".to_vec()));
    worker.shutdown().await;
}

async fn a_handler_of_a_kind_reads_the_payload_itself(client: Client) {
    async fn echo(job: RawJob, cx: Ctx) -> Outcome {
        assert_eq!(&job.kind, cx.kind());
        Outcome::DoneWith(job.payload)
    }
    let worker = client.worker(()).queue("any", 1).handle_kind("echo", echo).start().await.expect("starts");
    let id = client.enqueue(Draft::raw("any", "echo", vec![0, 159, 1])).await.expect("taken").id;
    assert_eq!(until_state(&client, id, JobState::Completed).await.result, Some(vec![0, 159, 1]));
    worker.shutdown().await;
}

#[derive(Debug, thiserror::Error)]
#[error("the provider said no")]
struct Refused(#[source] std::io::Error);

async fn an_error_is_retried_by_the_policy_and_keeps_its_chain(client: Client) {
    async fn handle(_: Number, cx: Ctx) -> Result<(), JobError> {
        if cx.failures() < 2 {
            Err(Refused(std::io::Error::other("connection reset")))?;
        }
        Ok(())
    }
    let worker = client.worker(()).queue("numbers", 1).handle(handle).start().await.expect("starts");
    let id = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    let job = until_state(&client, id, JobState::Completed).await;
    assert_eq!((job.view.attempt, job.view.failures), (3, 2));
    let error = job.attempts[0].error.as_ref().expect("its error");
    assert_eq!(error.message, "the provider said no");
    assert_eq!(error.detail.as_deref(), Some("caused by: connection reset"));
    assert!(error.class.as_deref().expect("a class").ends_with("Refused"));
    worker.shutdown().await;
}

async fn a_fatal_error_and_a_discard_are_dead_at_once(client: Client) {
    async fn number(job: Number) -> Result<Outcome, JobError> {
        if job.n == 0 {
            return Ok(Outcome::discard("not wanted"));
        }
        Err(Refused(std::io::Error::other("gone"))).fatal_if(|_| true)
    }
    let worker = client.worker(()).queue("numbers", 1).handle(number).start().await.expect("starts");
    let discarded = client.enqueue(Number { n: 0 }).await.expect("taken").id;
    let fatal = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    for (id, class, text) in
        [(discarded, "discarded", "not wanted"), (fatal, "Refused", "the provider said no")]
    {
        let job = until_state(&client, id, JobState::Dead).await;
        assert_eq!((job.view.attempt, job.view.cause), (1, Some(Cause::Fatal)));
        let error = job.attempts[0].error.as_ref().expect("its error");
        assert!(error.class.as_deref().expect("a class").ends_with(class), "{error:?}");
        assert_eq!(error.message, text);
    }
    worker.shutdown().await;
}

async fn a_delay_given_by_the_error_wins_over_the_policy(client: Client) {
    async fn handle(_: Number) -> Result<(), JobError> {
        Err(JobError::msg("later").retry_in(Duration::from_secs(3_600)))
    }
    let worker = client.worker(()).queue("numbers", 1).handle(handle).start().await.expect("starts");
    let before = client.now();
    let id = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    let job = until_state(&client, id, JobState::Retrying).await;
    assert!(job.view.since.since(before) >= 3_600_000);
    worker.shutdown().await;
}

async fn a_snooze_spends_no_failure_and_why_tells_its_reason(client: Client) {
    async fn number(_: Number) -> Outcome {
        Outcome::snooze(Duration::from_secs(3_600), "the shop is shut")
    }
    async fn note(_: Note) -> Result<(), JobError> {
        Err(JobError::msg("deep inside").snooze(Duration::from_secs(60)))
    }
    let worker = client.worker(()).queue("numbers", 1).handle(number).handle(note);
    let worker = worker.start().await.expect("starts");
    let number = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    let note = client.enqueue(Note { text: String::new() }).await.expect("taken").id;
    for (id, reason) in [(number, "the shop is shut"), (note, "deep inside")] {
        let job = until_state(&client, id, JobState::Scheduled).await;
        assert_eq!((job.view.failures, job.view.losses, job.view.snoozes), (0, 0, 1));
        let why = client.why(id).await.expect("answered");
        assert_eq!(why.reason, Reason::Snoozed);
        assert!(why.detail.contains(reason), "{}", why.detail);
    }
    worker.shutdown().await;
}

async fn a_rate_limit_holds_back_the_queue(client: Client) {
    async fn handle(_: Number) -> Outcome {
        Outcome::rate_limited(Duration::from_secs(3_600), Hold::Queue)
    }
    let worker = client.worker(()).queue("numbers", 1).handle(handle).start().await.expect("starts");
    let first = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    until_state(&client, first, JobState::Scheduled).await;
    let second = client.enqueue(Number { n: 2 }).await.expect("taken").id;
    let why = client.why(second).await.expect("answered");
    assert_eq!(why.reason, Reason::RateLimited, "{}", why.detail);
    assert_eq!(client.get(second).await.unwrap().unwrap().view.attempt, 0);
    worker.shutdown().await;
}

async fn a_handler_that_panics_fails_and_the_worker_goes_on(client: Client) {
    async fn number(job: Number) {
        assert!(job.n != 0, "a number that is not nought");
    }
    fn note(note: Note) {
        assert!(!note.text.is_empty(), "a text");
    }
    let worker = client.worker(()).queue("numbers", 1).handle(number).handle_blocking(note);
    let worker = worker.start().await.expect("starts");
    let never = windlass::core::retry::RetryPolicy::never();
    let number = client.enqueue(Number { n: 0 }).retry(never.clone()).await.expect("taken").id;
    let note = client.enqueue(Note { text: String::new() }).retry(never).await.expect("taken").id;
    for (id, text) in [(number, "that is not nought"), (note, "a text")] {
        let job = until_state(&client, id, JobState::Dead).await;
        let error = job.attempts[0].error.as_ref().expect("its error");
        assert_eq!(error.class.as_deref(), Some("panic"));
        assert!(error.message.contains(text), "{error:?}");
    }
    let good = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    until_state(&client, good, JobState::Completed).await;
    worker.shutdown().await;
}

/// Rings when it is dropped.
pub(crate) struct Bell(pub(crate) Arc<Notify>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn an_attempt_over_its_time_fails_and_its_future_is_dropped(client: Client) {
    async fn handle(_: Number, State(bell): State<Arc<Notify>>) {
        let _bell = Bell(bell);
        std::future::pending::<()>().await;
    }
    let bell = Arc::new(Notify::new());
    let worker = client.worker(bell.clone()).queue("numbers", 1).handle(handle);
    let worker = worker.timeout(Duration::from_millis(20)).start().await.expect("starts");
    let never = windlass::core::retry::RetryPolicy::never();
    let id = client.enqueue(Number { n: 1 }).retry(never).await.expect("taken").id;
    bell.notified().await;
    let job = until_state(&client, id, JobState::Dead).await;
    let error = job.attempts[0].error.as_ref().expect("its error");
    assert_eq!((error.class.as_deref(), error.message.as_str()), (Some("timeout"), "not done within 20ms"));
    worker.shutdown().await;
}

async fn a_payload_that_does_not_decode_goes_back_without_blame(client: Client) {
    let worker = client.worker(()).queue("numbers", 1).handle(async |_: Number| {});
    let worker = worker.start().await.expect("starts");
    let id = client.enqueue(Draft::raw("numbers", "number", *br#"{"m":1}"#)).await.expect("taken").id;
    let job = until_state(&client, id, JobState::Scheduled).await;
    assert_eq!((job.view.failures, job.view.losses), (0, 0));
    assert_eq!(client.why(id).await.expect("answered").reason, Reason::NoHandler);
    let log = client.logs(id, 1).await.expect("answered");
    assert!(log.contains("given back") && log.contains("missing field `n`"), "{log}");
    worker.shutdown().await;
}

async fn a_kind_that_nobody_handles_goes_back_without_blame(client: Client) {
    let worker = client.worker(()).queue("numbers", 1).handle(async |_: Number| {});
    let worker = worker.start().await.expect("starts");
    let unknown = client.enqueue(Note { text: String::new() }).await.expect("taken").id;
    let job = until_state(&client, unknown, JobState::Scheduled).await;
    assert_eq!((job.view.failures, job.view.losses), (0, 0));
    assert_eq!(client.why(unknown).await.expect("answered").reason, Reason::NoHandler);
    // It stands in nobody's way.
    let known = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    until_state(&client, known, JobState::Completed).await;
    worker.shutdown().await;
}

async fn a_blocking_handler_keeps_its_slot_until_its_thread_comes_back(client: Client) {
    type Door = Arc<Mutex<mpsc::Receiver<()>>>;
    fn note(_: Note, State(door): State<Door>) {
        let door = door.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        door.recv().expect("the test opens the door");
    }
    let (open, door) = mpsc::channel();
    let door: Door = Arc::new(Mutex::new(door));
    let worker = client.worker(door).queue("numbers", 1).handle_blocking(note).handle(async |_: Number| {});
    let worker = worker.timeout_for::<Note>(Duration::from_millis(20)).start().await.expect("starts");
    let never = windlass::core::retry::RetryPolicy::never();
    let blocked = client.enqueue(Note { text: String::new() }).retry(never).await.expect("taken").id;
    let job = until_state(&client, blocked, JobState::Dead).await;
    assert_eq!(job.attempts[0].error.as_ref().expect("its error").class.as_deref(), Some("timeout"));
    let next = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    assert_eq!(client.get(next).await.unwrap().unwrap().view.state, JobState::Ready);
    open.send(()).expect("somebody waits");
    until_state(&client, next, JobState::Completed).await;
    worker.shutdown().await;
}

async fn a_cancelled_job_s_handler_is_asked_to_stop(client: Client) {
    async fn handle(_: Number, State(started): State<Arc<Notify>>, cx: Ctx) -> Result<(), JobError> {
        started.notify_one();
        assert_eq!(cx.cancelled().await, CancelReason::Requested);
        Err(JobError::cancelled())
    }
    let started = Arc::new(Notify::new());
    let worker = client.worker(started.clone()).queue("numbers", 1).handle(handle);
    let worker = worker.start().await.expect("starts");
    let id = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    started.notified().await;
    client.cancel(id).await.expect("asked");
    let job = until_state(&client, id, JobState::Cancelled).await;
    assert_eq!(job.view.attempt, 1);
    worker.shutdown().await;
}

async fn a_checkpoint_comes_back_with_the_next_attempt(client: Client) {
    async fn handle(_: Number, cx: Ctx) -> Result<Outcome, JobError> {
        let done: u64 = cx.resume()?.unwrap_or(0);
        if done < 20 {
            cx.checkpoint(&(done + 10)).await?;
            return Err(JobError::msg("half way"));
        }
        Outcome::done_with(&done)
    }
    let worker = client.worker(()).queue("numbers", 1).handle(handle).start().await.expect("starts");
    let id = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    let job = until_state(&client, id, JobState::Completed).await;
    assert_eq!((job.view.attempt, job.result), (3, Some(b"20".to_vec())));
    worker.shutdown().await;
}

async fn logs_progress_and_result_are_kept(client: Client) {
    async fn handle(_: Number, cx: Ctx) -> Result<Outcome, JobError> {
        cx.log("first");
        cx.log("second");
        cx.progress(40, "on the way");
        cx.progress(90, "nearly");
        for _ in 0..5 {
            cx.log("x".repeat(60_000));
        }
        Outcome::done_with("the result")
    }
    let worker = client.worker(()).queue("numbers", 1).handle(handle).start().await.expect("starts");
    let id = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    let job = until_state(&client, id, JobState::Completed).await;
    assert_eq!(job.result.as_deref(), Some(&b"\"the result\""[..]));
    let progress = job.progress.expect("its progress");
    assert_eq!((progress.percent, progress.message.as_deref()), (90, Some("nearly")));
    let log = client.store().logs(id, 1).await.expect("answered").expect("known");
    assert!(log.starts_with("first\nsecond\nxxx"), "{}", &log[..20]);
    assert!(log.contains("dropped"), "it says that lines are missing");
    worker.shutdown().await;
}

async fn follow_ups_exist_if_and_only_if_the_completion_does(client: Client) {
    async fn number(job: Number, cx: Ctx) -> Result<(), JobError> {
        cx.enqueue(Note { text: format!("of attempt {}", cx.attempt()) })?;
        cx.enqueue(Note { text: "later".into() }.into_draft().delay(Duration::from_secs(3_600)))?;
        if u64::from(cx.failures()) < job.n { Err(JobError::msg("not yet")) } else { Ok(()) }
    }
    let seen = Seen::default();
    let notes = seen.clone();
    let note = move |note: Note| {
        notes.add(note.text);
        std::future::ready(())
    };
    let worker = client.worker(()).queue("numbers", 1).handle(number).handle(note);
    let worker = worker.start().await.expect("starts");
    let id = client.enqueue(Number { n: 2 }).await.expect("taken").id;
    until_state(&client, id, JobState::Completed).await;
    until("the follow-up has run", || async { (!seen.all().is_empty()).then_some(()) }).await;
    worker.shutdown().await;
    assert_eq!(seen.all(), ["of attempt 3"]);
    let queues = client.store().queues(None, None).await.expect("answered");
    assert_eq!(queues[0].counts.of(JobState::Scheduled), 1);
}

async fn a_follow_up_that_no_store_takes_fails_the_attempt(client: Client) {
    let limit = LimitSettings { concurrency: Some(1), rate: None };
    client.set_limit("small", Some(limit)).await.expect("set");
    async fn number(_: Number, cx: Ctx) -> Result<(), JobError> {
        cx.enqueue(Note { text: String::new() }.into_draft().limit("small", 5))?;
        Ok(())
    }
    let worker = client.worker(()).queue("numbers", 1).handle(number).start().await.expect("starts");
    let never = windlass::core::retry::RetryPolicy::never();
    let id = client.enqueue(Number { n: 1 }).retry(never).await.expect("taken").id;
    let job = until_state(&client, id, JobState::Dead).await;
    let error = job.attempts[0].error.as_ref().expect("its error");
    assert_eq!(error.class.as_deref(), Some("refused"));
    assert!(error.message.contains("small"), "{}", error.message);
    worker.shutdown().await;
}

async fn slots_bound_the_handlers_and_change_live(client: Client) {
    #[derive(Clone)]
    struct Hall {
        inside: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
        door: Arc<Semaphore>,
    }
    async fn handle(_: Number, State(hall): State<Hall>) {
        let inside = hall.inside.fetch_add(1, Ordering::SeqCst) + 1;
        hall.most.fetch_max(inside, Ordering::SeqCst);
        hall.door.acquire().await.expect("open").forget();
        hall.inside.fetch_sub(1, Ordering::SeqCst);
    }
    let count = || Arc::new(AtomicUsize::new(0));
    let hall = Hall { inside: count(), most: count(), door: Arc::new(Semaphore::new(0)) };
    let worker =
        client.worker(hall.clone()).queue("numbers", 3).handle(handle).start().await.expect("starts");
    let jobs = (0..40).map(|n| Number { n });
    client.enqueue_many(jobs).await.expect("taken");
    let inside = |want: usize| {
        let hall = hall.clone();
        async move {
            let what = format!("{want} handlers run");
            until(&what, || async { (hall.inside.load(Ordering::SeqCst) == want).then_some(()) }).await;
        }
    };
    inside(3).await;
    worker.set_concurrency("numbers", 8).expect("it works on that queue");
    inside(8).await;
    worker.set_concurrency("numbers", 2).expect("it works on that queue");
    hall.door.add_permits(6);
    inside(2).await;
    assert_eq!(hall.most.swap(0, Ordering::SeqCst), 8, "lowering it stops none");
    hall.door.add_permits(10);
    inside(2).await;
    assert!(hall.most.load(Ordering::SeqCst) <= 2);
    assert!(worker.set_concurrency("unknown", 1).is_err());
    hall.door.add_permits(100);
    worker.shutdown().await;
}

#[derive(Clone)]
struct Trace(Seen);

#[derive(Clone)]
struct Traced<S>(S, Seen);

impl<S> Layer<S> for Trace {
    type Service = Traced<S>;
    fn layer(&self, inner: S) -> Traced<S> {
        Traced(inner, self.0.clone())
    }
}

impl<S: Service<Attempt>> Service<Attempt> for Traced<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;
    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }
    fn call(&mut self, attempt: Attempt) -> S::Future {
        self.1.add(format!("{} attempt {}", attempt.kind(), attempt.cx().attempt()));
        self.0.call(attempt)
    }
}

async fn a_tower_layer_sees_every_attempt(client: Client) {
    async fn number(job: Number, cx: Ctx) -> Result<(), JobError> {
        match (job.n, cx.failures()) {
            (0, 0) => std::future::pending().await,
            (1, 0) => Err(JobError::msg("once").fatal()),
            _ => Ok(()),
        }
    }
    let seen = Seen::default();
    let worker = client
        .worker(())
        .queue("numbers", 1)
        .handle(number)
        .layer(tower::timeout::TimeoutLayer::new(Duration::from_millis(20)))
        .layer(Trace(seen.clone()));
    // A layer's service is a handler again, whatever it does to it.
    let _: fn(&Trace, HandlerService) -> Traced<HandlerService> = |trace, inner| trace.layer(inner);
    let worker = worker.start().await.expect("starts");
    let slow = client.enqueue(Number { n: 0 }).await.expect("taken").id;
    let job = until_state(&client, slow, JobState::Completed).await;
    assert_eq!(job.attempts[0].error.as_ref().expect("the layer's error").message, "request timed out");
    let fatal = client.enqueue(Number { n: 1 }).await.expect("taken").id;
    until_state(&client, fatal, JobState::Dead).await;
    assert_eq!(seen.all(), ["number attempt 1", "number attempt 2", "number attempt 1"]);
    worker.shutdown().await;
}

async fn many_jobs_are_done_once_each(client: Client) {
    let done: Arc<Vec<AtomicUsize>> = Arc::new((0..5_000).map(|_| AtomicUsize::new(0)).collect());
    let counted = done.clone();
    let handle = move |job: Number| {
        counted[job.n as usize].fetch_add(1, Ordering::SeqCst);
        std::future::ready(())
    };
    let worker = client.worker(()).queue("numbers", 50).handle(handle).start().await.expect("starts");
    client.enqueue_many((0..5_000).map(|n| Number { n })).await.expect("taken");
    let all = || async {
        let queues = client.store().queues(None, None).await.expect("answered");
        (queues[0].counts.of(JobState::Completed) == 5_000).then_some(())
    };
    until("all are completed", all).await;
    assert!(done.iter().all(|count| count.load(Ordering::SeqCst) == 1));
    worker.shutdown().await;
}

#[tokio::test]
async fn a_worker_that_cannot_work_says_why() {
    let client = windlass::open("memory:").await.expect("opens");
    let told = |result: Result<windlass::RunningWorker, windlass::Error>| result.expect_err("no").to_string();
    let worker = || client.worker(()).handle(async |_: Number| {});
    assert!(told(worker().start().await).contains("no queue"));
    assert!(told(client.worker(()).queue("q", 1).start().await).contains("no handler"));
    assert!(told(worker().queue("a b", 1).start().await).contains("queue name"));
    assert!(told(worker().queue("q", 1).queue("q", 2).start().await).contains("twice"));
    assert!(told(worker().queue("q", 1).handle(async |_: Number| {}).start().await).contains("two handlers"));
    let timeout = worker().queue("q", 1).timeout_for::<Note>(Duration::ZERO);
    assert!(told(timeout.start().await).contains("no handler"));
}
