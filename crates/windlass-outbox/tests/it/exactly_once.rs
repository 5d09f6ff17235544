//! One job for each committed row, wherever the relay ends.

use crate::base::{Base, drain, keeps_nothing, known, numbers, on_each, queue, relay, times, work};
use crate::cut::{Cut, END};
use windlass_core::store::{Admin, Store};
use windlass_core::{JobId, Kind, NewJob, Time};
use windlass_outbox::{RelayOptions, Table};

#[test]
fn a_committed_row_is_one_job_and_a_rolled_back_row_is_none() {
    on_each("committed", async |base, target| {
        let store = target.open();
        base.put("q", 1, "{}").await;
        base.run(
            "BEGIN; INSERT INTO windlass_outbox (queue, kind, payload) VALUES ('q', 'k', '2'); ROLLBACK",
        )
        .await;
        base.put("q", 3, "{}").await;
        let relayed = drain(&base, &store).await.unwrap();
        assert_eq!((relayed.rows, relayed.known, relayed.refused), (2, 0, 0));
        assert_eq!(numbers(&work(&store, "q").await), [1, 3]);
        assert_eq!(drain(&base, &store).await.unwrap().rows, 0);
        let standing = base.outbox().standing().await.unwrap();
        assert_eq!((standing.waiting, standing.under_way, standing.sent), (0, 0, 0));
    });
}

/// The hard case: between two lives of the relay the jobs run, are removed, and their ids are forgotten.
#[test]
fn a_relay_that_ends_at_any_step_gives_no_row_two_jobs_even_when_their_ids_are_forgotten() {
    on_each("any_step", async |base, target| {
        const ROWS: u64 = 7;
        let mut seen = Vec::new();
        let mut row = 0;
        let mut cuts = 0;
        for done in [false, true] {
            for step in 0.. {
                let store = target.open();
                store.set_queue(queue("q"), keeps_nothing(), None).await.unwrap().unwrap();
                for _ in 0..ROWS {
                    base.put("q", row, "{}").await;
                    row += 1;
                }
                let mut killed = relay(Cut::at(base.outbox(), step, done), &store);
                let ended = killed.drain().await;
                drop(killed);
                seen.extend(work(&store, "q").await);
                target.forget_ids(&store, "q").await;
                store.close().await.unwrap();
                let store = target.open();
                drain(&base, &store).await.unwrap();
                seen.extend(work(&store, "q").await);
                target.forget_ids(&store, "q").await;
                store.close().await.unwrap();
                match ended {
                    Ok(()) => break,
                    Err(why) if why.cause.contains(END) => cuts += 1,
                    // The server may still be busy with the end of the last session.
                    Err(why) => assert!(why.cause.contains("another relay"), "{why}"),
                }
            }
        }
        assert!(cuts >= 7, "{cuts} steps were the last one");
        let times = times(&seen);
        assert_eq!(times.len() as u64, row, "every row was a job");
        assert!(times.values().all(|times| *times == 1), "and only once: {times:?}");
    });
}

#[test]
fn a_killed_relay_leaves_nothing_behind_in_the_queue() {
    on_each("left_over", async |base, target| {
        let store = target.open();
        for number in 0..5 {
            base.put("q", number, "{}").await;
            // Killed after its second turn, which has ended the batch: the fence is still there.
            let mut killed = relay(Cut::at(base.outbox(), 3, true), &store);
            let _ = killed.drain().await;
        }
        drain(&base, &store).await.unwrap();
        let fences = store.queues(Some(queue("windlass.outbox")), None).await.unwrap();
        assert_eq!(fences[0].counts.waiting(), 0, "{:?}", fences[0].counts);
        assert_eq!(numbers(&work(&store, "q").await), [0, 1, 2, 3, 4]);
    });
}

#[test]
fn more_rows_than_one_batch_keep_their_order() {
    on_each("many", async |base, target| {
        let store = target.open();
        let rows: Vec<String> = (0..2_500).map(|n| format!("('q', 'k', '{n}')")).collect();
        base.run(&format!("INSERT INTO windlass_outbox (queue, kind, payload) VALUES {}", rows.join(",")))
            .await;
        let relayed = drain(&base, &store).await.unwrap();
        assert_eq!((relayed.rows, relayed.batches), (2_500, 3));
        assert_eq!(numbers(&work(&store, "q").await), (0..2_500).collect::<Vec<_>>());
    });
}

#[test]
fn a_batch_ends_at_a_bound_of_bytes() {
    on_each("bytes", async |base, target| {
        let store = target.open();
        let text = format!("\"{}\"", "x".repeat(1_000_000));
        for _ in 0..20 {
            base.run(&format!(
                "INSERT INTO windlass_outbox (queue, kind, payload) VALUES ('q', 'k', '{text}')"
            ))
            .await;
        }
        let relayed = drain(&base, &store).await.unwrap();
        assert_eq!((relayed.rows, relayed.batches), (20, 3), "8 MiB and the row that passes it");
    });
}

#[test]
fn a_job_enqueued_from_rust_arrives_to_the_byte() {
    on_each("from_rust", async |mut base, target| {
        let store = target.open();
        let id = JobId::named(Time(1_763_700_000_000), "mine");
        let mut job = NewJob::new(id, queue("q"), Kind::new("k").unwrap(), *b"{ \"a\":\t1 }\0\xff");
        job.priority = 4;
        let late = NewJob { id: JobId::named(Time(u64::MAX >> 17), "late"), ..job.clone() };
        let table = Table::default();
        match &mut base {
            Base::Postgres { client, .. } => {
                use windlass_outbox::postgres::enqueue_in;
                let t = client.transaction().await.unwrap();
                assert!(enqueue_in(&t, &table, &[job.clone(), late]).await.unwrap().is_err());
                enqueue_in(&t, &table, std::slice::from_ref(&job)).await.unwrap().unwrap();
                t.commit().await.unwrap();
            }
            Base::Sqlite { .. } => {
                use windlass_outbox::sqlite::enqueue_in;
                let mut connection = base.connection();
                let t = connection.transaction().unwrap();
                assert!(enqueue_in(&t, &table, &[job.clone(), late]).unwrap().is_err());
                enqueue_in(&t, &table, std::slice::from_ref(&job)).unwrap().unwrap();
                t.commit().unwrap();
            }
        }
        drain(&base, &store).await.unwrap();
        let told = store.get(id).await.unwrap().expect("the job");
        assert_eq!((told.payload, told.view.priority), (job.payload, 4));
        assert_eq!(known(&store, "q").await, 1);
    });
}

#[test]
fn rows_are_kept_when_they_are_to_be() {
    on_each("kept", async |base, target| {
        let store = target.open();
        base.put("q", 1, "{}").await;
        let keep = Some(std::time::Duration::from_secs(3_600));
        let target: std::sync::Arc<dyn Store> = store.clone();
        let mut keeping = windlass_outbox::Relay::new(
            base.outbox(),
            target,
            RelayOptions { keep, ..RelayOptions::default() },
        );
        keeping.drain().await.unwrap();
        let standing = base.outbox().standing().await.unwrap();
        assert_eq!((standing.waiting, standing.sent), (0, 1));
        drop(keeping);
        assert_eq!(drain(&base, &store).await.unwrap().rows, 0);
    });
}
