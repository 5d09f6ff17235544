//! Restarts: whatever was answered is there again, in the same order, however often.

use crate::subject::*;
use std::collections::BTreeMap;
use windlass_core::event::{Cause, Event, EventType};
use windlass_core::job::State::{Blocked, Cancelled, Completed, Dead, Ready, Retrying, Running};
use windlass_core::job::{JobDetail, OnConflict, Progress, State, Unique, UniqueScope};
use windlass_core::limit::LimitSettings;
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{Admin, Counts, Edit, Filter, GroupInfo, LimitInfo, Report, Totals};
use windlass_core::{JobId, NewJob, Rejection, Time, WorkerId};

/// Everything that people can see of a store.
#[derive(Debug, PartialEq)]
pub(crate) struct Dump {
    jobs: BTreeMap<JobId, JobDetail>,
    queues: BTreeMap<String, (QueueSettings, Counts, Totals, Option<Time>)>,
    groups: BTreeMap<String, Vec<GroupInfo>>,
    limits: Vec<LimitInfo>,
    events: Vec<Event>,
}

/// What there is to see now.
pub(crate) fn dump(s: &Subject) -> Dump {
    let ids = s.list(&Filter::default());
    let infos = s.wait(s.store().queues(None, None));
    let groups = infos.iter().map(|info| {
        let mut page = s.wait(s.store().groups(info.name.clone(), None, 1_000)).items;
        // Said to count from when the group came into memory, and empty groups come and go.
        page.iter_mut().for_each(|group| group.claimed = 0);
        page.retain(|group| group.own_settings || group.counts.0 != [0; 8]);
        (info.name.to_string(), page)
    });
    let groups = groups.collect();
    let mut limits = s.wait(s.store().limits(None, 1_000)).items;
    // Who waits where is found out again by the next claims.
    limits.iter_mut().for_each(|limit| (limit.waiting_lanes, limit.closed_until) = (0, None));
    let queue = |info: windlass_core::store::QueueInfo| {
        (info.name.to_string(), (info.settings, info.counts, info.totals, info.oldest_ready))
    };
    Dump {
        jobs: ids.into_iter().map(|id| (id, s.get(id))).collect(),
        queues: infos.into_iter().map(queue).collect(),
        groups,
        limits,
        events: s.events(),
    }
}

/// A store with jobs in every state and something of everything.
fn full() -> Subject {
    let s = Subject::file();
    s.set_queue("q", QueueSettings { retry: fixed(60_000, 3), ..limited(at_once(50)) });
    s.set_queue("ordered", grouped(GroupSettings { ordered: true, ..GroupSettings::default() }));
    s.set_group("q", "heavy", weight(9));
    s.set_limit("smtp", LimitSettings { concurrency: Some(20), ..per(100, 1_000, 50) });
    let parent = s.put(s.job("parents"));
    for i in 0..60u64 {
        s.clock.advance_ms(1);
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
        s.clock.advance_ms(1);
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

#[test]
fn a_restart_for_workers_elsewhere_changes_nothing_that_people_can_see() {
    let mut s = full();
    s.upkeep();
    s.reopen_for_others();
    let mut want = dump(&s);
    for round in 0..4 {
        // Every lease gets one full lease again.
        s.clock.advance_ms(10);
        s.reopen_for_others();
        for job in want.jobs.values_mut() {
            job.deadline = job.deadline.map(|deadline| deadline.plus_ms(10));
        }
        assert_eq!(dump(&s), want, "round {round}");
    }
    let states: Vec<State> =
        State::ALL.into_iter().filter(|state| want.jobs.values().any(|j| j.view.state == *state)).collect();
    assert_eq!(states, State::ALL, "jobs of every state were there");
}

#[test]
fn the_first_restart_changes_nothing_but_deadlines() {
    let mut s = full();
    s.upkeep();
    let mut want = dump(&s);
    s.reopen_for_others();
    let got = dump(&s);
    for (id, job) in &mut want.jobs {
        assert_eq!(got.jobs[id].deadline, job.deadline.map(|_| s.now().plus_ms(30_000)));
        job.deadline = got.jobs[id].deadline;
    }
    assert_eq!(got, want);
}

#[test]
fn jobs_are_claimed_after_a_restart_in_the_order_in_which_they_would_have_been() {
    // Two stores with the same history; one of them restarts.
    let (mut a, mut b) = (full(), full());
    b.reopen_for_others();
    a.reopen_for_others();
    a.upkeep();
    b.upkeep();
    b.reopen_for_others();
    b.reopen_for_others();
    for name in ["q", "ordered", "parents"] {
        loop {
            let (from_a, from_b) = (a.claim_ids(name, 1), b.claim_ids(name, 1));
            assert_eq!(from_a, from_b, "{name}");
            if from_a.is_empty() {
                break;
            }
            b.reopen_for_others();
        }
    }
}

#[test]
fn fairness_goes_on_where_it_was() {
    let mut s = Subject::file();
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
    s.reopen();
    assert!(turns(&s, 9).iter().all(|key| key == "a"), "a is owed what b was given before the restart");
    s.reopen();
    let level = turns(&s, 20);
    let a = level.iter().filter(|key| *key == "a").count() as i64;
    assert!((a - 10).abs() <= 1, "{level:?}");
}

#[test]
fn leases_of_workers_that_lived_in_the_process_end_at_its_restart() {
    let mut s = Subject::file();
    let ids = s.put_many("q", 3);
    let held = s.claim("q", 3);
    s.cancel(ids[2]).unwrap();
    s.reopen();
    for (id, job) in ids.iter().zip(&held) {
        assert_ne!(s.state(*id), Running);
        assert_eq!(s.beat(&job.lease), Err(Rejection::Stale));
        assert_eq!(s.end(complete(&job.lease)), Err(Rejection::Stale));
    }
    let view = s.get(ids[0]).view;
    assert_eq!((view.failures, view.attempt), (0, 1));
    let lost = s.events().into_iter().find(|event| event.job == ids[0] && event.event == EventType::Lost);
    assert_eq!(lost.map(|event| event.cause), Some(Cause::Restart));
    assert_eq!(s.state(ids[2]), Cancelled, "asked to stop, it is not tried again");
    s.advance(3_600_000);
    let mut again = s.claim_ids("q", 9);
    again.sort();
    assert_eq!(again, ids[..2]);
}

#[test]
fn a_job_that_ends_its_process_each_time_becomes_a_dead_letter() {
    let mut s = Subject::file();
    let id = s.put(s.job("q"));
    for _ in 0..3 {
        assert_eq!(s.claim_ids("q", 1), [id]);
        s.reopen();
        s.advance(3_600_000);
    }
    assert_eq!((s.state(id), s.get(id).view.cause), (Dead, Some(Cause::Lost)));
}

#[test]
fn leases_of_workers_elsewhere_hold_for_one_full_lease_again() {
    let mut s = Subject::file();
    s.put_many("q", 4);
    let held = s.claim("q", 4);
    s.advance(29_000);
    s.reopen_for_others();
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

#[test]
fn the_counter_grows_over_restarts_whatever_was_claimed_last() {
    let mut s = Subject::file();
    s.put_many("q", 50);
    let mut last = 0;
    for round in 1..=10u32 {
        for held in s.claim("q", round % 4) {
            assert!(held.lease.token.counter > last, "round {round}");
            last = held.lease.token.counter;
        }
        s.reopen();
    }
}

#[test]
fn a_second_acknowledgement_is_ok_after_a_restart_too() {
    let mut s = Subject::file();
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
        s.reopen();
        let before = s.events().len();
        assert_eq!(s.settle(ends.clone()), vec![Ok(()); 5]);
        assert_eq!(s.events().len(), before);
        assert_eq!(s.end(complete(&held[1].lease)), Err(Rejection::Stale));
    }
}

#[test]
fn a_request_to_stop_outlives_a_restart() {
    let mut s = Subject::file();
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.cancel(id).unwrap();
    s.reopen_for_others();
    assert!(s.get(id).cancel_requested);
    assert!(s.beat(&held.lease).is_ok_and(|beat| beat.cancel_requested));
    s.end(fail(&held.lease)).unwrap();
    assert_eq!(s.state(id), Cancelled);
}

#[test]
fn limits_count_what_runs_after_a_restart() {
    let mut s = Subject::file();
    s.set_queue("q", limited(at_once(5)));
    s.set_limit("slots", at_once(3));
    let jobs =
        (0..10).map(|i| NewJob { limits: uses(&[("slots", 1)]), ..s.job_of("q", &format!("g{}", i % 3)) });
    s.put_all(jobs.collect());
    let held = s.claim("q", 9);
    assert_eq!(held.len(), 3);
    s.reopen_for_others();
    assert_eq!(s.limit_info("slots").in_use, 3);
    assert!(s.claim("q", 9).is_empty());
    s.complete(&held[0]);
    assert_eq!(s.claim("q", 9).len(), 1);
    s.reopen();
    assert_eq!(s.limit_info("slots").in_use, 0);
    s.advance(3_600_000);
    assert_eq!(s.claim("q", 9).len(), 3);
}

#[test]
fn a_rate_gives_no_second_burst_for_a_restart() {
    let mut s = Subject::file();
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
        s.reopen_for_others();
        for name in ["a", "b", "c"] {
            assert!(s.claim(name, 9).is_empty(), "{name}");
        }
    }
    s.advance(10_000);
    s.reopen_for_others();
    for name in ["a", "b", "c"] {
        assert_eq!(s.claim(name, 9).len(), 1, "{name}");
    }
}

#[test]
fn a_hold_by_a_provider_outlives_a_restart() {
    let mut s = Subject::file();
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
    s.reopen();
    assert!(s.claim("q", 9).is_empty());
    s.advance(4_999);
    s.reopen();
    assert!(s.claim("q", 9).is_empty());
    s.advance(1);
    assert_eq!(s.claim("q", 9).len(), 3);
}

#[test]
fn a_pause_outlives_a_restart() {
    let mut s = Subject::file();
    s.put(s.job("q"));
    s.pause("q", true);
    s.reopen();
    assert!(s.claim("q", 1).is_empty());
    s.pause("q", false);
    s.reopen();
    assert_eq!(s.claim("q", 1).len(), 1);
}

#[test]
fn what_became_due_while_nobody_was_there_is_due_at_the_open() {
    let mut s = Subject::file();
    s.set_queue("q", QueueSettings { retry: fixed(20_000, 3), ..QueueSettings::default() });
    let failed = s.put(s.job("q"));
    s.fail(&s.take("q"));
    let early = s.put(NewJob { delay_ms: Some(10_000), ..s.job("q") });
    let expiring =
        s.put(NewJob { expires_at: Some(s.now().plus_ms(5_000)), delay_ms: Some(15_000), ..s.job("q") });
    let late = s.put(NewJob { delay_ms: Some(90_000), ..s.job("q") });
    s.abandon();
    s.clock.advance_ms(30_000);
    s.open();
    s.upkeep();
    assert_eq!(s.state(expiring), Cancelled);
    assert_eq!(s.claim_ids("q", 9), [early, failed]);
    assert_eq!(s.why(late).eta, Some(START.plus_ms(90_000)));
}

#[test]
fn edits_and_generations_outlive_a_restart() {
    let mut s = Subject::file();
    let ids = s.put_many("q", 3);
    s.edit(Edit { id: ids[0], payload: Some(b"new".to_vec()), priority: Some(-5), run_at: None }).unwrap();
    s.edit(Edit { id: ids[1], payload: None, priority: None, run_at: Some(s.now().plus_ms(7_000)) }).unwrap();
    s.kill(&s.take("q"));
    s.retry(ids[2]).unwrap();
    s.kill(&s.take("q"));
    let before = dump(&s);
    s.reopen();
    s.reopen();
    assert_eq!(dump(&s), before);
    s.retry(ids[2]).unwrap();
    s.reopen();
    let view = s.get(ids[2]).view;
    assert_eq!((view.state, view.failures, view.attempt), (Ready, 0, 2));
    assert_eq!(s.get(ids[2]).attempts.len(), 2);
}

#[test]
fn parents_children_and_what_ended_them_outlive_a_restart() {
    let mut s = Subject::file();
    let parents = s.put_many("parents", 2);
    let both = s.put(NewJob { parents: after(&parents), ..s.job("children") });
    let first = s.put(NewJob { parents: after(&parents[..1]), ..s.job("children") });
    s.reopen();
    s.kill(&s.take("parents"));
    assert_eq!((s.state(both), s.state(first)), (Cancelled, Cancelled));
    s.reopen();
    assert_eq!(s.delete(parents[1]), Ok(()), "its only child has ended");
    s.retry(parents[0]).unwrap();
    s.upkeep();
    s.reopen();
    assert_eq!(s.state(first), Blocked);
    s.complete(&s.take("parents"));
    s.reopen();
    assert_eq!(s.state(first), Ready);
}

#[test]
fn a_store_that_is_closed_in_order_opens_the_same() {
    let mut s = full();
    s.upkeep();
    s.reopen();
    s.upkeep();
    let want = dump(&s);
    s.close_and_open();
    assert_eq!(dump(&s), want);
}

#[test]
fn many_restarts_without_work_change_nothing() {
    let mut s = full();
    s.upkeep();
    s.reopen();
    s.upkeep();
    let want = dump(&s);
    for _ in 0..15 {
        s.reopen();
    }
    assert_eq!(dump(&s), want);
}

#[test]
fn known_ids_stay_known_over_restarts() {
    let mut s = Subject::file();
    let live = s.job("q");
    s.put(live.clone());
    let done = s.job("other");
    s.put(done.clone());
    s.complete(&s.take("other"));
    for _ in 0..3 {
        s.reopen();
        for job in [&live, &done] {
            let answer = s.offer((*job).clone()).expect("answered");
            assert_eq!(answer.status, windlass_core::store::EnqueueStatus::Known);
        }
    }
    assert_eq!(s.list(&Filter::default()).len(), 2);
}

#[test]
fn a_worker_of_before_is_not_shown_after_a_restart_as_if_it_held_jobs() {
    let mut s = Subject::file();
    s.put(s.job("q"));
    let held = s.ask(WorkerId(4), vec![], &[("q", 1)]).jobs;
    s.reopen();
    assert!(s.wait(s.store().workers(None)).iter().all(|worker| worker.running == 0));
    assert!(matches!(s.state(held[0].lease.job), Ready | Retrying));
}
