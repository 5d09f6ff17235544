//! Faults of the server and of the way to it: kill -9, a restart, a killed backend, a listener that dies, two that deadlock.

use crate::server::Server;
use crate::{claim, client, complete, job, queue, shared, store};
use rustix::process::Signal as Kill;
use std::time::Duration;
use windlass_core::event::EventType;
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Admin, Filter, From, Queue, Signal, Upkeep, Watch};
use windlass_core::{JobId, State, WorkerId};
use windlass_postgres::{Options, PostgresStore};

/// Asks until the server answers again: a store never goes deaf.
async fn until_answered<T, F: Future<Output = Result<T, windlass_core::StoreError>>>(
    ask: impl Fn() -> F,
) -> T {
    let patience = tokio::time::Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(why) => assert!(patience.elapsed() < Duration::from_secs(5), "after 5 s: {why}"),
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn kill_9_of_the_server_loses_nothing_that_was_acknowledged_and_claims_go_on() {
    let server = Server::start();
    let store = store(&server, "killed").await;
    let mut acknowledged: Vec<JobId> = Vec::new();
    let mut completed: Vec<JobId> = Vec::new();
    for round in 0..5u128 {
        let jobs: Vec<_> = (0..50).map(|n| job(round * 100 + n + 1)).collect();
        let answers = store.enqueue(jobs, false, None).await.unwrap();
        acknowledged.extend(answers.into_iter().map(|answer| answer.unwrap().id));
        for held in claim(&store, 20).await {
            if complete(&store, &held.lease).await.is_ok() {
                completed.push(held.lease.job);
            }
        }
        let held = claim(&store, 1).await;
        server.end(Kill::KILL);
        assert!(store.enqueue(vec![job(999)], false, None).await.is_err(), "nobody answers now");
        server.run();
        let there = until_answered(|| store.list(Filter::default(), None, 1_000, 10_000)).await.unwrap();
        assert_eq!(there.items.len(), acknowledged.len(), "I1, after round {round}");
        let before = held[0].lease.deadline;
        store.upkeep(1, None).await.unwrap();
        // The first look after the restart gives every lease its full time again.
        let again = crate::store(&server, "killed").await;
        let job = again.get(held[0].lease.job).await.unwrap().unwrap();
        assert!(job.deadline > Some(before), "rule f");
        complete(&store, &held[0].lease).await.expect("the lease outlived the server");
        completed.push(held[0].lease.job);
    }
    for id in completed {
        assert_eq!(store.get(id).await.unwrap().unwrap().view.state, State::Completed);
    }
    let counts = store.queues(Some(queue()), None).await.unwrap()[0].counts;
    assert_eq!(counts.0.iter().sum::<u64>(), acknowledged.len() as u64, "I16");
}

#[tokio::test]
async fn a_lease_that_ran_out_while_the_server_was_away_is_not_lost_to_upkeep_that_comes_first() {
    let server = Server::start();
    let store = store(&server, "away").await;
    let settings = QueueSettings { lease_ms: 1_000, ..QueueSettings::default() };
    store.set_queue(queue(), settings, None).await.unwrap().unwrap();
    let jobs: Vec<_> = (1..=5).map(job).collect();
    store.enqueue(jobs.clone(), false, None).await.unwrap();
    let held = claim(&store, 5).await;
    assert_eq!(held.len(), 5);
    server.end(Kill::KILL);
    let over = held[0].lease.deadline.plus_ms(50);
    while crate::now() < over {
        tokio::task::yield_now().await;
    }
    server.run();
    until_answered(|| store.upkeep(100, None)).await;
    let leases = held.iter().map(|held| held.lease).collect();
    for beat in store.heartbeat(leases, None).await.unwrap() {
        beat.expect("rule f");
    }
    for job in jobs {
        assert_eq!(store.get(job.id).await.unwrap().unwrap().view.losses, 0);
    }
}

#[tokio::test]
async fn a_killed_backend_is_replaced_by_the_next_call() {
    let store = store(shared(), "backend").await;
    let client = client(shared()).await;
    for round in 0..10u128 {
        store.enqueue(vec![job(round + 1)], false, None).await.unwrap().remove(0).unwrap();
        client
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'windlass' AND query LIKE '%backend.%' AND pid <> pg_backend_pid()", &[])
            .await
            .unwrap();
        let held = until_answered(|| async {
            let claim = windlass_core::store::Claim {
                wants: vec![(queue(), 1)],
                worker: WorkerId(1),
                nonce: 3,
                settle_first: vec![],
            };
            store.claim(claim, None).await
        })
        .await;
        assert_eq!(held.jobs.len(), 1);
    }
}

#[tokio::test]
async fn a_worker_hears_of_another_process_and_does_so_again_after_its_listener_died() {
    let server = shared();
    let options = || Options { schema: "listen".into(), ..Options::default() };
    let here = PostgresStore::open(&server.url("postgres"), options()).await.unwrap();
    let there = PostgresStore::open(&server.url("postgres"), options()).await.unwrap();
    let client = client(server).await;
    for round in 0..3u128 {
        let waiting = tokio::spawn({
            let here = here.clone();
            async move { here.watch(Watch { worker: WorkerId(1), queues: vec![(queue(), 1)] }).await }
        });
        there.enqueue(vec![job(round + 1)], false, None).await.unwrap().remove(0).unwrap();
        let signal =
            tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("a ring").unwrap().unwrap();
        assert_eq!(signal, Signal::Work);
        let held = claim(&here, 9).await;
        assert_eq!(held.len(), 1);
        complete(&here, &held[0].lease).await.unwrap();
        client
            .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN windlass_listen%'", &[])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_transaction_of_somebody_else_that_never_ends_stops_no_claim() {
    let store = store(shared(), "held").await;
    let mut other = client(shared()).await;
    let tx = other
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .start()
        .await
        .unwrap();
    tx.query("SELECT count(*) FROM held.job", &[]).await.unwrap();
    for round in 0..20u128 {
        let jobs = (0..50).map(|n| job(round * 100 + n + 1)).collect();
        store.enqueue(jobs, false, None).await.unwrap();
        let held = claim(&store, 50).await;
        assert_eq!(held.len(), 50);
        for held in held {
            complete(&store, &held.lease).await.unwrap();
        }
    }
    tx.rollback().await.unwrap();
}

#[tokio::test]
async fn many_callers_at_once_lose_and_double_nothing() {
    let store = store(shared(), "crowd").await;
    let tasks: Vec<_> = (0..8u128)
        .map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut done = Vec::new();
                for round in 0..15u128 {
                    let jobs = (0..10).map(|n| job(caller * 10_000 + round * 100 + n + 1)).collect();
                    for answer in store.enqueue(jobs, false, None).await.unwrap() {
                        answer.unwrap();
                    }
                    for held in claim(&store, 12).await {
                        complete(&store, &held.lease).await.expect("nobody else holds it");
                        done.push(held.lease.job);
                    }
                }
                done
            })
        })
        .collect();
    let mut done = Vec::new();
    for task in tasks {
        done.extend(task.await.unwrap());
    }
    while let [held] = claim(&store, 1).await.as_slice() {
        complete(&store, &held.lease).await.unwrap();
        done.push(held.lease.job);
    }
    done.sort();
    let all = done.len();
    done.dedup();
    assert_eq!((done.len(), all), (1_200, 1_200));
    // Each job's events come in the order of its life, although nobody waited for anybody.
    let mut stories: std::collections::HashMap<JobId, Vec<EventType>> = std::collections::HashMap::new();
    let mut from = From::Earliest;
    loop {
        let page = store.events(from, 1_000, 0).await.unwrap().unwrap();
        if page.events.is_empty() {
            break;
        }
        from = From::After(page.next);
        for event in page.events {
            stories.entry(event.job).or_default().push(event.event);
        }
    }
    let life = vec![EventType::Enqueued, EventType::Claimed, EventType::Completed];
    assert_eq!(stories.len(), 1_200);
    assert!(
        stories.values().all(|story| *story == life),
        "{:?}",
        stories.values().find(|story| **story != life)
    );
    let counts = store.queues(Some(queue()), None).await.unwrap()[0].counts;
    assert_eq!((counts.of(State::Completed), counts.0.iter().sum::<u64>()), (1_200, 1_200), "I16");
}

#[tokio::test]
async fn everything_works_without_prepared_statements_as_behind_a_pooler() {
    let options = Options {
        schema: "pooled".into(),
        prepare: false,
        listen: false,
        upkeep: false,
        ..Options::default()
    };
    let store = PostgresStore::open(&shared().url("postgres"), options).await.unwrap();
    store.enqueue(vec![job(1), job(2)], false, None).await.unwrap();
    let held = claim(&store, 9).await;
    complete(&store, &held[0].lease).await.unwrap();
    assert!(store.heartbeat(vec![held[1].lease], None).await.unwrap()[0].is_ok());
    store.upkeep(10, None).await.unwrap();
    assert_eq!(store.get(held[0].lease.job).await.unwrap().unwrap().view.state, State::Completed);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let store = store(shared(), "newer").await;
    drop(store);
    let client = client(shared()).await;
    client.execute("UPDATE newer.schema SET version = 999", &[]).await.unwrap();
    let options = Options { schema: "newer".into(), upkeep: false, listen: false, ..Options::default() };
    let told =
        PostgresStore::open(&shared().url("postgres"), options).await.expect_err("too new").to_string();
    assert!(told.contains("999"), "{told}");
}
