//! A fail-over to a standby, recorded and judged: a primary and a streaming standby on the loopback, random work of several
//! clients, kill -9 of the primary with all its processes, promotion, and the clients find the new primary by themselves.
//!
//! `cargo run -p windlass-postgres --example failover -- [ROUNDS]`: that many rounds with synchronous replication, where
//! every acknowledged write must be there; as many without, where what is missing is counted; and as many without while
//! the standby is behind, where something must be missing, or the count would prove nothing.
#![allow(clippy::print_stdout, reason = "figures are printed")]
#![allow(clippy::unwrap_used, reason = "a run that cannot be made ends")]

#[path = "../tests/server/mod.rs"]
mod server;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use server::{Server, free_address};
use windlass_check::FaultKind;
use windlass_core::store::{AckLevel, Store};
use windlass_postgres::{Options, PostgresStore};
use windlass_survival::{History, Home};

/// Work goes on within that time after the promotion, or the run has failed.
const RESUMED_WITHIN: Duration = Duration::from_secs(30);

/// Two servers, of which one takes writes.
struct Pair(String);

impl Home for Pair {
    fn store(&self) -> &'static str {
        "postgres"
    }

    fn open(&self, upkeep: bool) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + '_>> {
        Box::pin(async move {
            let options = Options { upkeep, connections: 2, ..Options::default() };
            Arc::new(PostgresStore::open(&self.0, options).await.unwrap()) as Arc<dyn Store>
        })
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let rounds: u64 = std::env::args().nth(1).map_or(3, |text| text.parse().unwrap());
    for replication in [Replication::Synchronous, Replication::Asynchronous, Replication::Behind] {
        for round in 0..rounds {
            fail_over(replication, round).await;
        }
    }
}

/// What the standby has of what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replication {
    /// Everything: `synchronous_standby_names` is set.
    Synchronous,
    /// What was sent by then.
    Asynchronous,
    /// All but the last moments: the primary has stopped sending.
    Behind,
}

async fn fail_over(replication: Replication, seed: u64) {
    let (primary, standby) = (free_address(), free_address());
    let first = Server::prepare(&[], Some(primary.port()));
    first.run();
    let second = Server::standby_of(&first, standby.port());
    second.run();
    let synchronous = replication == Replication::Synchronous;
    if synchronous {
        first.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        first.sql("SELECT pg_reload_conf()");
    }
    let hosts = format!("{}:{},{}:{}", primary.ip(), primary.port(), standby.ip(), standby.port());
    let url = format!("postgres://windlass@{hosts}/postgres?target_session_attrs=read-write");
    let mut history = History::begin(Arc::new(Pair(url)), AckLevel::Power, seed);
    history.start().await;
    history.progress(300, RESUMED_WITHIN).await;
    if replication == Replication::Behind {
        let sender = first.sql("SELECT pid FROM pg_stat_replication").parse().unwrap();
        rustix::process::kill_process(Pid::from_raw(sender).unwrap(), Signal::STOP).unwrap();
        history.progress(100, RESUMED_WITHIN).await;
    }
    // Whatever had been acknowledged was on both, or was not: that is what is looked at.
    history.fault_covered(FaultKind::Failover, synchronous);
    let dead = Instant::now();
    tokio::task::block_in_place(|| {
        first.end(Signal::KILL);
        second.sql("SELECT pg_promote()");
    });
    // The primary acknowledged until its last moment, which was after the first of these lines.
    history.fault_covered(FaultKind::Failover, synchronous);
    let promoted = dead.elapsed();
    history.progress(1, RESUMED_WITHIN).await;
    let resumed = dead.elapsed();
    history.progress(300, RESUMED_WITHIN).await;
    let report = history.judge().await;
    println!(
        "{replication:?}: promoted after {} ms, first completion after {} ms; {} violations, {} acknowledged jobs missing; {:?}",
        promoted.as_millis(),
        resumed.as_millis(),
        report.violations.len(),
        report.figures.losses_not_covered,
        report.figures
    );
    for violation in report.violations.iter().take(3) {
        println!("  {violation:?}");
    }
    assert!(report.is_clean(), "an invariant was broken");
    let missing = report.figures.losses_not_covered > 0;
    assert!(missing || replication != Replication::Behind, "what was never sent is not missed");
}
