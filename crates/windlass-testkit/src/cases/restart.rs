//! Restarts: whatever was answered is there again, in the same order, however often.

use crate::dump::dump;
use crate::host::{Host, START};
use crate::subject::*;
use windlass_core::job::State::{Blocked, Cancelled, Completed, Ready, Running};
use windlass_core::job::{OnConflict, Progress, State, Unique, UniqueScope};
use windlass_core::limit::LimitSettings;
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{Edit, Filter, Report};
use windlass_core::{NewJob, Rejection};

cases![
    a_restart_for_workers_elsewhere_changes_nothing_that_people_can_see restarts,
    the_first_restart_changes_nothing_but_deadlines restarts,
    jobs_are_claimed_after_a_restart_in_the_order_in_which_they_would_have_been restarts,
    fairness_goes_on_where_it_was restarts,
    leases_of_workers_elsewhere_hold_for_one_full_lease_again restarts,
    the_counter_grows_over_restarts_whatever_was_claimed_last restarts,
    a_second_acknowledgement_is_ok_after_a_restart_too restarts,
    a_request_to_stop_outlives_a_restart restarts,
    limits_count_what_runs_after_a_restart restarts,
    a_rate_gives_no_second_burst_for_a_restart restarts,
    a_hold_by_a_provider_outlives_a_restart restarts,
    a_pause_outlives_a_restart restarts,
    what_became_due_while_nobody_was_there_is_due_at_the_open restarts,
    edits_and_generations_outlive_a_restart restarts,
    parents_children_and_what_ended_them_outlive_a_restart restarts,
    a_store_that_is_closed_in_order_opens_the_same restarts,
    many_restarts_without_work_change_nothing restarts,
    known_ids_stay_known_over_restarts restarts,
];

/// A store with jobs in every state and something of everything.
fn full(host: &dyn Host) -> Subject {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { retry: fixed(60_000, 3), ..limited(at_once(50)) });
    s.set_queue("ordered", grouped(GroupSettings { ordered: true, ..GroupSettings::default() }));
    s.set_group("q", "heavy", weight(9));
    s.set_limit("smtp", LimitSettings { concurrency: Some(20), ..per(100, 1_000, 50) });
    let parent = s.put(s.job("parents"));
    for i in 0..60u64 {
        s.pass(1);
        let job = NewJob {
            priority: (i % 3) as i8 - 1,
            limits: if i % 2 == 0 { uses(&[("smtp", 1)]) } else { Vec::new() },
            payload: vec![i as u8; i as usize],
            tags: vec!["all".try_into().unwrap()],
            ..s.job_of("q", ["heavy", "light", "third"][(i % 3) as usize])
        };
        s.put(match i % 10 {
            7 => NewJob { delay_ms: Some(100_000 + i), ..job },
            8 => NewJob { parents: after(&[parent]), ..job },
            9 => NewJob {
                unique: Some(Unique {
                    key: UniqueKey::new(format!("k{i}")).unwrap(),
                    scope: UniqueScope::WhileLive,
                    on_conflict: OnConflict::Existing,
                }),
                expires_at: Some(s.now().plus_ms(1_000_000)),
                ..job
            },
            _ => job,
        });
    }
    for g in ["a", "b"] {
        s.put_all((0..4).map(|_| s.job_of("ordered", g)).collect());
    }
    s.kill(&s.take("ordered"));
    let held = s.claim("q", 20);
    for (i, job) in held.iter().enumerate() {
        s.pass(1);
        match i % 7 {
            0 => s.complete(job),
            1 => s.fail(job),
            2 => s.kill(job),
            3 => s.snooze(job, 77_000),
            4 => s.release(job),
            5 => s.cancel(job.lease.job).map(drop).unwrap(),
            _ => {
                let progress = Some(Progress { percent: 40, message: Some("on the way".into()) });
                let checkpoint = Some(vec![i as u8; 9]);
                s.report(Report { lease: job.lease, progress, log: Some(format!("log {i}\n")), checkpoint })
                    .unwrap();
            }
        }
    }
    s.cancel(s.list(&Filter { queue: Some(queue("q")), states: vec![Ready], ..Filter::default() })[0])
        .unwrap();
    s
}

fn a_restart_for_workers_elsewhere_changes_nothing_that_people_can_see(host: &dyn Host) {
    let mut s = full(host);
    s.upkeep();
    s.restart();
    let mut want = dump(&s);
    for round in 0..4 {
        // Every lease gets one full lease again.
        s.pass(10);
        s.restart();
        for job in want.jobs.values_mut() {
            job.deadline = job.deadline.map(|deadline| deadline.plus_ms(10));
        }
        assert_eq!(dump(&s), want, "round {round}");
    }
    let states: Vec<State> =
        State::ALL.into_iter().filter(|state| want.jobs.values().any(|j| j.view.state == *state)).collect();
    assert_eq!(states, State::ALL, "jobs of every state were there");
}

fn the_first_restart_changes_nothing_but_deadlines(host: &dyn Host) {
    let mut s = full(host);
    s.upkeep();
    let mut want = dump(&s);
    s.restart();
    let got = dump(&s);
    for (id, job) in &mut want.jobs {
        assert_eq!(got.jobs[id].deadline, job.deadline.map(|_| s.now().plus_ms(30_000)));
        job.deadline = got.jobs[id].deadline;
    }
    assert_eq!(got, want);
}

fn jobs_are_claimed_after_a_restart_in_the_order_in_which_they_would_have_been(host: &dyn Host) {
    // Two stores with the same history; one of them restarts.
    let (mut a, mut b) = (full(host), full(host));
    b.restart();
    a.restart();
    a.upkeep();
    b.upkeep();
    b.restart();
    b.restart();
    for name in ["q", "ordered", "parents"] {
        loop {
            let (from_a, from_b) = (a.claim_ids(name, 1), b.claim_ids(name, 1));
            assert_eq!(from_a, from_b, "{name}");
            if from_a.is_empty() {
                break;
            }
            b.restart();
        }
    }
}

fn fairness_goes_on_where_it_was(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.put_all((0..60).map(|_| s.job_of("q", "a")).collect());
    s.put_all((0..10).map(|_| NewJob { priority: 1, ..s.job_of("q", "b") }).collect());
    s.put_all((0..60).map(|_| s.job_of("q", "b")).collect());
    let turns = |s: &Subject, n: usize| -> Vec<String> {
        let turn = |_| {
            let held = s.take("q");
            s.complete(&held);
            held.group.expect("a group").to_string()
        };
        (0..n).map(turn).collect()
    };
    assert!(turns(&s, 10).iter().all(|key| key == "b"));
    s.restart();
    assert!(turns(&s, 9).iter().all(|key| key == "a"), "a is owed what b was given before the restart");
    s.restart();
    let level = turns(&s, 20);
    let a = level.iter().filter(|key| *key == "a").count() as i64;
    assert!((a - 10).abs() <= 1, "{level:?}");
}

fn leases_of_workers_elsewhere_hold_for_one_full_lease_again(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.put_many("q", 4);
    let held = s.claim("q", 4);
    s.advance(29_000);
    s.restart();
    s.advance(29_999);
    for job in &held {
        assert_eq!(s.state(job.lease.job), Running);
    }
    assert!(s.beat(&held[0].lease).is_ok(), "the token is still good");
    s.complete(&held[1]);
    s.cancel(held[2].lease.job).unwrap();
    assert!(s.beat(&held[2].lease).is_ok_and(|beat| beat.cancel_requested));
    s.advance(2);
    let states: Vec<State> = held.iter().map(|job| s.state(job.lease.job)).collect();
    assert_eq!(states[..2], [Running, Completed]);
    assert_ne!(states[3], Running, "and no longer");
    assert_eq!(s.end(complete(&held[3].lease)), Err(Rejection::Stale));
}

fn the_counter_grows_over_restarts_whatever_was_claimed_last(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.put_many("q", 50);
    let mut last = 0;
    for round in 1..=10u32 {
        for held in s.claim("q", round % 4) {
            assert!(held.lease.token.counter > last, "round {round}");
            last = held.lease.token.counter;
        }
        s.restart();
    }
}

fn a_second_acknowledgement_is_ok_after_a_restart_too(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.put_many("q", 5);
    let held = s.claim("q", 5);
    let ends = vec![
        complete(&held[0].lease),
        fail(&held[1].lease),
        fatal(&held[2].lease),
        snooze(&held[3].lease, 100_000),
        release(&held[4].lease, windlass_core::store::ReleaseReason::Shutdown),
    ];
    assert_eq!(s.settle(ends.clone()), vec![Ok(()); 5]);
    for _ in 0..3 {
        s.restart();
        let before = s.events().len();
        assert_eq!(s.settle(ends.clone()), vec![Ok(()); 5]);
        assert_eq!(s.events().len(), before);
        assert_eq!(s.end(complete(&held[1].lease)), Err(Rejection::Stale));
    }
}

fn a_request_to_stop_outlives_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.cancel(id).unwrap();
    s.restart();
    assert!(s.get(id).cancel_requested);
    assert!(s.beat(&held.lease).is_ok_and(|beat| beat.cancel_requested));
    s.end(fail(&held.lease)).unwrap();
    assert_eq!(s.state(id), Cancelled);
}

fn limits_count_what_runs_after_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.set_queue("q", limited(at_once(5)));
    s.set_limit("slots", at_once(3));
    let jobs =
        (0..10).map(|i| NewJob { limits: uses(&[("slots", 1)]), ..s.job_of("q", &format!("g{}", i % 3)) });
    s.put_all(jobs.collect());
    let held = s.claim("q", 9);
    assert_eq!(held.len(), 3);
    s.restart();
    assert_eq!(s.limit_info("slots").in_use, 3);
    assert!(s.claim("q", 9).is_empty());
    s.complete(&held[0]);
    assert_eq!(s.claim("q", 9).len(), 1);
    s.advance(3_600_000);
    assert_eq!(s.limit_info("slots").in_use, 0, "the leases ran out");
    s.advance(3_600_000);
    assert_eq!(s.claim("q", 9).len(), 3);
}

fn a_rate_gives_no_second_burst_for_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.set_queue("a", limited(per(1, 10_000, 3)));
    s.set_group("b", "g", GroupSettings { limits: per(1, 10_000, 3), ..GroupSettings::default() });
    s.set_limit("speed", per(1, 10_000, 3));
    s.put_many("a", 9);
    s.put_all((0..9).map(|_| s.job_of("b", "g")).collect());
    s.put_all((0..9).map(|_| NewJob { limits: uses(&[("speed", 1)]), ..s.job("c") }).collect());
    for name in ["a", "b", "c"] {
        assert_eq!(s.claim(name, 9).len(), 3, "{name}");
    }
    for _ in 0..3 {
        s.restart();
        for name in ["a", "b", "c"] {
            assert!(s.claim(name, 9).is_empty(), "{name}");
        }
    }
    s.advance(10_000);
    s.restart();
    for name in ["a", "b", "c"] {
        assert_eq!(s.claim(name, 9).len(), 1, "{name}");
    }
}

fn a_hold_by_a_provider_outlives_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.put_many("q", 3);
    let held = s.take("q");
    let holds = Some(windlass_core::store::Hold::Queue);
    s.end(windlass_core::store::Settle::Snooze {
        lease: held.lease,
        delay_ms: 5_000,
        reason: "429".into(),
        holds,
    })
    .unwrap();
    s.restart();
    assert!(s.claim("q", 9).is_empty());
    s.advance(4_999);
    s.restart();
    assert!(s.claim("q", 9).is_empty());
    s.advance(1);
    assert_eq!(s.claim("q", 9).len(), 3);
}

fn a_pause_outlives_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.put(s.job("q"));
    s.pause("q", true);
    s.restart();
    assert!(s.claim("q", 1).is_empty());
    s.pause("q", false);
    s.restart();
    assert_eq!(s.claim("q", 1).len(), 1);
}

fn what_became_due_while_nobody_was_there_is_due_at_the_open(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.set_queue("q", QueueSettings { retry: fixed(20_000, 3), ..QueueSettings::default() });
    let failed = s.put(s.job("q"));
    s.fail(&s.take("q"));
    let early = s.put(NewJob { delay_ms: Some(10_000), ..s.job("q") });
    let expiring =
        s.put(NewJob { expires_at: Some(s.now().plus_ms(5_000)), delay_ms: Some(15_000), ..s.job("q") });
    let late = s.put(NewJob { delay_ms: Some(90_000), ..s.job("q") });
    s.abandon();
    s.pass(30_000);
    s.open();
    s.upkeep();
    assert_eq!(s.state(expiring), Cancelled);
    assert_eq!(s.claim_ids("q", 9), [early, failed]);
    assert_eq!(s.why(late).eta, Some(START.plus_ms(90_000)));
}

fn edits_and_generations_outlive_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    let ids = s.put_many("q", 3);
    s.edit(Edit { id: ids[0], payload: Some(b"new".to_vec()), priority: Some(-5), run_at: None }).unwrap();
    s.edit(Edit { id: ids[1], payload: None, priority: None, run_at: Some(s.now().plus_ms(7_000)) }).unwrap();
    s.kill(&s.take("q"));
    s.retry(ids[2]).unwrap();
    s.kill(&s.take("q"));
    let before = dump(&s);
    s.restart();
    s.restart();
    assert_eq!(dump(&s), before);
    s.retry(ids[2]).unwrap();
    s.restart();
    let view = s.get(ids[2]).view;
    assert_eq!((view.state, view.failures, view.attempt), (Ready, 0, 2));
    assert_eq!(s.get(ids[2]).attempts.len(), 2);
}

fn parents_children_and_what_ended_them_outlive_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    let parents = s.put_many("parents", 2);
    let both = s.put(NewJob { parents: after(&parents), ..s.job("children") });
    let first = s.put(NewJob { parents: after(&parents[..1]), ..s.job("children") });
    s.restart();
    s.kill(&s.take("parents"));
    assert_eq!((s.state(both), s.state(first)), (Cancelled, Cancelled));
    s.restart();
    assert_eq!(s.delete(parents[1]), Ok(()), "its only child has ended");
    s.retry(parents[0]).unwrap();
    s.upkeep();
    s.restart();
    assert_eq!(s.state(first), Blocked);
    s.complete(&s.take("parents"));
    s.restart();
    assert_eq!(s.state(first), Ready);
}

fn a_store_that_is_closed_in_order_opens_the_same(host: &dyn Host) {
    let mut s = full(host);
    s.upkeep();
    s.restart();
    s.upkeep();
    let want = dump(&s);
    s.close_and_open();
    assert_eq!(dump(&s), want);
}

fn many_restarts_without_work_change_nothing(host: &dyn Host) {
    let mut s = full(host);
    s.upkeep();
    s.restart();
    s.upkeep();
    let want = dump(&s);
    for _ in 0..15 {
        s.restart();
    }
    assert_eq!(dump(&s), want);
}

fn known_ids_stay_known_over_restarts(host: &dyn Host) {
    let mut s = Subject::new(host);
    let live = s.job("q");
    s.put(live.clone());
    let done = s.job("other");
    s.put(done.clone());
    s.complete(&s.take("other"));
    for _ in 0..3 {
        s.restart();
        for job in [&live, &done] {
            let answer = s.offer((*job).clone()).expect("answered");
            assert_eq!(answer.status, windlass_core::store::EnqueueStatus::Known);
        }
    }
    assert_eq!(s.list(&Filter::default()).len(), 2);
}
