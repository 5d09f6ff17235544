//! The store without its short way for plain jobs answers as the reference model does: both ways are one.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests reach servers as users do")]

#[path = "../place/mod.rs"]
mod place;
#[path = "../server/mod.rs"]
mod server;

use windlass_core::queue::{GroupSettings, QueueSettings, Retention};
use windlass_core::store::{Admin, Claim, Queue, ReleaseReason, Settle, Upkeep};
use windlass_core::{JobId, NewJob, QueueName, Time, WorkerId};
use windlass_redis::{RedisOptions, RedisStore};
use windlass_testkit::{Case, Host, Place, START};

use crate::place::Spot;
use crate::server::Server;

/// A Redis server on which every job goes the long way.
struct LongWay;

impl Host for LongWay {
    fn name(&self) -> &'static str {
        "redis, the long way"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(Spot::new(Server::start()).long_way())
    }

    fn place_with_short_log(&self) -> Box<dyn Place> {
        Box::new(Spot::new(Server::start()).short_log())
    }

    fn random_runs_divisor(&self) -> u32 {
        5
    }

    fn exempts(&self, _: &Case) -> Option<&'static str> {
        None
    }
}

#[test]
fn the_long_way_alone_answers_as_the_model() {
    windlass_testkit::compare_with_model(&LongWay);
}

/// The queue of these tests.
fn queue() -> QueueName {
    QueueName::new("q").unwrap()
}

/// A job of step `step`: most are plain and of one of nine groups, which have their turns.
fn job(at: Time, step: u64, n: u64) -> NewJob {
    let id = JobId::named(at, &format!("{step}-{n}"));
    let mut job = NewJob::new(id, queue(), "k".parse().unwrap(), b"{}".to_vec());
    let group = (step * 5 + n * 7) % 10;
    job.group = (group > 0).then(|| format!("g{group}").parse().unwrap());
    job.priority = i8::from(n.is_multiple_of(11));
    job
}

/// Everything that a store answers to the same work: jobs in many groups, claims of many sizes, completions shown twice
/// in one call, jobs given back, removals.
async fn answers(store: &RedisStore) -> Vec<String> {
    let retention = Retention { completed_count: 30, ..Retention::default() };
    let settings = QueueSettings { retention, ..QueueSettings::default() };
    store.set_queue(queue(), settings, Some(START)).await.unwrap().unwrap();
    let heavy = GroupSettings { weight: 3, ..GroupSettings::default() };
    store.set_group(queue(), Some("g2".parse().unwrap()), Some(heavy), Some(START)).await.unwrap().unwrap();
    let (mut seen, mut settle_first) = (Vec::new(), Vec::new());
    for step in 0..60 {
        let at = START.plus_ms(step * 1_000);
        let jobs = (0..20 + step % 17).map(|n| job(at, step, n)).collect();
        seen.push(format!("{:?}", store.enqueue(jobs, false, Some(at)).await.unwrap()));
        let wants = vec![(queue(), (1 + step * 13 % 41) as u32)];
        let settle = std::mem::take(&mut settle_first);
        let claim = Claim { settle_first: settle, wants, worker: WorkerId(1 + step % 2), nonce: step };
        let claimed = store.claim(claim, Some(at)).await.unwrap();
        seen.push(format!("{claimed:?}"));
        for (n, job) in claimed.jobs.into_iter().enumerate() {
            let done = Settle::Complete { lease: job.lease, result: None, then: Vec::new() };
            match n % 9 {
                4 => settle_first.push(Settle::Release { lease: job.lease, reason: ReleaseReason::Shutdown }),
                7 => settle_first.extend([done.clone(), done]),
                _ => settle_first.push(done),
            }
        }
        store.upkeep(500, Some(at)).await.unwrap();
        seen.push(format!("{:?}", store.queues(None, Some(at)).await.unwrap()));
        seen.push(format!("{:?}", store.groups(queue(), None, 100).await.unwrap()));
    }
    seen
}

#[tokio::test]
async fn both_ways_answer_the_same_to_the_same_work() {
    let server = Server::start();
    let open = |namespace: &str, long_way| {
        let options =
            RedisOptions { namespace: namespace.into(), upkeep: false, long_way, ..RedisOptions::default() };
        let url = server.url();
        async move { answers(&RedisStore::open(&url, options).await.unwrap()).await }
    };
    let (short, long) = (open("short", false).await, open("long", true).await);
    for (step, (short, long)) in short.iter().zip(&long).enumerate() {
        assert_eq!(short, long, "answer {step}");
    }
}
