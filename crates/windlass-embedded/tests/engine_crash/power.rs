//! Power cuts: after any operation of the disk, with any part of what was not synced.

use crate::dump::{difference, dump};
use crate::script::{self, Dice, SHORT_SEGMENT, Script, Told, block_on, oldest_allowed, options, tell};
use std::sync::Arc;
use windlass_core::job::{OnParent, Parent};
use windlass_core::store::{Admin, Claim, Queue, Settle};
use windlass_core::{JobId, Kind, NewJob, Time, WorkerId};
use windlass_embedded::EmbeddedStore;
use windlass_embedded::clock::ManualClock;
use windlass_embedded::disk::{Disk, Fate, SimDisk, Unsynced};

/// Steps of a script: enough for every kind, and for a few segments.
const STEPS: u64 = 110;
/// Moments at which the power goes, spread over the script by chance; `WINDLASS_POWER_CUTS` sets another number.
const CUTS: u64 = 120;
/// Combinations of what reached the disk that are tried for each moment.
const FATES: u64 = 4;
const SEED: u64 = 0x706f_7765_7200;

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).map_or(or, |text| text.parse().unwrap())
}

/// A fate for each operation; the first combinations are the two whole ones.
fn fates(unsynced: &[Unsynced], number: u64, dice: &mut Dice) -> Vec<Fate> {
    let torn = |operation: &Unsynced, dice: &mut Dice| {
        let Unsynced::Write { bytes, .. } = operation else {
            return if dice.roll(2) == 0 { Fate::Kept } else { Fate::Lost };
        };
        let somewhere = dice.roll(*bytes as u64 + 1) as usize;
        match dice.roll(4) {
            0 => Fate::Kept,
            1 => Fate::Lost,
            2 => Fate::Prefix(somewhere),
            _ => Fate::Suffix(somewhere / 512 * 512),
        }
    };
    match number {
        0 => vec![Fate::Lost; unsynced.len()],
        1 => vec![Fate::Kept; unsynced.len()],
        _ => unsynced.iter().map(|operation| torn(operation, dice)).collect(),
    }
}

/// Runs the script until the power goes; answers the steps that were acknowledged.
fn run_until_cut(disk: &SimDisk, seed: u64, operations: u64) -> usize {
    disk.power_off_after(operations);
    let Ok(mut script) = Script::open(Arc::new(disk.clone()), seed, SHORT_SEGMENT) else { return 0 };
    block_on(async {
        for number in 0..STEPS {
            if script.step(number).await.is_err() {
                return number as usize;
            }
        }
        STEPS as usize
    })
}

fn reopen(disk: &SimDisk, at: Time) -> EmbeddedStore {
    let options = options(ManualClock::new(at), disk.changes() + 1);
    EmbeddedStore::on_disk(Arc::new(disk.clone()), options).unwrap_or_else(|why| panic!("{why}"))
}

/// What came back is one of the states that may come back, stays so over further crashes, and takes new work.
fn check_crashed(crashed: &SimDisk, told: &[Told], acknowledged: usize, dice: &mut Dice) {
    let at = told[acknowledged].at;
    let store = reopen(crashed, at);
    let text = block_on(dump(&store)).unwrap();
    let oldest = oldest_allowed(told, acknowledged);
    let newest = (acknowledged + 1).min(told.len() - 1);
    assert!(
        told[oldest..=newest].iter().any(|told| told.text == text),
        "{acknowledged} steps were acknowledged, and what came back is none of the states {oldest} to {newest}:\n{}",
        difference(&told[acknowledged].text, &text),
    );
    drop(store);
    let unsynced = crashed.unsynced();
    let again = crashed.crash(&fates(&unsynced, 2, dice));
    let store = reopen(&again, at);
    let text_again = block_on(dump(&store)).unwrap();
    assert_eq!(text_again, text, "a second crash: {}", difference(&text, &text_again));
    let id = JobId::named(at, "after the crash");
    let job = NewJob::new(id, script::queue("late"), Kind::new("kind").unwrap(), *b"new");
    block_on(store.enqueue(vec![job], false, None)).unwrap().remove(0).unwrap();
    let third = again.crash(&[]);
    drop(store);
    let store = reopen(&third, at);
    assert!(
        block_on(store.get(id)).unwrap().is_some(),
        "an enqueue that was acknowledged after a crash is lost"
    );
}

#[test]
fn a_power_cut_anywhere_keeps_every_acknowledged_step_and_leaves_a_state_of_the_script() {
    let (seed, cuts) = (number("WINDLASS_SEED", SEED), number("WINDLASS_POWER_CUTS", CUTS));
    println!("WINDLASS_SEED={seed} WINDLASS_POWER_CUTS={cuts}");
    let whole = SimDisk::new();
    let told = block_on(tell(Arc::new(whole.clone()), seed, SHORT_SEGMENT, STEPS, || ()));
    let operations = whole.changes();
    assert!(whole.list().unwrap().len() > 3, "the script must go over several segments");
    let mut dice = Dice::new(seed);
    let mut states = 0;
    for cut in 0..cuts {
        // The first cuts go through the opening one operation after the other.
        let after = if cut < 24 { cut } else { dice.roll(operations) };
        let disk = SimDisk::new();
        let acknowledged = run_until_cut(&disk, seed, after);
        let unsynced = disk.unsynced();
        for number in 0..FATES {
            let crashed = disk.crash(&fates(&unsynced, number, &mut dice));
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                check_crashed(&crashed, &told, acknowledged, &mut dice.clone());
            }));
            assert!(
                checked.is_ok(),
                "WINDLASS_SEED={seed}, cut after {after} of {operations}, fates {number}"
            );
            states += 1;
        }
    }
    println!("{states} crash states of {operations} operations, {} steps", told.len() - 1);
}

/// Rule h: no worker gets a job whose enqueue a power cut can take back, nor a child whose parent may run again.
#[test]
fn no_claim_is_answered_before_what_it_depends_on_is_durable() {
    let seed = number("WINDLASS_SEED", SEED);
    println!("WINDLASS_SEED={seed}");
    let mut answered = 0;
    let mut refused = 0;
    for operations in 0.. {
        let disk = SimDisk::new();
        let Ok(script) = Script::open(Arc::new(disk.clone()), seed, SHORT_SEGMENT) else {
            unreachable!("no fault is planned")
        };
        disk.power_off_after(operations);
        let run = block_on(race(&script.store));
        drop(script);
        // Nothing that was not synced survives: the worst that a cut can do to an answer given too early.
        let crashed = disk.crash(&[]);
        let store = reopen(&crashed, script::START);
        block_on(async {
            for job in &run.claimed {
                let known = store.get(*job).await.unwrap();
                assert!(
                    known.is_some(),
                    "after {operations}: job {job} runs, and its enqueue was taken back"
                );
                answered += 1;
            }
            for (child, parent) in &run.children {
                let parent = store.get(*parent).await.unwrap().expect("the parent was claimed");
                let ended = parent.view.state == windlass_core::State::Completed;
                assert!(ended, "after {operations}: child {child} runs, and its parent may run again");
            }
        });
        refused += u64::from(!run.finished);
        if run.finished {
            break;
        }
    }
    assert!(answered > 20 && refused > 10, "{answered} claims were answered, {refused} runs were cut");
}

#[derive(Default)]
struct Race {
    claimed: Vec<JobId>,
    children: Vec<(JobId, JobId)>,
    finished: bool,
}

/// Enqueues and claims that are under way at the same time, so that both stand in one batch of the journal.
async fn race(store: &EmbeddedStore) -> Race {
    let mut race = Race::default();
    let q = script::queue("q");
    let kind = Kind::new("kind").unwrap();
    for round in 0..8_u32 {
        let id = |what: &str| JobId::named(script::START, &format!("{what}-{round}"));
        let (parent, child) = (id("parent"), id("child"));
        let after = vec![Parent { id: parent, on: OnParent::Success }];
        let jobs = vec![
            NewJob::new(parent, q.clone(), kind.clone(), *b"{}"),
            NewJob { parents: after, ..NewJob::new(child, q.clone(), kind.clone(), *b"{}") },
        ];
        let want = || Claim {
            wants: vec![(q.clone(), 1)],
            worker: WorkerId(1),
            nonce: u64::from(round) + 1,
            ..Claim::default()
        };
        let (enqueued, first) = tokio::join!(store.enqueue(jobs, true, None), store.claim(want(), None));
        let (Ok(_), Ok(first)) = (enqueued, &first) else {
            race.claimed
                .extend(first.iter().flat_map(|claimed| claimed.jobs.iter().map(|job| job.lease.job)));
            return race;
        };
        let Some(job) = first.jobs.first() else { panic!("the job that was enqueued before is there") };
        race.claimed.push(job.lease.job);
        let done = Settle::Complete { lease: job.lease, result: None, then: Vec::new() };
        let settle = Claim { settle_first: vec![done], worker: WorkerId(1), nonce: 9, ..Claim::default() };
        let (settled, second) = tokio::join!(store.claim(settle, None), store.claim(want(), None));
        if let Ok(second) = &second {
            race.children.extend(second.jobs.iter().map(|job| (job.lease.job, parent)));
            race.claimed.extend(second.jobs.iter().map(|job| job.lease.job));
        }
        let (Ok(_), Ok(second)) = (settled, second) else { return race };
        for job in second.jobs {
            let done = Settle::Complete { lease: job.lease, result: None, then: Vec::new() };
            let settle =
                Claim { settle_first: vec![done], worker: WorkerId(1), nonce: 9, ..Claim::default() };
            if store.claim(settle, None).await.is_err() {
                return race;
            }
        }
    }
    race.finished = true;
    race
}
