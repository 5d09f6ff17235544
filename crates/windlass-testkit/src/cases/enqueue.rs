//! T1: what an enqueue answers, and what it leaves behind.

use crate::host::Host;
use crate::subject::*;
use windlass_core::job::State::{Blocked, Cancelled, Completed, Dead, Ready, Retrying, Running, Scheduled};
use windlass_core::job::{Parent, Unique, UniqueScope};
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::EnqueueStatus::{Created, Existing, Known};
use windlass_core::store::{Enqueued, Settle};
use windlass_core::{JobId, NewJob, Rejection, State, Time};

cases![
    a_new_job_is_ready_scheduled_or_blocked_by_what_it_waits_for,
    an_enqueued_job_is_kept_as_it_was_asked_for,
    a_repeated_enqueue_answers_the_job_in_every_state_and_changes_nothing,
    a_batch_answers_each_item_and_a_refused_one_stops_no_other,
    an_all_or_nothing_batch_is_refused_whole_by_one_refusal,
    an_all_or_nothing_batch_gives_back_the_unique_keys_and_the_room_that_it_took,
    an_id_more_than_an_hour_ahead_is_refused,
    a_full_queue_refuses_new_jobs_and_says_when_to_try_again,
    a_full_queue_still_answers_the_holder_of_a_unique_key,
    a_cost_that_a_limit_could_never_admit_is_refused,
    a_job_of_an_ordered_group_must_have_priority_0,
    follow_ups_exist_if_and_only_if_the_completion_does,
    a_stale_completion_enqueues_no_follow_up,
    a_follow_up_may_wait_for_the_job_that_enqueues_it_and_for_another_follow_up,
    a_job_past_its_expiry_never_runs,
    a_parent_may_be_named_only_once_and_not_be_the_job_itself,
    an_ended_id_is_remembered_after_its_job_was_removed restarts,
    room_in_a_full_queue_comes_with_every_way_of_leaving_it restarts,
];

fn a_new_job_is_ready_scheduled_or_blocked_by_what_it_waits_for(host: &dyn Host) {
    let s = Subject::new(host);
    let created = |job: NewJob| {
        let id = job.id;
        let answer = s.offer(job).expect("taken");
        assert_eq!((answer.id, answer.status), (id, Created));
        assert_eq!(s.state(id), answer.state, "the answer is the truth");
        (id, answer.state)
    };
    let (first, ready) = created(s.job("q"));
    assert_eq!(ready, Ready);
    assert_eq!(created(NewJob { delay_ms: Some(0), ..s.job("q") }).1, Ready);
    assert_eq!(created(NewJob { delay_ms: Some(1), ..s.job("q") }).1, Scheduled);
    assert_eq!(created(NewJob { run_at: Some(s.now()), ..s.job("q") }).1, Ready);
    assert_eq!(created(NewJob { run_at: Some(s.now().minus_ms(5_000)), ..s.job("q") }).1, Ready);
    assert_eq!(created(NewJob { run_at: Some(s.now().plus_ms(1)), ..s.job("q") }).1, Scheduled);
    assert_eq!(created(NewJob { parents: after(&[first]), ..s.job("q") }).1, Blocked);
    let timed = NewJob { parents: after(&[first]), delay_ms: Some(60_000), ..s.job("q") };
    assert_eq!(created(timed).1, Blocked, "parents come before time");
}

fn an_enqueued_job_is_kept_as_it_was_asked_for(host: &dyn Host) {
    let s = Subject::new(host);
    let job = NewJob {
        payload: vec![0, 159, 146, 150, 255],
        group: Some(group("Kampagne 7 / Öl")),
        priority: -4,
        expires_at: Some(s.now().plus_ms(9_000)),
        retry: Some(fixed(7, 3)),
        unique: Some(Unique {
            key: UniqueKey::new("k").unwrap(),
            scope: UniqueScope::For { ttl_ms: 99 },
            on_conflict: windlass_core::job::OnConflict::Refuse,
        }),
        limits: uses(&[("l1", 1), ("l2", 3)]),
        tags: vec!["eu".try_into().unwrap(), "beta".try_into().unwrap()],
        timeout_ms: Some(1_234),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..s.job("q")
    };
    let id = s.put(job.clone());
    let kept = s.get(id);
    assert_eq!(kept.payload, job.payload);
    assert_eq!((kept.view.group.clone(), kept.view.priority), (job.group.clone(), job.priority));
    assert_eq!((kept.view.queue.clone(), kept.view.kind.clone()), (job.queue.clone(), job.kind.clone()));
    assert_eq!((kept.expires_at, &kept.retry, &kept.unique), (job.expires_at, &job.retry, &job.unique));
    assert_eq!((&kept.limits, &kept.view.tags), (&job.limits, &job.tags));
    assert_eq!((kept.timeout_ms, &kept.trace), (job.timeout_ms, &job.trace));
    assert_eq!((kept.view.enqueued_at, kept.view.since), (s.now(), s.now()));
    assert_eq!((kept.view.attempt, kept.view.failures, kept.view.losses, kept.view.snoozes), (0, 0, 0, 0));
    let claimed = s.take("q");
    assert_eq!(claimed.payload, job.payload);
    assert_eq!((claimed.queue, claimed.kind, claimed.group), (job.queue, job.kind, job.group));
    assert_eq!((claimed.priority, claimed.tags), (job.priority, job.tags));
    assert_eq!((claimed.timeout_ms, claimed.trace), (job.timeout_ms, job.trace));
}

fn a_repeated_enqueue_answers_the_job_in_every_state_and_changes_nothing(host: &dyn Host) {
    let s = Subject::new(host);
    let blocker = s.put(s.job("elsewhere"));
    let mut jobs = vec![
        (s.job("q"), Ready),
        (NewJob { delay_ms: Some(5_000), ..s.job("q") }, Scheduled),
        (NewJob { parents: after(&[blocker]), ..s.job("q") }, Blocked),
    ];
    s.put_all(jobs.iter().map(|(job, _)| job.clone()).collect());
    for (name, state) in [
        ("running", Running),
        ("retrying", Retrying),
        ("completed", Completed),
        ("dead", Dead),
        ("cancelled", Cancelled),
    ] {
        let job = s.job(name);
        s.put(job.clone());
        match state {
            Running => drop(s.take(name)),
            Retrying => s.fail(&s.take(name)),
            Completed => s.complete(&s.take(name)),
            Dead => s.kill(&s.take(name)),
            _ => s.call_off(job.id),
        }
        jobs.push((job, state));
    }
    for (job, state) in jobs {
        let before = s.get(job.id);
        let other =
            NewJob { payload: b"another".to_vec(), priority: 3, queue: queue("other"), ..job.clone() };
        let want = Ok(Enqueued { id: job.id, status: Known, state });
        assert_eq!(s.offer(other), want, "{state}");
        assert_eq!(s.offer(job.clone()), want, "{state}");
        assert_eq!(s.get(job.id), before, "{state}");
    }
    assert_eq!(s.counts("other").0, [0; 8]);
}

fn an_ended_id_is_remembered_after_its_job_was_removed(host: &dyn Host) {
    let mut s = Subject::new(host);
    let mut retention = QueueSettings::default();
    retention.retention.completed_ms = 1_000;
    s.set_queue("q", retention);
    let (pruned, deleted, gone_live) = (s.job("q"), s.job("other"), s.job("third"));
    s.put_all(vec![pruned.clone(), deleted.clone(), gone_live.clone()]);
    s.complete(&s.take("q"));
    s.kill(&s.take("other"));
    s.delete(deleted.id).expect("a dead job can be deleted");
    s.delete(gone_live.id).expect("a ready job can be deleted");
    s.advance(1_100);
    for round in 0..2 {
        for (job, state) in [(&pruned, Some(Completed)), (&deleted, Some(Dead)), (&gone_live, None)] {
            assert_eq!(s.find(job.id), None, "round {round}");
            let answer = s.offer(job.clone()).expect("answered");
            assert_eq!((answer.id, answer.status), (job.id, Known), "round {round}");
            if let Some(state) = state {
                assert_eq!(answer.state, state, "round {round}");
            }
            assert_eq!(s.find(job.id), None, "a remembered id makes no job");
        }
        s.advance(3_600_000);
        s.restart();
    }
}

fn a_batch_answers_each_item_and_a_refused_one_stops_no_other(host: &dyn Host) {
    let s = Subject::new(host);
    let known = s.job("q");
    s.put(known.clone());
    let twin = s.job("q");
    let answers = s.enqueue(vec![
        s.job("q"),
        NewJob { priority: 10, ..s.job("q") },
        known.clone(),
        twin.clone(),
        twin.clone(),
        NewJob { payload: vec![0; (1 << 20) + 1], ..s.job("q") },
        NewJob { parents: after(&[JobId::from_parts(s.now(), 99)]), ..s.job("q") },
        s.job("q"),
    ]);
    let codes: Vec<&str> = answers
        .iter()
        .map(|answer| match answer {
            Ok(Enqueued { status: Created, .. }) => "created",
            Ok(Enqueued { status: Known, .. }) => "known",
            Ok(_) => "?",
            Err(why) => why.code(),
        })
        .collect();
    assert_eq!(
        codes,
        ["created", "invalid", "known", "created", "known", "invalid", "bad_parents", "created"],
        "{answers:?}"
    );
    assert_eq!(s.counts("q").of(Ready), 4);
}

fn an_all_or_nothing_batch_is_refused_whole_by_one_refusal(host: &dyn Host) {
    let s = Subject::new(host);
    let bad = NewJob { priority: 10, ..s.job("q") };
    let batch = vec![s.job("q"), bad, s.job("q")];
    let answers = s.wait(s.store().enqueue(batch.clone(), true, s.at()));
    assert_eq!(answers[0], Err(Rejection::BatchRefused));
    assert!(matches!(answers[1], Err(Rejection::Invalid { .. })), "{answers:?}");
    assert_eq!(answers[2], Err(Rejection::BatchRefused));
    assert!(batch.iter().all(|job| s.find(job.id).is_none()));
    assert!(s.events().is_empty(), "a refused batch leaves no event");
    assert!(s.claim("q", 10).is_empty());
    // The same ids are free: nothing remembers them.
    let good: Vec<NewJob> = batch.into_iter().map(|job| NewJob { priority: 1, ..job }).collect();
    let answers = s.wait(s.store().enqueue(good, true, s.at()));
    assert!(
        answers.iter().all(|a| matches!(a, Ok(Enqueued { status: Created, state: Ready, .. }))),
        "{answers:?}"
    );
}

fn an_all_or_nothing_batch_gives_back_the_unique_keys_and_the_room_that_it_took(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { max_waiting: Some(3), ..QueueSettings::default() });
    let unique = |key: &str| {
        Some(Unique {
            key: UniqueKey::new(key).unwrap(),
            scope: UniqueScope::WhileLive,
            on_conflict: windlass_core::job::OnConflict::Refuse,
        })
    };
    let parent = s.job("q");
    let batch = vec![
        NewJob { unique: unique("a"), ..parent.clone() },
        NewJob { parents: after(&[parent.id]), ..s.job("q") },
        NewJob { priority: 99, ..s.job("q") },
    ];
    let answers = s.wait(s.store().enqueue(batch, true, s.at()));
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    let full: Vec<_> = (0..3).map(|i| NewJob { unique: unique(["a", "b", "c"][i]), ..s.job("q") }).collect();
    assert!(s.enqueue(full).iter().all(|a| matches!(a, Ok(Enqueued { status: Created, .. }))));
    assert!(matches!(s.offer(s.job("q")), Err(Rejection::QueueFull { .. })));
}

fn an_id_more_than_an_hour_ahead_is_refused(host: &dyn Host) {
    let s = Subject::new(host);
    let ahead = |ms| NewJob { id: JobId::from_parts(s.now().plus_ms(ms), 5), ..s.job("q") };
    assert!(matches!(s.offer(ahead(3_600_001)), Err(Rejection::Invalid { what: "id", .. })));
    assert!(s.offer(ahead(3_600_000)).is_ok());
    assert!(s.offer(NewJob { id: JobId::from_parts(Time(1), 5), ..s.job("q") }).is_ok(), "an old id is fine");
}

fn a_full_queue_refuses_new_jobs_and_says_when_to_try_again(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { max_waiting: Some(4), ..QueueSettings::default() });
    let parent = s.put(s.job("elsewhere"));
    let known = s.job("q");
    let answers = s.enqueue(vec![
        NewJob { delay_ms: Some(60_000), ..s.job("q") },
        NewJob { parents: after(&[parent]), ..s.job("q") },
        known.clone(),
        s.job("q"),
        s.job("q"),
        s.job("q"),
    ]);
    assert!(answers[..4].iter().all(Result::is_ok), "{answers:?}");
    for refused in &answers[4..] {
        let Err(Rejection::QueueFull { queue, retry_after_ms }) = refused else { panic!("{refused:?}") };
        assert!(queue == "q" && *retry_after_ms > 0, "{refused:?}");
    }
    assert_eq!(s.offer(known).expect("known").status, Known, "a repeated enqueue is answered all the same");
    // A running job does not wait; a retrying one does.
    let held = s.take("q");
    s.put(s.job("q"));
    assert!(matches!(s.offer(s.job("q")), Err(Rejection::QueueFull { .. })));
    s.fail(&held);
    assert_eq!(s.counts("q").waiting(), 5, "what comes back is never refused");
    assert!(matches!(s.offer(s.job("q")), Err(Rejection::QueueFull { .. })));
    assert!(s.offer(s.job("elsewhere")).is_ok(), "another queue is not full");
}

fn a_full_queue_still_answers_the_holder_of_a_unique_key(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { max_waiting: Some(1), ..QueueSettings::default() });
    let unique = Some(Unique {
        key: UniqueKey::new("k").unwrap(),
        scope: UniqueScope::WhileLive,
        on_conflict: Default::default(),
    });
    let holder = s.put(NewJob { unique: unique.clone(), ..s.job("q") });
    let answer = s.offer(NewJob { unique, ..s.job("q") });
    assert_eq!(answer, Ok(Enqueued { id: holder, status: Existing, state: Ready }));
}

fn room_in_a_full_queue_comes_with_every_way_of_leaving_it(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { max_waiting: Some(1), ..QueueSettings::default() });
    let full = || matches!(s.offer(s.job("q")), Err(Rejection::QueueFull { .. }));
    let id = s.put(s.job("q"));
    assert!(full());
    s.cancel(id).unwrap();
    let id = s.put(s.job("q"));
    assert!(full());
    s.delete(id).unwrap();
    s.put(s.job("q"));
    assert!(full());
    s.take("q");
    s.put(NewJob { expires_at: Some(s.now().plus_ms(10)), ..s.job("q") });
    assert!(full());
    s.advance(11);
    s.put(s.job("q"));
    assert!(full());
    s.set_queue("q", QueueSettings { max_waiting: Some(2), ..QueueSettings::default() });
    s.put(s.job("q"));
    assert!(full());
    s.set_queue("q", QueueSettings::default());
    s.put(s.job("q"));
}

fn a_cost_that_a_limit_could_never_admit_is_refused(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slots", at_once(5));
    s.set_limit("speed", per(1, 1_000, 3));
    let costs = |name: &str, cost| s.offer(NewJob { limits: uses(&[(name, cost)]), ..s.job("q") });
    assert!(costs("slots", 5).is_ok());
    assert_eq!(costs("slots", 6), Err(Rejection::CostTooHigh { limit: "slots".into(), cost: 6, most: 5 }));
    assert!(costs("speed", 3).is_ok());
    assert_eq!(costs("speed", 4), Err(Rejection::CostTooHigh { limit: "speed".into(), cost: 4, most: 3 }));
    assert!(costs("nobody-has-set-it", 1_000_000).is_ok(), "a limit that nobody has set admits everything");
    s.set_limit("slots", at_once(0));
    assert!(costs("slots", 5).is_ok(), "a limit that is closed for a while refuses nothing for ever");
}

fn a_job_of_an_ordered_group_must_have_priority_0(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_group("q", "strict", GroupSettings { ordered: true, ..GroupSettings::default() });
    let answer = s.offer(NewJob { priority: 1, ..s.job_of("q", "strict") });
    assert!(matches!(answer, Err(Rejection::Invalid { what: "priority", .. })), "{answer:?}");
    assert!(s.offer(NewJob { priority: 1, ..s.job_of("q", "loose") }).is_ok());
    assert!(s.offer(s.job_of("q", "strict")).is_ok());
}

fn follow_ups_exist_if_and_only_if_the_completion_does(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    let held = s.take("q");
    let child = s.job("next");
    let then = vec![child.clone(), NewJob { priority: 10, ..s.job("next") }];
    let answer = s.end(Settle::Complete { lease: held.lease, result: None, then });
    assert!(answer.is_err(), "a follow-up that no store takes refuses the whole completion");
    assert_eq!(s.state(held.lease.job), Running);
    assert_eq!(s.find(child.id), None);
    assert!(s.beat(&held.lease).is_ok(), "the lease stays renewable");
    let then = vec![child.clone(), s.job("next")];
    let settlement = Settle::Complete { lease: held.lease, result: None, then };
    assert_eq!(s.end(settlement.clone()), Ok(()));
    assert_eq!((s.state(held.lease.job), s.state(child.id)), (Completed, Ready));
    assert_eq!(s.end(settlement), Ok(()), "a second ack enqueues nothing a second time");
    assert_eq!(s.counts("next").of(Ready), 2);
}

fn a_stale_completion_enqueues_no_follow_up(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    let held = s.take("q");
    s.advance(30_001);
    let child = s.job("next");
    let answer = s.end(Settle::Complete { lease: held.lease, result: None, then: vec![child.clone()] });
    assert_eq!(answer, Err(Rejection::Stale));
    assert_eq!(s.find(child.id), None);
}

fn a_follow_up_may_wait_for_the_job_that_enqueues_it_and_for_another_follow_up(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    let held = s.take("q");
    let first = s.job("next");
    let second = NewJob { parents: after(&[first.id, held.lease.job]), ..s.job("next") };
    let then = vec![second.clone(), first.clone()];
    assert_eq!(s.end(Settle::Complete { lease: held.lease, result: None, then }), Ok(()));
    assert_eq!((s.state(first.id), s.state(second.id)), (Ready, Blocked));
    s.complete(&s.take("next"));
    assert_eq!(s.state(second.id), Ready);
}

fn a_job_past_its_expiry_never_runs(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.job("q").id;
    let _ = s.offer(NewJob { id, expires_at: Some(s.now().minus_ms(1)), ..s.job("q") });
    s.upkeep();
    assert!(s.claim("q", 1).is_empty());
    assert!(s.find(id).is_none_or(|job| job.view.state == State::Cancelled));
}

fn a_parent_may_be_named_only_once_and_not_be_the_job_itself(host: &dyn Host) {
    let s = Subject::new(host);
    let own = s.job("q");
    let itself = NewJob { parents: after(&[own.id]), ..own };
    assert_eq!(s.offer(itself).expect_err("a cycle of one").code(), "bad_parents");
    let parent = s.put(s.job("q"));
    let twice = NewJob { parents: vec![Parent { id: parent, on: Default::default() }; 2], ..s.job("child") };
    let child = twice.id;
    // Refused or taken, one end of the parent settles the matter.
    let taken = s.offer(twice).is_ok();
    s.complete(&s.take("q"));
    assert_eq!(s.find(child).map(|job| job.view.state), taken.then_some(Ready));
}
