//! Keys that somebody deletes behind the store's back: what the records still say is put right, never stuck.

use std::collections::BTreeSet;

use windlass_core::limit::LimitUse;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{Admin, Queue, Settle, Store, Upkeep};
use windlass_core::{JobId, NewJob, QueueName, State};
use windlass_redis::RedisStore;

use crate::health::{job, open, tell};
use crate::server::Server;

/// Jobs in every live state and of every kind of order, none of them held.
async fn fill(store: &RedisStore) -> BTreeSet<JobId> {
    let groups = GroupSettings { ordered: true, ..GroupSettings::default() };
    let ordered = QueueName::new("ordered").unwrap();
    store
        .set_queue(ordered.clone(), QueueSettings { groups, ..QueueSettings::default() }, None)
        .await
        .unwrap()
        .unwrap();
    let limits = vec![LimitUse { name: "smtp".parse().unwrap(), cost: 1 }];
    let mut jobs: Vec<NewJob> = Vec::new();
    for n in 0..60 {
        let plain = NewJob { payload: b"{}".to_vec(), ..job(n) };
        let group = Some(format!("g{}", n % 3).parse().unwrap());
        jobs.push(match n % 6 {
            0 => plain,
            1 => NewJob { group, ..plain },
            2 => NewJob { group, queue: ordered.clone(), ..plain },
            3 => NewJob { limits: limits.clone(), ..plain },
            4 => NewJob { delay_ms: Some(300), ..plain },
            _ => NewJob { priority: 3, ..plain },
        });
    }
    let answers = store.enqueue(jobs, false, None).await.unwrap();
    answers.into_iter().map(|answer| answer.unwrap().id).collect()
}

/// Claims and completes until nothing is live.
async fn drain(store: &RedisStore) -> BTreeSet<JobId> {
    use windlass_core::WorkerId;
    use windlass_core::store::Claim;
    let (mut done, mut settle_first) = (BTreeSet::new(), Vec::new());
    let since = std::time::Instant::now();
    while since.elapsed().as_secs() < 5 {
        let wants = ["q", "ordered"].map(|name| (QueueName::new(name).unwrap(), 7)).to_vec();
        let claim =
            Claim { settle_first: std::mem::take(&mut settle_first), wants, worker: WorkerId(1), nonce: 9 };
        let claimed = store.claim(claim, None).await.unwrap();
        for job in claimed.jobs {
            done.insert(job.lease.job);
            settle_first.push(Settle::Complete { lease: job.lease, result: None, then: Vec::new() });
        }
        if settle_first.is_empty() {
            store.upkeep(100, None).await.unwrap();
            let queues = store.queues(None, None).await.unwrap();
            if queues.iter().all(|info| info.counts.waiting() + info.counts.of(State::Running) == 0) {
                break;
            }
        }
    }
    done
}

/// Every letter of a key that is not the record itself, and what it holds.
const DERIVED: [(char, &str); 14] = [
    ('q', "queues"),
    ('Q', "names of queues"),
    ('g', "groups"),
    ('G', "names of groups"),
    ('o', "the fair order"),
    ('s', "lanes that stand"),
    ('p', "places of ordered groups"),
    ('y', "lanes"),
    ('r', "ready jobs without a group"),
    ('l', "ready jobs of groups"),
    ('d', "the longest-waiting jobs"),
    ('D', "times"),
    ('T', "timers"),
    ('z', "the counters"),
];

#[tokio::test]
async fn whatever_key_is_deleted_every_job_whose_record_is_there_still_runs() {
    let server = Server::start();
    for (letter, what) in DERIVED {
        tell(&server, &["FLUSHALL"]).await;
        let store = open(&server).await;
        let ids = fill(&store).await;
        delete(&server, letter).await;
        if letter == 'Q' {
            // A queue whose name is lost is found again by whoever names it.
            for name in ["q", "ordered"] {
                store.pause(QueueName::new(name).unwrap(), false, None).await.unwrap().unwrap();
            }
        }
        store.sweep().await.unwrap();
        assert_eq!(drain(&store).await, ids, "after {what} ({letter}) were deleted");
        assert_eq!(store.sweep().await.unwrap(), 0, "nothing is left to put right after {what} ({letter})");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_lease_is_found_by_the_sweep_and_runs_out() {
    let server = Server::start();
    let store = open(&server).await;
    store.enqueue(vec![job(1)], false, None).await.unwrap()[0].clone().unwrap();
    let held = crate::health::claim(&store, Vec::new(), 1).await.remove(0);
    delete(&server, 'L').await;
    assert_eq!(store.sweep().await.unwrap(), 1);
    assert_eq!(
        store.heartbeat(vec![held.lease], None).await.unwrap()[0].clone().map(|beat| beat.cancel_requested),
        Ok(false)
    );
    let done = Settle::Complete { lease: held.lease, result: None, then: Vec::new() };
    assert!(crate::health::claim(&store, vec![done], 1).await.is_empty());
}

#[tokio::test]
async fn jobs_whose_heads_were_deleted_are_ready_again_and_their_holders_stale() {
    let server = Server::start();
    let store = open(&server).await;
    let id = job(1).id;
    store.enqueue(vec![NewJob { id, ..job(1) }], false, None).await.unwrap()[0].clone().unwrap();
    let held = crate::health::claim(&store, Vec::new(), 1).await.remove(0);
    delete(&server, 'b').await;
    assert!(store.sweep().await.unwrap() > 0, "the loss is told");
    assert!(store.heartbeat(vec![held.lease], None).await.unwrap()[0].is_err(), "its lease is gone");
    assert_eq!(drain(&store).await, BTreeSet::from([id]));
    assert_eq!(store.sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn a_lost_record_is_a_lost_job_and_stops_no_other() {
    let server = Server::start();
    let store = open(&server).await;
    let ids: Vec<JobId> = (0..3).map(|n| job(n).id).collect();
    for n in 0..3 {
        store.enqueue(vec![NewJob { id: ids[n as usize], ..job(n) }], false, None).await.unwrap()[0]
            .clone()
            .unwrap();
    }
    let mut key = b"{windlass}j".to_vec();
    key.extend_from_slice(&ids[1].0.to_be_bytes());
    let mut connection =
        redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let _: i64 = redis::cmd("DEL").arg(key).query_async(&mut connection).await.unwrap();
    assert!(store.sweep().await.unwrap() > 0, "the loss is told");
    let got: BTreeSet<JobId> = drain(&store).await;
    assert_eq!(got, BTreeSet::from([ids[0], ids[2]]));
    assert_eq!(store.sweep().await.unwrap(), 0);
}

/// Deletes every key of that letter.
async fn delete(server: &Server, letter: char) {
    let mut connection =
        redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let pattern = format!("{{windlass}}{letter}*");
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.unwrap();
    assert!(
        !keys.is_empty() || letter == 'T' || letter == 'y' || letter == 's',
        "there are keys of {letter}"
    );
    for key in keys {
        let _: i64 = redis::cmd("DEL").arg(key).query_async(&mut connection).await.unwrap();
    }
}
