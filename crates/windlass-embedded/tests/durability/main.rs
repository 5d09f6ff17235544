//! Section 5 of `docs/contract.md`: what an acknowledgement survives, who owns a directory, and how a store ends.
//!
//! The certificate holds for every store; these rules are about a store that lives in files of its own.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests reach directories as users do")]

#[path = "../place/mod.rs"]
mod place;

use crate::place::Spot;
use windlass_core::job::State::{Blocked, Cancelled, Completed, Ready, Running};
use windlass_core::store::{AckLevel, EnqueueStatus, Filter, Signal};
use windlass_core::{JobId, NewJob, Rejection};
use windlass_embedded::disk::{FileDisk, SimDisk};
use windlass_embedded::{Ack, EmbeddedOptions, EmbeddedStore, OpenError};
use windlass_testkit::subject::*;
use windlass_testkit::{Case, Host, Place, START, Subject, compare_with_model, dump};

#[test]
fn every_store_states_what_its_acknowledgements_survive() {
    let s = Spot::memory().subject();
    let info = s.wait(s.store().info());
    assert_eq!((info.store.as_str(), info.ack_level), ("memory", AckLevel::None));
    let spot = Spot::directory();
    let mut s = spot.subject();
    let info = s.wait(s.store().info());
    assert_eq!((info.store.as_str(), info.ack_level), ("embedded", AckLevel::Power));
    spot.set_ack(Ack::Process);
    s.restart();
    assert_eq!(s.wait(s.store().info()).ack_level, AckLevel::Process);
}

#[test]
fn a_directory_has_one_owner_at_a_time() {
    let spot = Spot::directory();
    let mut s = spot.subject();
    let second = EmbeddedStore::open(&spot.path(), spot.options());
    let Err(OpenError::Locked(why)) = second else { panic!("{second:?}") };
    assert!(why.to_string().contains(&std::process::id().to_string()), "it names the owner: {why}");
    let id = s.put(s.job("q"));
    s.restart();
    assert_eq!(s.state(id), Ready);
}

#[test]
fn a_directory_that_is_not_there_is_made_only_if_asked_for() {
    let s = Spot::directory();
    let missing = s.path().join("missing");
    let answer = EmbeddedStore::open(&missing, EmbeddedOptions { create: false, ..s.options() });
    assert!(matches!(answer, Err(OpenError::Directory(_))), "{answer:?}");
    assert!(!missing.exists());
    let made = EmbeddedStore::open(&missing, s.options()).expect("made");
    drop(made);
    assert!(EmbeddedStore::open(&missing, EmbeddedOptions { create: false, ..s.options() }).is_ok());
}

#[test]
fn a_closed_store_refuses_everything_and_says_so() {
    let s = Spot::directory().subject();
    s.put(s.job("q"));
    s.wait(s.store().close());
    let answer = s.try_wait(s.store().enqueue(vec![s.job("q")], false, None));
    let fault = answer.expect_err("it is closed");
    assert!(fault.to_string().contains("closed"), "{fault}");
    assert!(!fault.retryable);
    assert!(s.try_wait(s.store().info()).is_err());
    assert!(
        s.try_wait(s.store().close()).is_ok() || s.try_wait(s.store().close()).is_err(),
        "and does not hang"
    );
}

#[test]
fn a_store_that_closes_tells_those_who_wait() {
    let s = Spot::memory().subject();
    let mut waiting = s.watch(WORKER, "q", 1);
    assert!(!waiting.has_answered());
    s.wait(s.store().close());
    assert_eq!(waiting.answer(), Signal::Drain);
}

/// A subject on a disk that forgets what was not synced.
struct Crashing {
    disk: SimDisk,
    s: Subject,
}

impl Crashing {
    fn new() -> Self {
        let disk = SimDisk::new();
        Self { s: Spot::disk(disk.clone(), START).subject(), disk }
    }

    /// The store that a power cut at this moment leaves behind, if the disk loses all it may.
    fn after_power_cut(&self) -> Subject {
        Spot::disk(self.disk.crash(&[]), self.s.now()).subject()
    }
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_power_cut_at_any_moment() {
    let c = Crashing::new();
    let parent = c.s.put(c.s.job("parents"));
    assert_eq!(c.after_power_cut().state(parent), Ready);
    let child = c.s.put(NewJob { parents: after(&[parent]), ..c.s.job("q") });
    assert_eq!(c.after_power_cut().state(child), Blocked);
    let held = c.s.take("parents");
    let follow_up = c.s.job("next");
    let then = vec![follow_up.clone()];
    c.s.end(windlass_core::store::Settle::Complete { lease: held.lease, result: Some(vec![1]), then })
        .unwrap();
    let after = c.after_power_cut();
    assert_eq!([parent, child, follow_up.id].map(|id| after.state(id)), [Completed, Ready, Ready]);
    assert_eq!(after.end(complete(&held.lease)), Ok(()), "a second acknowledgement after the cut is ok");
    c.s.cancel(child).unwrap();
    assert_eq!(c.after_power_cut().state(child), Cancelled);
    c.s.pause("next", true);
    assert!(c.after_power_cut().claim("next", 1).is_empty());
    let version = c.s.wait(c.s.store().set_meta("k".into(), b"v".to_vec(), 0)).unwrap();
    let after = c.after_power_cut();
    assert_eq!(after.wait(after.store().meta("k".into())), (b"v".to_vec(), version));
    c.s.delete(follow_up.id).unwrap();
    let after = c.after_power_cut();
    assert_eq!(after.find(follow_up.id), None);
    assert_eq!(after.offer(follow_up).map(|a| a.status), Ok(EnqueueStatus::Known));
}

#[test]
fn no_token_is_given_twice_though_a_power_cut_takes_claims_back() {
    let c = Crashing::new();
    c.s.put_many("q", 20);
    let mut last = 0;
    for _ in 0..4 {
        let held = c.s.claim("q", 2);
        last = held.iter().map(|job| job.lease.token.counter).max().unwrap_or(last).max(last);
        let after = c.after_power_cut();
        for job in after.claim("q", 20) {
            assert!(job.lease.token.counter > last, "the counter grows over the cut");
        }
        for job in &held {
            // The cut may have un-counted the claim, never have given it to another under the same token.
            let state = after.state(job.lease.job);
            assert!(matches!(state, Ready | Running));
        }
    }
}

#[test]
fn an_event_that_was_shown_is_there_after_a_power_cut() {
    let c = Crashing::new();
    for _ in 0..5 {
        c.s.put_many("q", 3);
        c.s.claim("q", 1);
        let shown = c.s.events();
        let after = c.after_power_cut().events();
        assert!(after.len() >= shown.len());
        assert_eq!(after[..shown.len()], shown);
    }
}

#[test]
fn a_power_cut_during_recovery_changes_nothing() {
    let c = Crashing::new();
    c.s.put_many("q", 30);
    c.s.claim("q", 9).iter().for_each(|job| c.s.complete(job));
    let mut disk = c.disk.crash(&[]);
    let want = dump(&Spot::disk(disk.fork(), c.s.now()).subject());
    for _ in 0..5 {
        drop(Spot::disk(disk.clone(), c.s.now()).subject());
        disk = disk.crash(&[]);
        let s = Spot::disk(disk.clone(), c.s.now()).subject();
        assert_eq!(dump(&s), want);
    }
}

#[test]
fn children_that_a_parents_step_left_to_upkeep_are_let_go_though_the_process_ends_there() {
    for end in ["complete", "kill", "retry"] {
        let c = Crashing::new();
        let parent = c.s.put(c.s.job("parents"));
        let children: Vec<JobId> =
            c.s.put_all((0..1_500).map(|_| NewJob { parents: after(&[parent]), ..c.s.job("q") }).collect());
        let held = c.s.take("parents");
        match end {
            "complete" => c.s.complete(&held),
            "kill" => c.s.kill(&held),
            _ => {
                c.s.kill(&held);
                c.s.upkeep();
                c.s.retry(parent).unwrap();
            }
        }
        let after = c.after_power_cut();
        after.upkeep();
        let want = match end {
            "complete" => Ready,
            "kill" => Cancelled,
            _ => Blocked,
        };
        let left = children.iter().filter(|id| after.state(**id) != want).count();
        assert_eq!(left, 0, "after {end}, {left} children are not {want}");
    }
}

#[test]
fn a_disk_that_is_full_refuses_new_work_and_lets_running_work_end() {
    let c = Crashing::new();
    let ids = c.s.put_many("q", 10);
    let held = c.s.claim("q", 4);
    c.disk.limit_space(Some(0));
    let mut refused = 0;
    // Whatever room the segments have left may be used up first.
    for _ in 0..400 {
        match c.s.offer(NewJob { payload: vec![1; 64 << 10], ..c.s.job("q") }) {
            Err(Rejection::OutOfSpace) => refused += 1,
            other => assert!(other.is_ok(), "{other:?}"),
        }
        if refused > 3 {
            break;
        }
    }
    assert!(refused > 0, "a full disk is noticed");
    assert!(c.s.wait(c.s.store().info()).space_low);
    c.s.complete(&held[0]);
    c.s.fail(&held[1]);
    c.s.snooze(&held[2], 1_000);
    assert!(c.s.beat(&held[3].lease).is_ok());
    let then = vec![c.s.job("next")];
    let end = windlass_core::store::Settle::Complete { lease: held[3].lease, result: None, then };
    assert_eq!(c.s.end(end.clone()), Err(Rejection::OutOfSpace), "no follow-ups");
    assert!(c.s.beat(&held[3].lease).is_ok(), "the lease stays renewable");
    c.s.cancel(ids[9]).unwrap();
    c.disk.limit_space(None);
    c.s.advance(60_000);
    c.s.upkeep();
    assert!(c.s.offer(c.s.job("q")).is_ok(), "room is noticed too");
    assert!(!c.s.wait(c.s.store().info()).space_low);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    use windlass_embedded::disk::Operation;
    let c = Crashing::new();
    let acknowledged = c.s.put_many("q", 3);
    c.disk.fail_nth(Operation::Sync, 1, true);
    let fault =
        c.s.try_wait(c.s.store().enqueue(vec![c.s.job("q")], false, None)).expect_err("the sync failed");
    assert!(!fault.retryable, "{fault:?}");
    assert_eq!(fault.outcome, windlass_core::error::Outcome::Unknown);
    for _ in 0..3 {
        assert!(c.s.try_wait(c.s.store().enqueue(vec![c.s.job("q")], false, None)).is_err());
        assert!(c.s.try_wait(c.s.store().pause(queue("q"), true, None)).is_err());
    }
    let after = c.after_power_cut();
    assert!(acknowledged.iter().all(|id| after.state(*id) == Ready));
    assert!(after.list(&Filter::default()).len() >= 3);
}

/// Stores that give segments back as soon as they can.
struct Tight;

impl Host for Tight {
    fn name(&self) -> &'static str {
        "tight"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(Spot::directory().tight())
    }

    fn place_with_short_log(&self) -> Box<dyn Place> {
        Box::new(Spot::directory().tight().short_log())
    }

    fn exempts(&self, _: &Case) -> Option<&'static str> {
        None
    }
}

#[test]
fn a_store_that_gives_back_what_it_can_answers_like_any_other() {
    compare_with_model(&Tight);
}

/// The segments of a directory, oldest first.
fn segments(spot: &Spot) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(spot.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "wlj")).collect();
    segments.sort();
    segments
}

/// Each of them adds a segment and gives the engine the occasion to give others back.
const ROUNDS_MAX: usize = 50;

#[test]
fn a_segment_that_was_given_back_is_not_missed() {
    let spot = Spot::directory().tight();
    let mut s = spot.subject();
    let ids = s.put_many("q", 10);
    for _ in 0..6 {
        s.put_many("other", 1);
        s.restart();
    }
    let disk = || FileDisk::open(&spot.path(), false).unwrap();
    let gone = (0..ROUNDS_MAX).any(|_| {
        (0..100).for_each(|_| drop(s.put_many("other", 1)));
        s.abandon();
        let first = windlass_embedded::verify(&disk(), &mut |_, _| {}).unwrap().segments[0].sequence;
        s.open();
        first > 6
    });
    assert!(gone, "the segments of before have been given back");
    s.restart();
    assert!(ids.iter().all(|id| s.state(*id) == Ready));
}

#[test]
fn a_segment_that_is_missing_at_the_front_is_missed() {
    let spot = Spot::directory();
    let mut s = spot.subject();
    for _ in 0..4 {
        s.put_many("q", 1);
        s.restart();
    }
    s.abandon();
    let first = segments(&spot).remove(0);
    let disk = || FileDisk::open(&spot.path(), false).unwrap();
    assert_eq!(windlass_embedded::verify(&disk(), &mut |_, _| {}).unwrap().problems, []);
    std::fs::remove_file(first).unwrap();
    let problems = windlass_embedded::verify(&disk(), &mut |_, _| {}).unwrap().problems;
    assert!(problems[0].text.contains("segments 1 to 1 are missing"), "{problems:?}");
    let refused = EmbeddedStore::open(&spot.path(), spot.options()).expect_err("a job is gone").to_string();
    assert!(refused.contains("are missing") && refused.contains("doctor --repair"), "{refused}");
    let options = || EmbeddedOptions { without_missing_segments: true, ..spot.options() };
    drop(EmbeddedStore::open(&spot.path(), options()).expect("told to"));
    s.open();
    assert_eq!(s.counts("q").of(Ready), 3, "and then it is missed no more");
}

#[test]
fn a_store_that_is_only_looked_at_stays_as_it_is() {
    let spot = Spot::directory();
    let mut s = spot.subject();
    let ids = s.put_many("q", 3);
    s.restart();
    let before = segments(&spot);
    for _ in 0..5 {
        s.restart();
        assert!(
            ids.iter()
                .all(|id| s.state(*id) == Ready && s.reason(*id) == windlass_core::why::Reason::NoWorker)
        );
        let seen = dump(&s);
        assert_eq!((seen.jobs.len(), seen.events.len()), (3, 3));
        assert!(s.wait(s.store().info()).disk_bytes > 0);
        s.wait(s.store().close());
        assert_eq!(segments(&spot), before);
    }
    s.restart();
    assert_eq!(s.claim_ids("q", 9), ids, "and it works as ever");
    assert_ne!(segments(&spot), before);
}

/// Each of them uses up one of the segments in stock.
const STARTS_MAX: usize = 30;

#[test]
fn a_full_disk_lets_a_store_that_was_opened_again_be_looked_at_and_takes_work_when_there_is_room() {
    let disk = SimDisk::new();
    let mut s = Spot::disk(disk.clone(), START).subject();
    let ids = s.put_many("q", 3);
    disk.limit_space(Some(0));
    let refused = (0..STARTS_MAX).any(|_| {
        s.restart();
        s.try_wait(s.store().enqueue(vec![s.job("other")], false, s.at())).is_err()
    });
    assert!(refused, "there was no room to begin");
    for _ in 0..3 {
        assert!(ids.iter().all(|id| s.state(*id) == Ready), "it can be looked at");
        let answer = s.try_wait(s.store().claim(windlass_core::store::Claim::default(), s.at()));
        assert!(answer.expect_err("nothing can be written").retryable);
    }
    disk.limit_space(None);
    s.upkeep();
    assert_eq!(s.claim_ids("q", 9), ids, "and it works when there is room");
}
