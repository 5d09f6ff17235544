//! The work of a verb is about its own jobs, whatever the server's statistics say: a plan made when a table looked empty
//! must not read all of it when it is full.

use crate::{client, job, server::Server};
use std::collections::BTreeMap;
use tokio_postgres::Client;
use windlass_core::job::{ErrorReport, OnConflict, Progress, Unique, UniqueScope};
use windlass_core::name::UniqueKey;
use windlass_core::queue::QueueSettings;
use windlass_core::store::{
    Admin, Claim, Edit, Filter, From, Hello, Queue, ReleaseReason, Report, Settle, Upkeep,
};
use windlass_core::{GroupKey, JobId, Lease, NewJob, QueueName, State, WorkerId};
use windlass_postgres::{Options, PostgresStore};

/// Jobs of one batch while the store is filled.
const FILL: usize = 1_000;
/// Batches of each way to fill it.
const FILLS: usize = 3;
/// Jobs of one batch of the verbs looked at.
const FEW: usize = 10;
/// Rows of one table that they may read beyond twice what they read with true statistics: far from what it holds.
const SLACK: i64 = 1_000;

/// Rows of one table that they may read when nothing is wrong. The larger tables hold 40,000 and more; a queue's groups
/// are counted by reading them, and there are 5,000.
const USUAL: i64 = 10_000;
const SCHEMA: &str = "used";
/// The queue that keeps no completed job.
const BRIEF: &str = "brief";

/// A store with jobs of its own making.
struct Subject {
    store: PostgresStore,
    made: u128,
    scheduled: Vec<JobId>,
}

impl Subject {
    async fn open(server: &Server, made: u128) -> Self {
        let options = Options {
            schema: SCHEMA.into(),
            upkeep: false,
            listen: false,
            connections: 1,
            ..Options::default()
        };
        let store = PostgresStore::open(&server.url("postgres"), options).await.expect("the store opens");
        Self { store, made, scheduled: vec![] }
    }

    /// Brings jobs, changed by their number.
    async fn bring(&mut self, count: usize, of: impl Fn(u128, &mut NewJob)) -> Vec<JobId> {
        let mut jobs = Vec::new();
        for _ in 0..count {
            self.made += 1;
            let mut job = job(self.made);
            of(self.made, &mut job);
            jobs.push(job);
        }
        let taken = self.store.enqueue(jobs, false, None).await.expect("the server takes them");
        taken.into_iter().map(|taken| taken.expect("a job that may come").id).collect()
    }

    async fn claim(&self, queue: &str, count: usize) -> Vec<Lease> {
        let wants = vec![(QueueName::new(queue).expect("a name"), count as u32)];
        let claim = Claim { settle_first: vec![], wants, worker: WorkerId(7), nonce: 9 };
        let jobs = self.store.claim(claim, None).await.expect("a claim").jobs;
        assert_eq!(jobs.len(), count, "of queue {queue}");
        jobs.iter().map(|job| job.lease).collect()
    }

    async fn settle(&self, leases: &[Lease], how: impl Fn(Lease) -> Settle) {
        let settle_first = leases.iter().map(|lease| how(*lease)).collect();
        let claim = Claim { settle_first, wants: vec![], worker: WorkerId(7), nonce: 9 };
        for settled in self.store.claim(claim, None).await.expect("an answer").settled {
            settled.expect("a lease of ours");
        }
    }

    /// Every way to come and to end, so many jobs each.
    async fn live(&mut self, count: usize) {
        for queue in ["q", "g"] {
            let grouped = queue == "g";
            let of = |n: u128, job: &mut NewJob| {
                job.queue = QueueName::new(queue).expect("a name");
                job.group = grouped.then(|| GroupKey::new(format!("g{}", n % 5_000)).expect("a name"));
                job.priority = (n % 3) as i8;
            };
            for how in [complete, failed, snoozed, released] {
                self.bring(count, of).await;
                let held = self.claim(queue, count).await;
                self.settle(&held, how).await;
            }
            self.bring(count, of).await;
            self.claim(queue, count).await;
            self.scheduled = self
                .bring(count, |n, job| {
                    of(n, job);
                    job.delay_ms = Some(3_600_000);
                })
                .await;
            self.bring(count, |n, job| {
                of(n, job);
                job.unique = Some(Unique {
                    key: UniqueKey::new(format!("key {n}")).expect("a name"),
                    scope: UniqueScope::default(),
                    on_conflict: OnConflict::default(),
                });
            })
            .await;
        }
    }

    /// Jobs that retention may remove at once.
    async fn end(&mut self, count: usize) {
        let brief = QueueName::new(BRIEF).expect("a name");
        self.bring(count, |_, job| job.queue = brief.clone()).await;
        let held = self.claim(BRIEF, count).await;
        self.settle(&held, complete).await;
    }

    /// What people and the library ask and do.
    async fn look(&self) {
        let held = self.claim("q", FEW).await;
        self.store.heartbeat(held.clone(), None).await.expect("beats");
        let reports = held.iter().map(|lease| Report {
            lease: *lease,
            progress: Some(Progress { percent: 50, message: None }),
            log: Some("a line\n".into()),
            checkpoint: Some(b"here".to_vec()),
        });
        self.store.report(reports.collect(), None).await.expect("reports");
        let ids: Vec<_> = held.iter().map(|lease| lease.job).collect();
        for id in &ids {
            self.store.get(*id).await.expect("an answer").expect("a job");
            self.store.why(*id, None).await.expect("an answer").expect("a job");
        }
        self.store.bodies(ids.clone()).await.expect("bodies");
        self.store.logs(ids[0], 1).await.expect("an answer").expect("a log");
        self.store.cancel(ids, None).await.expect("cancelled");
        let filter = Filter { states: vec![State::Completed], ..Filter::default() };
        let page = self.store.list(filter, None, FEW, FEW).await.expect("an answer").expect("a page");
        let ids = page.items.iter().map(|job| job.id).collect();
        self.store.delete(ids, None).await.expect("deleted");
        let edit = |id: &JobId| Edit { id: *id, payload: None, priority: Some(1), run_at: None };
        self.store.edit(self.scheduled.iter().map(edit).collect(), None).await.expect("edited");
        self.store.run_now(self.scheduled.clone(), None).await.expect("run now");
        let hello = Hello { worker: WorkerId(7), host: "here".into(), version: "1".into(), queues: vec![] };
        self.store.hello(hello, None).await.expect("heard");
        let of_one = Filter { ids: self.scheduled.clone(), ..Filter::default() };
        self.store.list(of_one, None, FEW, FEW).await.expect("an answer").expect("a page");
        self.store
            .series(QueueName::new("q").expect("a name"), None)
            .await
            .expect("an answer")
            .expect("charts");
        self.store.limits(None, FEW).await.expect("limits");
        self.store.schedules().await.expect("schedules");
        self.store.readers().await.expect("readers");
        self.store.info().await.expect("info");
        self.store.groups(QueueName::new("g").expect("a name"), None, FEW).await.expect("groups");
        self.store.queues(None, None).await.expect("queues");
        self.store.errors(None, FEW).await.expect("errors");
        self.store.workers(None).await.expect("workers");
        self.store.bye(WorkerId(7), None).await.expect("heard");
        self.store.events(From::Earliest, FEW, 0).await.expect("an answer").expect("events");
        self.store.upkeep(FEW, None).await.expect("upkeep");
    }
}

fn complete(lease: Lease) -> Settle {
    Settle::Complete { lease, result: Some(b"done".to_vec()), then: vec![] }
}

fn failed(lease: Lease) -> Settle {
    let error = ErrorReport { message: "no answer".into(), ..ErrorReport::default() };
    Settle::Fail { lease, error, retry_in_ms: Some(3_600_000), fatal: false }
}

fn snoozed(lease: Lease) -> Settle {
    Settle::Snooze { lease, delay_ms: 3_600_000, reason: "later".into(), holds: None }
}

fn released(lease: Lease) -> Settle {
    Settle::Release { lease, reason: ReleaseReason::Unstarted }
}

/// Rows read until now by table of that schema, those of its indexes included.
pub(crate) async fn read(client: &Client, schema: &str) -> BTreeMap<String, i64> {
    // A connection tells what it read when it ends (PostgreSQL 15 and later).
    let others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let since = std::time::Instant::now();
    while client.query_one(others, &[]).await.expect("a count").get::<_, i64>(0) > 0 {
        assert!(since.elapsed().as_secs() < 60, "connections that were dropped end");
    }
    let sql = "SELECT t.relname::text, (coalesce(t.seq_tup_read, 0) + coalesce((SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i WHERE i.relid = t.relid), 0))::bigint
        FROM pg_stat_user_tables t WHERE t.schemaname = $1";
    let rows = client.query(sql, &[&schema]).await.expect("statistics");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Rows that all verbs read, each of a few jobs, on a connection that plans them anew.
async fn rows_of(server: &Server, client: &Client, made: &mut u128) -> BTreeMap<String, i64> {
    let from = read(client, SCHEMA).await;
    let mut subject = Subject::open(server, *made).await;
    subject.live(FEW).await;
    subject.end(FEW).await;
    subject.look().await;
    *made = subject.made;
    drop(subject);
    let sweeper = crate::client(server).await;
    sweeper.execute("SELECT used.sweep(NULL, $1)", &[&(FEW as i32)]).await.expect("a sweep");
    drop(sweeper);
    read(client, SCHEMA).await.into_iter().map(|(table, rows)| (table.clone(), rows - from[&table])).collect()
}

#[tokio::test]
async fn a_verb_reads_its_own_rows_though_a_table_looked_empty_when_it_was_planned() {
    let server = Server::with(&["autovacuum=off"]);
    let client = client(&server).await;
    let mut subject = Subject::open(&server, 0).await;
    for queue in ["q", "g"] {
        // However slow the machine is, no lease runs out meanwhile, which would be work of another kind.
        let settings = QueueSettings { lease_ms: 3_600_000, ..QueueSettings::default() };
        let name = QueueName::new(queue).expect("a name");
        subject.store.set_queue(name, settings, None).await.expect("an answer").expect("in force");
    }
    let mut settings = QueueSettings::default();
    settings.retention.completed_ms = 0;
    let brief = QueueName::new(BRIEF).expect("a name");
    subject.store.set_queue(brief, settings, None).await.expect("an answer").expect("in force");
    for _ in 0..FILLS {
        subject.live(FILL).await;
        subject.end(FILL).await;
    }
    // Ids that are remembered, none of them for longer than it should be.
    let sql = "INSERT INTO used.gone (id, at, state)
        SELECT gen_random_uuid(), extract(epoch FROM now()) * 1000, 5 FROM generate_series(1, 50000)";
    client.batch_execute(sql).await.expect("our own server");
    // What was brought is taken up before anybody counts.
    subject.live(FEW).await;
    subject.look().await;
    let mut made = subject.made;
    drop(subject);
    let tables: Vec<String> = read(&client, SCHEMA).await.into_keys().collect();
    client.batch_execute("ANALYZE").await.expect("statistics");
    let usual = rows_of(&server, &client, &mut made).await;
    let mut wrong: Vec<String> = usual
        .iter()
        .filter(|(_, rows)| **rows > USUAL)
        .map(|(table, rows)| format!("{rows} rows of {table} with true statistics"))
        .collect();
    for empty in &tables {
        let sql = format!("UPDATE pg_class SET reltuples = 0 WHERE oid = 'used.{empty}'::regclass");
        client.batch_execute(&sql).await.expect("our own server");
        for (table, rows) in rows_of(&server, &client, &mut made).await {
            let usual = usual[&table];
            if rows > 2 * usual + SLACK {
                wrong.push(format!("{rows} rows of {table} when {empty} looked empty, else {usual}"));
            }
        }
        client.batch_execute(&format!("ANALYZE used.{empty}")).await.expect("statistics");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
