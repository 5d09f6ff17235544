//! The queue for tests.

use crate::{Note, Number};
use std::time::Duration;
use windlass::testing::{Drained, TestQueue};
use windlass::{Client, Ctx, Draft, Error, JobError, Outcome, State, WorkerBuilder, assert_enqueued};

async fn number(job: Number, State(name): State<&'static str>, cx: Ctx) -> Result<Outcome, JobError> {
    cx.log(name);
    match job.n {
        0 => Ok(Outcome::snooze(Duration::from_secs(60), "not now")),
        1 if cx.failures() == 0 => Err(JobError::msg("once")),
        2 => {
            cx.enqueue(Note { text: "of two".into() })?;
            Outcome::done_with(&2)
        }
        _ => Ok(Outcome::Done),
    }
}

fn worker(client: &Client) -> WorkerBuilder<&'static str> {
    client.worker("tester").queue("numbers", 1).handle(number).handle(async |_: Note| {})
}

#[tokio::test]
async fn a_drain_runs_all_that_is_ready_and_nothing_that_is_not() -> Result<(), Error> {
    let queue = TestQueue::new();
    let client = queue.client();
    client.enqueue_many((0..4).map(|n| Number { n })).await?;
    client.enqueue(Number { n: 9 }).delay(Duration::from_secs(3_600)).await?;
    client.enqueue(Draft::raw("numbers", "unknown", *b"{}")).await?;
    let drained = queue.drain(worker(client)).await?;
    assert_eq!(drained, Drained { completed: 3, failed: 1, snoozed: 1, released: 1 });
    assert_enqueued!(queue, Note { text } if text == "of two");
    assert_enqueued!(queue, Number { n: 9 });
    assert_eq!(queue.drain(worker(client)).await?, Drained::default());
    queue.advance(Duration::from_secs(1)).await?;
    assert_eq!(queue.drain(worker(client)).await?.completed, 1, "the retry is due");
    let before = queue.now();
    let drained = queue.run_due(before.plus_ms(3_600_000), worker(client)).await?;
    assert_eq!(queue.now(), before.plus_ms(3_600_000));
    assert_eq!((drained.completed, drained.snoozed), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_single_run_is_a_real_attempt() -> Result<(), Error> {
    let queue = TestQueue::new();
    let ran = queue.run_once(number, Number { n: 2 }, "by hand").await?;
    assert_eq!(ran.outcome.expect("it ends well"), Outcome::DoneWith(b"2".to_vec()));
    let log = queue.client().store().logs(ran.id, 1).await?.expect("known");
    assert_eq!(log, "by hand\n");
    assert_enqueued!(queue, Note);
    let failed = queue.run_once(number, Number { n: 1 }, "by hand").await?;
    assert_eq!(failed.outcome.expect_err("it fails").to_string(), "once");
    Ok(())
}

#[tokio::test]
#[should_panic(expected = r#"there are: [{"n":9}]"#)]
async fn what_was_not_enqueued_is_told_with_what_was() {
    let queue = TestQueue::new();
    queue.client().enqueue(Number { n: 9 }).await.expect("taken");
    assert_enqueued!(queue, Number { n: 8 });
}

#[tokio::test]
async fn a_job_that_enqueues_itself_for_ever_is_told() {
    async fn again(job: Note, cx: Ctx) -> Result<(), JobError> {
        cx.enqueue(job)?;
        Ok(())
    }
    let queue = TestQueue::new();
    queue.client().enqueue(Note { text: String::new() }).await.expect("taken");
    let worker = queue.client().worker(()).queue("numbers", 1).handle(again);
    let told = queue.drain(worker).await.expect_err("no end").to_string();
    assert!(told.contains("no end"), "{told}");
}
