//! Jobs that the queue has given up because their workers died under them too often go on. With the same look, once a minute,
//! pauses end whose own job is gone, and the log is told what waits for a person.
//!
//! Processes that are killed or deployed say nothing about a job, and what it was about stands in the database: so the
//! application looks for such jobs when a worker starts, and now and then while one works. A job that died of its own
//! failures stays dead for a person to look at, and so does one under which workers die again and again: it may be what kills
//! them.

use std::time::Duration;

use windlass::{
    Client, JobError, Outcome, State,
    core::{
        QueueName, State as Is,
        event::{Cause, EventType},
        job::AttemptRecord,
        store::Filter,
    },
};

use super::{jobs::ReviveLost, pauses, queues};
use crate::app::App;

/// The schedule that looks while workers work: one for the installation, however many there are.
const SCHEDULE: &str = "campaigns-revive";
/// How often. A job is given up after three leases have run out, which takes longer than a minute; nobody's message
/// should wait much longer than that again.
const EVERY: Duration = Duration::from_secs(60);
/// Dead jobs that are looked at together.
const PAGE_JOBS: usize = 500;
/// Attempts in a row whose workers died, after which the job itself is suspected: eight times what the queue puts up with,
/// and just within the attempts that it remembers. A job that happens to be held at a kill is lost once or twice.
const LOST_IN_A_ROW_MAX: usize = 24;

/// Lets the lost ones go on from now on, and those of the past at once.
///
/// # Errors
/// The store's.
pub(super) async fn begin(client: &Client) -> Result<(), windlass::Error> {
    client.schedule(SCHEDULE).every(EVERY).job(ReviveLost {}).await?;
    all(client).await
}

pub(super) async fn revive(_job: ReviveLost, State(app): State<App>) -> Result<Outcome, JobError> {
    all(app.client()).await?;
    // Each has a job of its own; this is for one that a person has cancelled, or that has died.
    pauses::end_all(&app).await.map_err(super::failed)?;
    crate::attention::tell(&app).await.map_err(super::failed)?;
    Ok(Outcome::Done)
}

/// Lets those go on that are lost at this moment.
async fn all(client: &Client) -> Result<(), windlass::Error> {
    for queue in queues::ALL {
        let queue = Some(QueueName::new(queue.name)?);
        let dead = Filter { queue, states: vec![Is::Dead], ..Filter::default() };
        let mut cursor = None;
        loop {
            let page = client.store().list(dead.clone(), cursor, PAGE_JOBS, usize::MAX).await??;
            for job in page.items.iter().filter(|job| job.cause == Some(Cause::Lost)) {
                let Some(detail) = client.get(job.id).await? else { continue };
                if lost_in_a_row(&detail.attempts) >= LOST_IN_A_ROW_MAX {
                    tracing::warn!(job = %job.id, "its workers die under it: it stays dead for a person to look at");
                    continue;
                }
                match client.retry(job.id).await {
                    // Somebody else was quicker, or retention was.
                    Ok(()) | Err(windlass::Error::Rejected(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some(next) = page.next else { break };
            cursor = Some(next);
        }
    }
    Ok(())
}

/// The attempts at the end that were lost, one after the other.
fn lost_in_a_row(attempts: &[AttemptRecord]) -> usize {
    attempts.iter().rev().take_while(|attempt| attempt.outcome == EventType::Lost.as_str()).count()
}

#[cfg(test)]
mod tests {
    use windlass::{
        core::{WorkerId, store::Claim},
        testing::TestQueue,
    };

    use super::*;
    use crate::{flow::jobs::SendEmail, model::TouchId};

    /// Above every lease.
    const LONG: Duration = Duration::from_secs(300);

    async fn state(client: &Client, id: windlass::JobId) -> Is {
        client.get(id).await.unwrap().unwrap().view.state
    }

    #[tokio::test]
    async fn a_job_whose_workers_died_goes_on_while_others_work_and_one_that_kills_them_does_not() {
        let queue = TestQueue::new();
        let client = queue.client();
        begin(client).await.unwrap();
        let lost = client.enqueue(SendEmail { touch: TouchId(1) }).await.unwrap().id;
        let mut nonces = 1..;
        let mut lose = async || {
            for nonce in nonces.by_ref().take(windlass::core::bounds::LOSSES_MAX as usize) {
                let wants = vec![(QueueName::new(queues::EMAIL.name).unwrap(), 1)];
                let worker = WorkerId(1);
                let claim = Claim { settle_first: Vec::new(), wants, worker, nonce };
                assert_eq!(client.store().claim(claim, None).await.unwrap().jobs.len(), 1);
                queue.advance(LONG).await.unwrap();
            }
        };
        lose().await;
        assert_eq!(state(client, lost).await, Is::Dead);
        queue.assert_enqueued::<ReviveLost>(|_| true).await;
        all(client).await.unwrap();
        assert_eq!(state(client, lost).await, Is::Ready);

        // One that kills whoever takes it is left to a person in the end.
        let losses = windlass::core::bounds::LOSSES_MAX as usize;
        for _ in 1..LOST_IN_A_ROW_MAX / losses {
            assert_eq!(state(client, lost).await, Is::Ready);
            lose().await;
            assert_eq!(state(client, lost).await, Is::Dead);
            all(client).await.unwrap();
        }
        assert_eq!(state(client, lost).await, Is::Dead, "nobody takes it any more");
    }
}
