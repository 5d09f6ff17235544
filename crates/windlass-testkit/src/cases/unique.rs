//! Rule c: unique keys, in three scopes and with four ways to meet a conflict.

use crate::host::Host;
use crate::subject::*;
use windlass_core::job::State::{Blocked, Completed, Ready, Retrying, Running, Scheduled};
use windlass_core::job::{OnConflict, Unique, UniqueScope};
use windlass_core::name::UniqueKey;
use windlass_core::store::EnqueueStatus::{Created, Existing, Replaced, Rescheduled};
use windlass_core::store::{Edit, EnqueueStatus, Enqueued};
use windlass_core::{JobId, NewJob, Rejection, State};

cases![
    a_held_key_is_met_by_the_new_jobs_own_policy_in_every_live_state,
    a_replaced_payload_is_the_one_that_the_handler_gets,
    a_key_of_a_live_job_is_free_after_every_end_of_it,
    a_key_until_start_is_given_up_for_good_at_the_claim,
    a_key_for_a_time_stays_taken_for_that_time_whatever_becomes_of_the_job,
    a_key_is_one_namespace_over_all_queues_and_kinds,
    the_second_of_a_batch_meets_the_first,
    a_retrying_job_holds_its_key_between_its_attempts,
    keys_are_held_and_free_in_the_same_way_after_a_restart restarts,
];

const POLICIES: [OnConflict; 4] =
    [OnConflict::Existing, OnConflict::Replace, OnConflict::Reschedule, OnConflict::Refuse];
const SCOPES: [UniqueScope; 3] =
    [UniqueScope::WhileLive, UniqueScope::UntilStart, UniqueScope::For { ttl_ms: TTL_MS }];
const TTL_MS: u64 = 10_000_000;

fn key(key: &str, scope: UniqueScope, on_conflict: OnConflict) -> Option<Unique> {
    Some(Unique { key: UniqueKey::new(key).unwrap(), scope, on_conflict })
}

fn second(s: &Subject, scope: UniqueScope, on_conflict: OnConflict) -> NewJob {
    NewJob {
        unique: key("k", scope, on_conflict),
        payload: b"second".to_vec(),
        delay_ms: Some(5_000),
        ..s.job("q2")
    }
}

/// A job that holds the key, in that state.
fn holder_in(s: &Subject, state: State, scope: UniqueScope) -> JobId {
    let mut job = NewJob { unique: key("k", scope, OnConflict::Existing), ..s.job("q") };
    match state {
        Scheduled => job.delay_ms = Some(60_000),
        Blocked => job.parents = after(&[s.put(s.job("parents"))]),
        _ => {}
    }
    let id = s.put(job);
    match state {
        Running => drop(s.take("q")),
        Retrying => s.fail(&s.take("q")),
        _ => {}
    }
    assert_eq!(s.state(id), state);
    id
}

fn a_held_key_is_met_by_the_new_jobs_own_policy_in_every_live_state(host: &dyn Host) {
    for scope in SCOPES {
        for state in [Scheduled, Ready, Running, Retrying, Blocked] {
            if scope == UniqueScope::UntilStart && matches!(state, Running | Retrying) {
                continue;
            }
            for policy in POLICIES {
                let s = Subject::new(host);
                let holder = holder_in(&s, state, scope);
                let before = s.get(holder);
                let new = second(&s, UniqueScope::WhileLive, policy);
                let (new_id, due) = (new.id, s.now().plus_ms(5_000));
                let answer = s.offer(new);
                let told = format!("{policy:?} against a {state} holder in {scope:?}: {answer:?}");
                assert_eq!(s.find(new_id), None, "{told}");
                let now = s.get(holder);
                let refused =
                    policy == OnConflict::Refuse || (policy != OnConflict::Existing && state == Running);
                if refused {
                    assert_eq!(answer, Err(Rejection::UniqueConflict { holder }), "{told}");
                    assert_eq!(now, before, "{told}");
                    continue;
                }
                let answer = answer.expect("not refused");
                assert_eq!((answer.id, answer.state), (holder, now.view.state), "{told}");
                match policy {
                    OnConflict::Existing => {
                        assert_eq!(answer.status, Existing);
                        assert_eq!(now, before, "{told}");
                    }
                    OnConflict::Replace => {
                        assert_eq!(answer.status, Replaced);
                        assert_eq!(
                            (now.payload.as_slice(), now.view.state),
                            (&b"second"[..], state),
                            "{told}"
                        );
                    }
                    _ => {
                        assert_eq!(answer.status, Rescheduled);
                        assert_eq!(now.payload, before.payload, "{told}");
                        if state != Blocked {
                            assert_eq!(now.view.since, due, "{told}");
                            assert!(s.claim("q", 1).is_empty(), "{told}");
                            s.advance(5_000);
                            assert_eq!(s.claim_ids("q", 1), [holder], "{told}");
                        }
                    }
                }
            }
        }
    }
}

fn a_replaced_payload_is_the_one_that_the_handler_gets(host: &dyn Host) {
    let s = Subject::new(host);
    let holder = holder_in(&s, Ready, UniqueScope::WhileLive);
    s.put(second(&s, UniqueScope::WhileLive, OnConflict::Replace));
    let held = s.take("q");
    assert_eq!((held.lease.job, held.payload.as_slice()), (holder, &b"second"[..]));
}

fn a_key_of_a_live_job_is_free_after_every_end_of_it(host: &dyn Host) {
    let ends: [(&str, fn(&Subject, JobId)); 6] = [
        ("completed", |s, _| s.complete(&s.take("q"))),
        ("dead", |s, _| s.kill(&s.take("q"))),
        ("cancelled while it waits", |s, id| s.call_off(id)),
        ("cancelled while it runs", |s, id| {
            let held = s.take("q");
            s.cancel(id).unwrap();
            s.fail(&held);
        }),
        ("deleted", |s, id| s.delete(id).unwrap()),
        ("lost three times", |s, _| {
            for _ in 0..3 {
                s.take("q");
                s.advance(30_001);
                s.advance(3_600_000);
            }
        }),
    ];
    for (end, act) in ends {
        let s = Subject::new(host);
        let id = holder_in(&s, Ready, UniqueScope::WhileLive);
        act(&s, id);
        let answer = s.offer(second(&s, UniqueScope::WhileLive, OnConflict::Refuse)).expect(end);
        assert_eq!(answer.status, Created, "{end}");
    }
}

fn a_key_until_start_is_given_up_for_good_at_the_claim(host: &dyn Host) {
    let s = Subject::new(host);
    let first = holder_in(&s, Ready, UniqueScope::UntilStart);
    assert!(s.offer(second(&s, UniqueScope::UntilStart, OnConflict::Refuse)).is_err());
    let held = s.take("q");
    let next = s.put(second(&s, UniqueScope::UntilStart, OnConflict::Refuse));
    assert_ne!(next, first);
    // The first comes back, and does not come back into its key.
    s.release(&held);
    assert_eq!(s.state(first), Ready);
    s.cancel(next).unwrap();
    let third = s.offer(second(&s, UniqueScope::UntilStart, OnConflict::Refuse)).expect("the key is free");
    assert_eq!(third.status, Created);
}

fn a_key_for_a_time_stays_taken_for_that_time_whatever_becomes_of_the_job(host: &dyn Host) {
    let ends: [(&str, fn(&Subject, JobId)); 4] = [
        ("completed", |s, _| s.complete(&s.take("q"))),
        ("dead", |s, _| s.kill(&s.take("q"))),
        ("cancelled", |s, id| s.call_off(id)),
        ("deleted", |s, id| s.delete(id).unwrap()),
    ];
    for (end, act) in ends {
        let s = Subject::new(host);
        let scope = UniqueScope::For { ttl_ms: 60_000 };
        let id = holder_in(&s, Ready, scope);
        act(&s, id);
        s.advance(59_999);
        for policy in POLICIES {
            let answer = s.offer(second(&s, scope, policy));
            match policy {
                OnConflict::Existing => {
                    let answer = answer.expect("the holder is answered");
                    assert_eq!((answer.id, answer.status), (id, Existing), "{end}");
                }
                OnConflict::Refuse => {
                    assert_eq!(answer, Err(Rejection::UniqueConflict { holder: id }), "{end}")
                }
                _ => assert!(answer.is_err() || answer.is_ok_and(|a| a.id == id), "{end}: no second job"),
            }
        }
        assert!(s.list(&Default::default()).len() <= 1, "{end}: no second job");
        s.advance(2);
        assert_eq!(s.offer(second(&s, scope, OnConflict::Refuse)).expect(end).status, Created, "{end}");
    }
}

fn a_key_is_one_namespace_over_all_queues_and_kinds(host: &dyn Host) {
    let s = Subject::new(host);
    let holder =
        s.put(NewJob { unique: key("k", UniqueScope::WhileLive, OnConflict::Existing), ..s.job("a") });
    let other = NewJob {
        unique: key("k", UniqueScope::WhileLive, OnConflict::Existing),
        kind: kind("other"),
        group: Some(group("g")),
        ..s.job("b")
    };
    let want = Enqueued { id: holder, status: EnqueueStatus::Existing, state: Ready };
    assert_eq!(s.offer(other), Ok(want));
    let unlike = NewJob { unique: key("K", UniqueScope::WhileLive, OnConflict::Existing), ..s.job("a") };
    assert_eq!(s.offer(unlike).unwrap().status, Created);
}

fn the_second_of_a_batch_meets_the_first(host: &dyn Host) {
    let s = Subject::new(host);
    let new = |on_conflict, payload: &[u8]| NewJob {
        unique: key("k", UniqueScope::WhileLive, on_conflict),
        payload: payload.to_vec(),
        ..s.job("q")
    };
    let answers = s.enqueue(vec![
        new(OnConflict::Existing, b"1"),
        new(OnConflict::Existing, b"2"),
        new(OnConflict::Replace, b"3"),
        new(OnConflict::Refuse, b"4"),
    ]);
    let first = answers[0].as_ref().expect("created").id;
    let statuses: Vec<_> =
        answers[..3].iter().map(|a| a.as_ref().map(|a| (a.id, a.status)).unwrap()).collect();
    assert_eq!(statuses, [(first, Created), (first, Existing), (first, Replaced)]);
    assert_eq!(answers[3], Err(Rejection::UniqueConflict { holder: first }));
    let held = s.claim("q", 9);
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].payload, b"3");
}

fn a_retrying_job_holds_its_key_between_its_attempts(host: &dyn Host) {
    let s = Subject::new(host);
    let id = holder_in(&s, Retrying, UniqueScope::WhileLive);
    s.run_now(id).unwrap();
    s.snooze(&s.take("q"), 10);
    assert!(s.offer(second(&s, UniqueScope::WhileLive, OnConflict::Refuse)).is_err());
    s.advance(10);
    s.release(&s.take("q"));
    assert!(s.offer(second(&s, UniqueScope::WhileLive, OnConflict::Refuse)).is_err());
    s.edit(Edit { id, payload: None, priority: Some(4), run_at: None }).unwrap();
    assert!(s.offer(second(&s, UniqueScope::WhileLive, OnConflict::Refuse)).is_err());
}

fn keys_are_held_and_free_in_the_same_way_after_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    let hold = |name: &str, scope| NewJob { unique: key(name, scope, OnConflict::Refuse), ..s.job(name) };
    let for_a_time = UniqueScope::For { ttl_ms: 120_000 };
    let names = ["live", "ended", "start", "started", "time", "timed", "deleted"];
    let scopes = [
        UniqueScope::WhileLive,
        UniqueScope::WhileLive,
        UniqueScope::UntilStart,
        UniqueScope::UntilStart,
        for_a_time,
        for_a_time,
        for_a_time,
    ];
    let ids = s.put_all(names.iter().zip(scopes).map(|(name, scope)| hold(name, scope)).collect());
    for name in ["ended", "timed"] {
        s.complete(&s.take(name));
    }
    s.release(&s.take("started"));
    s.delete(ids[6]).unwrap();
    let held_by = |s: &Subject| -> Vec<Option<JobId>> {
        let probe = |(name, scope): (&&str, UniqueScope)| {
            let unique = key(name, scope, OnConflict::Refuse);
            match s.wait(windlass_core::store::Queue::enqueue(
                s.store(),
                vec![NewJob { unique, ..s.job("probe") }, NewJob { priority: 99, ..s.job("probe") }],
                true,
                None,
            ))[0]
            {
                Err(Rejection::UniqueConflict { holder }) => Some(holder),
                _ => None,
            }
        };
        names.iter().zip(scopes).map(probe).collect()
    };
    let want = vec![Some(ids[0]), None, Some(ids[2]), None, Some(ids[4]), Some(ids[5]), Some(ids[6])];
    assert_eq!(held_by(&s), want);
    for _ in 0..3 {
        s.restart();
        assert_eq!(held_by(&s), want);
    }
    s.advance(120_001);
    s.restart();
    assert_eq!(held_by(&s)[5..], [None, None]);
    assert_eq!(s.counts("timed").of(Completed), 1);
}
