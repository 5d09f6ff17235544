//! Real bugs of other queues, each as a case that would have found it. The numbers are those of the list in
//! `docs/real-bugs.md`; those that need a disk, a server or a network that fails stand in the tests of their store.

use crate::host::{End, Host};
use crate::subject::*;
use windlass_core::bounds::LEASE_MS_DEFAULT;
use windlass_core::event::EventType;
use windlass_core::job::State::{Cancelled, Completed, Dead, Ready, Running, Scheduled};
use windlass_core::job::{OnConflict, Unique, UniqueScope};
use windlass_core::name::UniqueKey;
use windlass_core::queue::QueueSettings;
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::EnqueueStatus::{Created, Known};
use windlass_core::store::{Hello, Hold, ReleaseReason, ScheduleSpec, Settle};
use windlass_core::{JobId, NewJob, Rejection, WorkerId};

cases![
    case_01_a_job_that_completes_while_it_is_being_rescued_stays_completed,
    case_02_a_zombies_token_never_matches_a_later_holders restarts,
    case_03_an_acknowledgement_that_comes_two_attempts_late_changes_nothing,
    case_04_a_lease_that_ends_twice_frees_its_slot_once,
    case_05_no_way_out_of_a_job_leaks_its_slot,
    case_06_a_stale_failure_leaves_no_trace_on_the_running_attempt,
    case_07_a_job_ten_times_longer_than_its_lease_runs_once,
    case_08_a_worker_that_comes_back_under_its_name_does_not_keep_its_old_leases_alive restarts,
    case_09_one_job_that_cannot_take_its_key_holds_up_no_rescue,
    case_10_many_jobs_that_cannot_go_on_hide_none_behind_them,
    case_15_a_request_that_is_sent_twice_is_done_once,
    case_16_claims_go_on_after_every_restart restarts,
    case_18_a_kill_around_a_promotion_loses_no_job restarts,
    case_19_a_delay_longer_than_the_lease_is_waited_for_once,
    case_20_a_child_is_let_go_or_cancelled_by_every_end_of_its_parent,
    case_22_a_worker_that_lacks_the_kind_never_discards_the_job,
    case_23_a_tick_makes_one_job_however_many_upkeeps_see_it,
    case_24_a_claimed_job_is_given_to_nobody_else_and_not_again_to_its_worker,
];

/// Lets a lease of the default length run out.
fn run_out(s: &Subject) {
    s.advance(LEASE_MS_DEFAULT + 1);
}

/// The next attempt of a job whose lease ran out.
fn again(s: &Subject, id: JobId) -> windlass_core::store::ClaimedJob {
    s.run_now(id).unwrap();
    s.take("q")
}

fn case_01_a_job_that_completes_while_it_is_being_rescued_stays_completed(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 50);
    let held = s.claim("q", 50);
    // The deadline passes; half of them complete before anybody looks, half are rescued first.
    s.pass(LEASE_MS_DEFAULT + 1);
    let done = s.settle(held.iter().take(25).map(|job| complete(&job.lease)).collect());
    s.upkeep();
    for (id, answer) in ids.iter().zip(&done) {
        let completed = s.state(*id) == Completed;
        assert_eq!(completed, answer.is_ok(), "an answered completion stands, a refused one changed nothing");
    }
    s.advance(3_600_000);
    assert!(ids.iter().zip(&done).all(|(id, answer)| answer.is_err() || s.state(*id) == Completed));
    assert!(ids[25..].iter().all(|id| s.state(*id) == Ready && s.get(*id).view.losses == 1));
}

fn case_02_a_zombies_token_never_matches_a_later_holders(host: &dyn Host) {
    let mut s = Subject::new(host);
    let id = s.put(s.job("q"));
    let mut old = vec![s.take("q").lease];
    run_out(&s);
    old.push(again(&s, id).lease);
    s.restart();
    run_out(&s);
    old.push(again(&s, id).lease);
    run_out(&s);
    assert_eq!(s.state(id), Dead, "lost three times");
    s.retry(id).unwrap();
    let current = s.take("q");
    for lease in &old {
        for settle in
            [complete(lease), fail(lease), snooze(lease, 1), release(lease, ReleaseReason::Unstarted)]
        {
            assert_eq!(s.end(settle), Err(Rejection::Stale));
        }
        assert_eq!(s.beat(lease), Err(Rejection::Stale));
    }
    assert_eq!(s.state(id), Running);
    s.complete(&current);
}

fn case_03_an_acknowledgement_that_comes_two_attempts_late_changes_nothing(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { retry: fixed(1, 9), ..QueueSettings::default() });
    let id = s.put(s.job("q"));
    let first = s.take("q");
    run_out(&s);
    let second = again(&s, id);
    s.fail(&second);
    s.advance(1);
    let third = s.take("q");
    assert_eq!(s.end(complete(&first.lease)), Err(Rejection::Stale));
    assert_eq!((s.state(id), s.get(id).view.attempt), (Running, 3));
    s.complete(&third);
}

fn case_04_a_lease_that_ends_twice_frees_its_slot_once(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", limited(at_once(1)));
    s.set_limit("slot", at_once(1));
    let ids = s.put_all((0..8).map(|_| NewJob { limits: uses(&[("slot", 1)]), ..s.job("q") }).collect());
    for _ in 0..2 {
        let held = s.claim("q", 8);
        assert_eq!(held.len(), 1, "one at a time");
        // Its heartbeats fail to arrive; it is given up while it works on, and then it finishes.
        run_out(&s);
        assert_eq!(s.limit_info("slot").in_use, 0);
        let next = s.claim("q", 8);
        assert_eq!(next.len(), 1);
        assert_eq!(s.end(complete(&held[0].lease)), Err(Rejection::Stale));
        assert!(s.claim("q", 8).is_empty(), "the slot is taken still");
        assert_eq!(s.limit_info("slot").in_use, 1);
        s.complete(&next[0]);
    }
    assert_eq!(ids.iter().filter(|id| s.state(**id) == Running).count(), 0);
}

fn case_05_no_way_out_of_a_job_leaks_its_slot(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slot", at_once(20));
    let rounds = 12;
    for round in 0..rounds {
        let id = s.put(NewJob { limits: uses(&[("slot", 1)]), ..s.job("q") });
        let held = s.take("q");
        match round {
            0 => s.complete(&held),
            1 => s.fail(&held),
            2 => s.kill(&held),
            3 => s.snooze(&held, 10),
            4 => s.release(&held),
            5 => s.end(release(&held.lease, ReleaseReason::NoHandler)).unwrap(),
            6 => {
                let holds = Some(Hold::Group);
                let later = Settle::Snooze { lease: held.lease, delay_ms: 5, reason: "busy".into(), holds };
                s.end(later).unwrap();
            }
            7 => run_out(&s),
            8 => {
                s.call_off(id);
                s.fail(&held);
            }
            9 => {
                s.call_off(id);
                s.advance(60_001);
            }
            10 => {
                s.kill(&held);
                s.delete(id).unwrap();
            }
            _ => {
                s.fail(&held);
                s.call_off(id);
            }
        }
        assert_eq!(s.limit_info("slot").in_use, 0, "round {round}");
        // What waits for another try is not to be met by the next round.
        let waits = s.find(id).is_some_and(|job| !job.view.state.is_terminal());
        if waits {
            s.call_off(id);
        }
        s.advance(10);
    }
    let all = s.put_all((0..30).map(|_| NewJob { limits: uses(&[("slot", 1)]), ..s.job("q") }).collect());
    assert_eq!((all.len(), s.claim("q", 30).len()), (30, 20), "all slots are there");
}

fn case_06_a_stale_failure_leaves_no_trace_on_the_running_attempt(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let zombie = s.take("q");
    run_out(&s);
    let current = again(&s, id);
    let before = s.get(id);
    let error = error("from the dead");
    let fault = Settle::Fail { lease: zombie.lease, error, retry_in_ms: None, fatal: true };
    assert_eq!(s.end(fault), Err(Rejection::Stale));
    assert_eq!(s.get(id), before, "not even the error text");
    s.complete(&current);
}

fn case_07_a_job_ten_times_longer_than_its_lease_runs_once(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    for _ in 0..100 {
        s.advance(LEASE_MS_DEFAULT / 10);
        assert!(s.beat(&held.lease).is_ok());
        assert!(s.claim("q", 1).is_empty());
    }
    s.complete(&held);
    assert_eq!((s.get(id).view.attempt, s.get(id).view.losses), (1, 0));
}

fn case_08_a_worker_that_comes_back_under_its_name_does_not_keep_its_old_leases_alive(host: &dyn Host) {
    let mut s = Subject::new(host);
    let hello =
        |worker| Hello { worker, host: "pod-7".into(), version: "1".into(), queues: vec![(queue("q"), 1)] };
    let id = s.put(s.job("q"));
    s.wait(s.store().hello(hello(WorkerId(1)), s.at()));
    let lost = s.ask(WorkerId(1), vec![], &[("q", 1)]).jobs.remove(0);
    s.restart();
    // The replacement says hello, works and beats for its own jobs for longer than a lease.
    s.wait(s.store().hello(hello(WorkerId(2)), s.at()));
    for _ in 0..8 {
        s.wait(s.store().hello(hello(WorkerId(2)), s.at()));
        s.advance(5_000);
    }
    assert_ne!(s.state(id), Running, "nobody beats for the first one's lease");
    assert_eq!(s.beat(&lost.lease), Err(Rejection::Stale));
    s.wait(s.store().bye(WorkerId(1), s.at()));
    assert_eq!(again(&s, id).lease.job, id);
}

fn case_09_one_job_that_cannot_take_its_key_holds_up_no_rescue(host: &dyn Host) {
    for poison in [0, 7, 19] {
        let s = Subject::new(host);
        let unique = |scope| {
            let key = UniqueKey::new("only-one").unwrap();
            Some(Unique { key, scope, on_conflict: OnConflict::Existing })
        };
        let jobs: Vec<NewJob> = (0..20)
            .map(|at| NewJob {
                unique: if at == poison { unique(UniqueScope::UntilStart) } else { None },
                ..s.job("q")
            })
            .collect();
        let ids = s.put_all(jobs);
        let held = s.claim("q", 20);
        assert_eq!(held.len(), 20);
        // Another one has the key now, so the first cannot have it back.
        let other = s.put(NewJob { unique: unique(UniqueScope::WhileLive), ..s.job("other") });
        run_out(&s);
        for id in &ids {
            assert_ne!(s.state(*id), Running, "{poison}: every lease is given up");
        }
        s.advance(3_600_000);
        assert_eq!(s.claim("q", 20).len(), 20, "{poison}: and every job comes back");
        assert_eq!(s.state(other), Ready);
    }
}

fn case_10_many_jobs_that_cannot_go_on_hide_none_behind_them(host: &dyn Host) {
    let s = Subject::new(host);
    s.pause("paused", true);
    s.set_limit("closed", at_once(1));
    let blocker = s.put(NewJob { limits: uses(&[("closed", 1)]), ..s.job("holder") });
    s.take("holder");
    let due = |name: &str| NewJob { delay_ms: Some(10), ..s.job(name) };
    s.put_all((0..1_500).map(|_| due("paused")).collect());
    s.put_all((0..1_500).map(|_| NewJob { limits: uses(&[("closed", 1)]), ..due("q") }).collect());
    let held = s.put_all((0..300).map(|_| s.job("lost")).collect());
    assert_eq!(s.claim("lost", 300).len(), 300);
    let last = s.put(due("q"));
    s.advance(10);
    assert_eq!(s.claim_ids("q", 5), [last]);
    run_out(&s);
    assert!(held.iter().all(|id| s.state(*id) != Running));
    assert_ne!(s.state(blocker), Completed);
}

fn case_15_a_request_that_is_sent_twice_is_done_once(host: &dyn Host) {
    let s = Subject::new(host);
    let job = s.job("q");
    assert_eq!(s.offer(job.clone()).unwrap().status, Created);
    assert_eq!(s.offer(job.clone()).unwrap().status, Known);
    let held = s.take("q");
    assert!(s.claim("q", 1).is_empty());
    let then = s.job("next");
    let done = || Settle::Complete { lease: held.lease, result: None, then: vec![then.clone()] };
    assert_eq!((s.end(done()), s.end(done())), (Ok(()), Ok(())));
    assert_eq!(s.offer(job).unwrap().status, Known);
    assert_eq!(s.claim_ids("next", 9), [then.id]);
    let completions = s.story(held.lease.job).into_iter().filter(|event| *event == EventType::Completed);
    assert_eq!(completions.count(), 1);
}

fn case_16_claims_go_on_after_every_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    let ids = s.put_many("q", 50);
    for (round, id) in ids.iter().enumerate() {
        s.reopen(if round % 2 == 0 { End::Quietly } else { End::Killed });
        let held = s.take("q");
        assert_eq!(held.lease.job, *id);
        s.complete(&held);
    }
}

fn case_18_a_kill_around_a_promotion_loses_no_job(host: &dyn Host) {
    let mut s = Subject::new(host);
    let ids = s.put_all((0..40).map(|i| NewJob { delay_ms: Some(10 + i), ..s.job("q") }).collect());
    for _ in 0..10 {
        s.pass(5);
        s.reopen(End::Killed);
    }
    s.upkeep();
    let mut claimed = s.claim_ids("q", 100);
    claimed.sort();
    assert_eq!(claimed, ids, "each once");
}

fn case_19_a_delay_longer_than_the_lease_is_waited_for_once(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(NewJob { delay_ms: Some(40 * LEASE_MS_DEFAULT), ..s.job("q") });
    for _ in 0..39 {
        s.advance(LEASE_MS_DEFAULT);
        assert!(s.claim("q", 1).is_empty());
        assert_eq!(s.state(id), Scheduled);
    }
    s.advance(LEASE_MS_DEFAULT);
    let held = s.take("q");
    s.snooze(&held, 40 * LEASE_MS_DEFAULT);
    s.advance(39 * LEASE_MS_DEFAULT);
    assert!(s.claim("q", 1).is_empty());
    s.advance(LEASE_MS_DEFAULT);
    s.complete(&s.take("q"));
    assert_eq!((s.get(id).view.attempt, s.get(id).view.losses), (2, 0));
}

fn case_20_a_child_is_let_go_or_cancelled_by_every_end_of_its_parent(host: &dyn Host) {
    let ends = ["complete", "kill", "cancel", "expire", "lost", "deleted after"];
    for end in ends {
        let s = Subject::new(host);
        s.set_queue("p", QueueSettings { retry: fixed(1, 1), ..QueueSettings::default() });
        let expires_at = (end == "expire").then(|| s.now().plus_ms(5));
        let parent = s.put(NewJob { expires_at, ..s.job("p") });
        let strict = s.put(NewJob { parents: after(&[parent]), ..s.job("q") });
        let always = s.put(NewJob { parents: after_any_end(&[parent]), ..s.job("q") });
        match end {
            "complete" | "deleted after" => s.complete(&s.take("p")),
            "kill" => s.kill(&s.take("p")),
            "cancel" => s.call_off(parent),
            "expire" => s.advance(6),
            _ => {
                for _ in 0..3 {
                    s.run_now(parent).unwrap();
                    s.take("p");
                    run_out(&s);
                }
            }
        }
        s.upkeep();
        let let_go = matches!(end, "complete" | "deleted after");
        let want = (if let_go { Ready } else { Cancelled }, Ready);
        assert_eq!((s.state(strict), s.state(always)), want, "{end}");
        if end == "deleted after" {
            s.drain("q");
            s.delete(parent).unwrap();
            assert_eq!((s.state(strict), s.state(always)), (Completed, Completed));
        }
    }
}

fn case_22_a_worker_that_lacks_the_kind_never_discards_the_job(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { retry: fixed(1, 1), ..QueueSettings::default() });
    let id = s.put(s.job("q"));
    for _ in 0..40 {
        let held = s.take("q");
        s.end(release(&held.lease, ReleaseReason::NoHandler)).unwrap();
        assert_eq!(s.state(id), Scheduled);
        s.advance(60_000);
    }
    let view = s.get(id).view;
    assert_eq!((view.state, view.failures, view.losses), (Ready, 0, 0));
    s.complete(&s.take("q"));
}

fn case_23_a_tick_makes_one_job_however_many_upkeeps_see_it(host: &dyn Host) {
    let s = Subject::new(host);
    let spec = ScheduleSpec {
        name: schedule("minutely"),
        timing: Timing::Interval { every_ms: 60_000, anchor: s.now() },
        overlap: Overlap::Allow,
        catch_up: CatchUp::All { max: 100 },
        queue: queue("q"),
        kind: kind("kind"),
        payload: b"{}".to_vec(),
        group: None,
        priority: 0,
        paused: false,
    };
    s.wait(s.store().set_schedule(spec, s.at())).unwrap();
    for minute in 1..=10 {
        s.pass(60_000);
        // Two processes look at the same moment, and once more.
        let (first, second) = (s.store().upkeep(100, s.at()), s.store().upkeep(100, s.at()));
        s.wait(second);
        s.wait(first);
        s.upkeep();
        assert_eq!(s.queue_info("q").totals.enqueued, minute);
    }
}

fn case_24_a_claimed_job_is_given_to_nobody_else_and_not_again_to_its_worker(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 3);
    let held = s.claim("q", 3);
    for worker in [WORKER, WorkerId(5)] {
        assert!(s.ask(worker, vec![], &[("q", 9), ("q", 9)]).jobs.is_empty());
    }
    held.iter().for_each(|job| s.complete(job));
    assert!(s.claim("q", 9).is_empty());
}
