//! What is run when: the settings that suit a peer best, then both sides in turn, as often as was asked for.
//!
//! Both sides are measured on the same server within minutes of each other, because what else a machine does falls on
//! both alike then; only ratios within one comparison mean anything.

use serde_json::Value;

use super::figures::{Better, Goal, Row, Runs, Side, median};
use super::programs::{Peers, Windlass};
use super::server::Server;
use super::table::number;
use super::{CALLERS, Kind, Peer};
use crate::step::Failure;

/// Waiting jobs whose room on the server is measured: enough that what an empty store takes does not count.
const WAITING: u64 = 200_000;
/// A setting is tried with that share of the jobs: with no more than is needed to tell settings apart, and with no
/// fewer than it takes until a program in Node runs at its speed.
const TRIAL_SHARE: u64 = 5;
const TRIAL_LEAST: u64 = 20_000;
const TRIAL_MOST: u64 = 100_000;
/// Enqueues per second, and for how long, when latency is measured, and when settings are tried for it.
const PACE: &str = "--rate 200 --seconds 10";
const TRIAL_PACE: &str = "--rate 200 --seconds 3";
/// How long a steady mix goes when settings are tried for it.
const TRIAL_MIX: &str = "--seconds 3";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Jobs of every enqueue and drain.
    pub(crate) jobs: u64,
    /// Times that everything is measured.
    pub(crate) runs: u32,
    /// How long the steady mix goes.
    pub(crate) seconds: u32,
}

/// Both sides on one server.
pub(crate) struct Comparison<'a> {
    pub(crate) kind: Kind,
    pub(crate) scale: Scale,
    pub(crate) server: &'a mut dyn Server,
    pub(crate) peers: &'a Peers,
    /// None when this build has no such store.
    pub(crate) windlass: Option<&'a Windlass>,
}

/// What came out of it.
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Row>,
    /// Each peer with the settings that were its best.
    pub(crate) settings: Vec<String>,
}

/// A peer's best settings.
struct Best {
    enqueue_100: String,
    enqueue_1000: String,
    drain: String,
    mix: String,
    listen: String,
}

impl Comparison<'_> {
    /// Measures everything.
    pub(crate) fn run(mut self) -> Result<Outcome, Failure> {
        let peers = self.kind.peers();
        let best = peers.iter().map(|peer| self.best(peer)).collect::<Result<Vec<_>, _>>()?;
        let mut ours = Side::default();
        let mut theirs: Vec<Side> = peers.iter().map(|_| Side::default()).collect();
        for run in 1..=self.scale.runs {
            say(&format!("run {run} of {}", self.scale.runs));
            self.enqueues_and_drains(peers, &best, &mut theirs, &mut ours)?;
            self.mixes(peers, &best, &mut theirs, &mut ours)?;
            self.latencies(peers, &best, &mut theirs, &mut ours)?;
        }
        self.waiting(peers, &best, &mut theirs, &mut ours)?;
        let settings = peers.iter().zip(&best).map(|(peer, best)| {
            let Best { enqueue_100, enqueue_1000, drain, mix, listen } = best;
            format!(
                "{}: enqueue {enqueue_100} and {enqueue_1000}; drain {drain}; mix {mix}; latency {listen}",
                peer.name
            )
        });
        Ok(Outcome { settings: settings.collect(), rows: rows(self.kind, peers, theirs, &ours) })
    }

    /// The settings at which the peer is fastest: its best counts, not its defaults.
    fn best(&mut self, peer: &Peer) -> Result<Best, Failure> {
        let jobs = format!("--jobs {}", (self.scale.jobs / TRIAL_SHARE).clamp(TRIAL_LEAST, TRIAL_MOST));
        let batches = |size| CALLERS.map(|callers| format!("--batch {size} {callers}")).to_vec();
        let enqueue_100 = self.best_of(peer, "enqueue", &jobs, batches(100))?;
        let enqueue_1000 = self.best_of(peer, "enqueue", &jobs, batches(1_000))?;
        let drains = peer.drains.iter().map(|drain| format!("{enqueue_1000} {drain}")).collect();
        let drain = self.best_of(peer, "drain", &jobs, drains)?;
        let mixes = peer.drains.iter().map(|drain| format!("{enqueue_100} {drain}")).collect();
        let mix = self.best_of(peer, "mix", TRIAL_MIX, mixes)?;
        let listens = peer.listens.iter().map(|listen| (*listen).to_owned()).collect();
        let listen = self.best_of(peer, "latency", TRIAL_PACE, listens)?;
        Ok(Best { enqueue_100, enqueue_1000, drain, mix, listen })
    }

    /// The options with the highest rate, or with the shortest latency; where there is no choice, nothing is tried.
    fn best_of(&mut self, peer: &Peer, mode: &str, load: &str, all: Vec<String>) -> Result<String, Failure> {
        if let [only] = all.as_slice() {
            return Ok(only.clone());
        }
        let mut best = (f64::NEG_INFINITY, String::new());
        for options in all {
            let answer = self.peer(peer, mode, &format!("{load} {options}"))?;
            let merit = match mode {
                "latency" => -figure(&answer, "p99_ms")?,
                _ => figure(&answer, "per_s")?,
            };
            if merit > best.0 {
                best = (merit, options);
            }
        }
        Ok(best.1)
    }

    fn enqueues_and_drains(
        &mut self,
        peers: &[Peer],
        best: &[Best],
        theirs: &mut [Side],
        ours: &mut Side,
    ) -> Result<(), Failure> {
        let jobs = format!("--jobs {}", self.scale.jobs);
        for ((peer, best), side) in peers.iter().zip(best).zip(&mut *theirs) {
            let answer = self.peer(peer, "enqueue", &format!("{jobs} {}", best.enqueue_100))?;
            side.enqueue_100.push(figure(&answer, "per_s")?);
        }
        self.ours("enqueue", &format!("{jobs} --batch 100"), |answer| {
            figure(answer, "per_s").map(|rate| ours.enqueue_100.push(rate))
        })?;
        for ((peer, best), side) in peers.iter().zip(best).zip(theirs) {
            let before = self.server.log_bytes()?;
            let answer = self.peer(peer, "drain", &format!("{jobs} {}", best.drain))?;
            side.enqueue_1000.push(figure(&answer, "enqueue_per_s")?);
            side.drain.push(figure(&answer, "per_s")?);
            side.log_bytes.extend(self.written_since(before, &answer)?);
        }
        self.ours("enqueue", &format!("{jobs} --batch 1000"), |answer| {
            figure(answer, "per_s").map(|rate| ours.enqueue_1000.push(rate))
        })?;
        self.ours("workers", &jobs, |answer| figure(answer, "per_s").map(|rate| ours.drain.push(rate)))
            .map(drop)
    }

    fn mixes(
        &mut self,
        peers: &[Peer],
        best: &[Best],
        theirs: &mut [Side],
        ours: &mut Side,
    ) -> Result<(), Failure> {
        let mix = format!("--seconds {}", self.scale.seconds);
        for ((peer, best), side) in peers.iter().zip(best).zip(theirs) {
            let answer = self.peer(peer, "mix", &format!("{mix} {}", best.mix))?;
            side.mix.push(figure(&answer, "per_s")?);
        }
        self.ours("mix", &mix, |answer| figure(answer, "per_s").map(|rate| ours.mix.push(rate)))?;
        let before = self.server.log_bytes()?;
        let mixed = self.ours("lifecycle", &mix, |answer| {
            ours.calls.push(figure(answer, "per_s")?);
            Ok(answer.clone())
        })?;
        if let Some(answer) = mixed {
            ours.log_bytes.extend(self.written_since(before, &answer)?);
        }
        Ok(())
    }

    fn latencies(
        &mut self,
        peers: &[Peer],
        best: &[Best],
        theirs: &mut [Side],
        ours: &mut Side,
    ) -> Result<(), Failure> {
        let record = |side: &mut Side, answer: &Value| {
            side.p50_ms.push(figure(answer, "p50_ms")?);
            side.p99_ms.push(figure(answer, "p99_ms")?);
            Ok(())
        };
        for ((peer, best), side) in peers.iter().zip(best).zip(theirs) {
            let answer = self.peer(peer, "latency", &format!("{PACE} {}", best.listen))?;
            record(side, &answer)?;
        }
        self.ours("latency", PACE, |answer| record(ours, answer)).map(drop)
    }

    /// What a waiting job takes on the server.
    fn waiting(
        &mut self,
        peers: &[Peer],
        best: &[Best],
        theirs: &mut [Side],
        ours: &mut Side,
    ) -> Result<(), Failure> {
        for ((peer, best), side) in peers.iter().zip(best).zip(theirs) {
            let url = self.server.fresh()?;
            // One job first, so that what the peer makes once is not counted for every job.
            self.peers.run(peer.name, "enqueue", "--jobs 1", &url)?;
            let before = self.server.held_bytes()?;
            let options = format!("--jobs {WAITING} {}", best.enqueue_1000);
            self.peers.run(peer.name, "enqueue", &options, &url)?;
            side.waiting_bytes.push(self.bytes_a_job(peer.name, before)?);
        }
        let Some(windlass) = self.windlass else { return Ok(()) };
        let url = self.server.fresh()?;
        windlass.fill(&url, 1)?;
        let before = self.server.held_bytes()?;
        windlass.fill(&url, WAITING)?;
        ours.waiting_bytes.push(self.bytes_a_job("windlass", before)?);
        Ok(())
    }

    fn bytes_a_job(&self, who: &str, before: u64) -> Result<f64, Failure> {
        let bytes = self.server.held_bytes()?.saturating_sub(before) as f64 / WAITING as f64;
        say(&format!("{who}: {} bytes a waiting job", number(bytes)));
        Ok(bytes)
    }

    /// One measurement of a peer on an empty server.
    fn peer(&mut self, peer: &Peer, mode: &str, options: &str) -> Result<Value, Failure> {
        let url = self.server.fresh()?;
        let answer = self.peers.run(peer.name, mode, options, &url)?;
        say(&format!("{} {mode} {options}: {}", peer.name, in_short(&answer)));
        Ok(answer)
    }

    /// One measurement of Windlass on an empty server; none when this build has no such store.
    fn ours<T>(
        &mut self,
        profile: &str,
        options: &str,
        take: impl FnOnce(&Value) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let Some(windlass) = self.windlass else { return Ok(None) };
        let url = self.server.fresh()?;
        let answer = windlass.profile(profile, options, &url)?;
        say(&format!("windlass {profile} {options}: {}", in_short(&answer)));
        take(&answer).map(Some)
    }

    /// Bytes of the server's log for each of the jobs that were measured since.
    fn written_since(&self, before: Option<u64>, answer: &Value) -> Result<Option<f64>, Failure> {
        let jobs = figure(answer, "jobs")?;
        let written = before.zip(self.server.log_bytes()?).map(|(before, now)| now.saturating_sub(before));
        Ok(written.map(|bytes| bytes as f64 / jobs))
    }
}

/// The table's rows; where there are several peers, the goal is set by the fastest of them.
fn rows(kind: Kind, peers: &[Peer], theirs: Vec<Side>, ours: &Side) -> Vec<Row> {
    let fastest_of =
        |runs: fn(&Side) -> Runs| theirs.iter().filter_map(|side| median(&runs(side))).fold(0.0, f64::max);
    let (fastest, fastest_mix) = (fastest_of(Side::in_turn), fastest_of(|side| side.mix.clone()));
    let mut rows = Vec::new();
    for (peer, side) in peers.iter().zip(theirs) {
        let is_fastest = |runs: &Runs, most: f64| median(runs).is_some_and(|speed| speed >= most);
        let in_turn = side.in_turn();
        let goals = Goals::of(kind, is_fastest(&in_turn, fastest));
        let mix_goal = Goals::of(kind, is_fastest(&side.mix, fastest_mix)).lifecycles;
        let mut add = |what, unit, better, theirs: Runs, ours: &Runs, goal| {
            if !theirs.is_empty() || !ours.is_empty() {
                let (server, peer) = (kind.name(), peer.name);
                rows.push(Row { server, what, peer, unit, better, theirs, ours: ours.clone(), goal });
            }
        };
        let (higher, lower) = (Better::Higher, Better::Lower);
        add("lifecycles, steady mix", "/s", higher, side.mix.clone(), &ours.mix, mix_goal);
        add("the same, ours by calls of 100", "/s", higher, side.mix, &ours.calls, mix_goal);
        add("lifecycles, enqueue then drain", "/s", higher, in_turn, &ours.in_turn(), goals.lifecycles);
        add("enqueue, batch 100", "/s", higher, side.enqueue_100, &ours.enqueue_100, None);
        add("enqueue, batch 1,000", "/s", higher, side.enqueue_1000, &ours.enqueue_1000, None);
        add("drain through workers", "/s", higher, side.drain, &ours.drain, None);
        add("enqueue to handler at 200/s, p50", " ms", lower, side.p50_ms, &ours.p50_ms, None);
        add("enqueue to handler at 200/s, p99", " ms", lower, side.p99_ms, &ours.p99_ms, goals.p99_ms);
        add(waiting_name(kind), " B", lower, side.waiting_bytes, &ours.waiting_bytes, goals.waiting_bytes);
        add("WAL of a lifecycle", " B", lower, side.log_bytes, &ours.log_bytes, goals.log_bytes);
    }
    rows
}

fn waiting_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Redis => "memory of a waiting job",
        Kind::Postgres => "disk of a waiting job",
    }
}

/// What Windlass sets out to reach on a server.
#[derive(Default)]
struct Goals {
    lifecycles: Option<Goal>,
    p99_ms: Option<Goal>,
    waiting_bytes: Option<Goal>,
    log_bytes: Option<Goal>,
}

impl Goals {
    fn of(kind: Kind, is_fastest: bool) -> Self {
        match kind {
            _ if !is_fastest => Self::default(),
            Kind::Redis => Self {
                lifecycles: Some(Goal::Ratio { reach: 4.0, least: 2.5 }),
                p99_ms: Some(Goal::Figure { reach: 0.8, least: 2.0 }),
                waiting_bytes: Some(Goal::Figure { reach: 400.0, least: 480.0 }),
                log_bytes: None,
            },
            Kind::Postgres => Self {
                lifecycles: Some(Goal::Ratio { reach: 1.5, least: 1.0 }),
                p99_ms: None,
                waiting_bytes: None,
                log_bytes: Some(Goal::Figure { reach: 1_024.0, least: 1_434.0 }),
            },
        }
    }
}

fn figure(answer: &Value, name: &str) -> Result<f64, Failure> {
    let value = answer.get(name).and_then(Value::as_f64);
    value.ok_or_else(|| Failure::plain(format!("bench: no `{name}` in {answer}")))
}

/// What a measurement came to, for those who watch.
fn in_short(answer: &Value) -> String {
    let shown = |name: &str, unit: &str| {
        answer.get(name).and_then(Value::as_f64).map(|value| format!("{}{unit}", number(value)))
    };
    match (answer.get("rate").is_some(), shown("p50_ms", " ms"), shown("p99_ms", " ms")) {
        (true, Some(p50), Some(p99)) => format!("p50 {p50}, p99 {p99}"),
        _ => shown("per_s", "/s").unwrap_or_default(),
    }
}

/// Progress goes to stderr: stdout holds the result alone.
fn say(text: &str) {
    eprintln!("    {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(rate: f64) -> Side {
        let all = || vec![rate; 3];
        Side { enqueue_100: all(), enqueue_1000: all(), drain: all(), mix: all(), ..Side::default() }
    }

    #[test]
    fn the_peer_that_is_fastest_at_something_sets_the_goal_for_it() {
        let mixes_best = Side { mix: vec![50.0; 3], ..side(20.0) };
        let rows = rows(Kind::Postgres, Kind::Postgres.peers(), vec![mixes_best, side(40.0)], &side(60.0));
        let judged: Vec<(&str, &str)> =
            rows.iter().filter(|row| row.goal.is_some()).map(|row| (row.peer, row.what)).collect();
        assert_eq!(
            judged,
            [
                ("pg-boss", "lifecycles, steady mix"),
                ("pg-boss", "the same, ours by calls of 100"),
                ("graphile-worker", "lifecycles, enqueue then drain")
            ]
        );
    }

    #[test]
    fn what_neither_side_measured_has_no_row() {
        let ours = Side { mix: vec![], ..side(60.0) };
        let rows = rows(Kind::Redis, Kind::Redis.peers(), vec![side(20.0)], &ours);
        assert!(rows.iter().all(|row| !row.what.starts_with("WAL")), "{rows:?}");
        let mix = &rows[0];
        assert_eq!((mix.what, mix.ratio()), ("lifecycles, steady mix", None));
    }

    #[test]
    fn a_figure_that_is_missing_is_a_failure_and_not_a_zero() {
        let answer: Value = serde_json::from_str(r#"{"per_s": 12.5}"#).expect("JSON");
        assert_eq!(figure(&answer, "per_s").ok(), Some(12.5));
        assert!(figure(&answer, "p50_ms").is_err());
    }
}
