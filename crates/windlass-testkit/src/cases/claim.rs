//! T3 and T4: claims and heartbeats.

use crate::host::Host;
use crate::subject::*;
use windlass_core::bounds;
use windlass_core::job::State::{Ready, Running, Scheduled};
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Beat, Claim, Settle};
use windlass_core::{Lease, LeaseToken, NewJob, Rejection, WorkerId};

cases![
    a_claim_takes_up_to_what_was_asked_of_each_queue,
    a_claim_of_nothing_gives_nothing,
    one_claim_gives_at_most_a_batch_and_the_rest_stay,
    every_lease_has_a_new_counter_the_callers_nonce_and_a_deadline,
    a_claimed_job_says_what_its_earlier_attempts_came_to,
    what_was_settled_in_a_claim_makes_room_for_the_same_claim,
    settlements_are_answered_one_by_one_and_a_refused_one_stops_no_other,
    nothing_is_claimed_before_it_is_due_and_everything_once_it_is,
    an_empty_claim_says_when_asking_again_may_give_more,
    an_empty_claim_of_a_rated_queue_says_when_the_rate_admits_more,
    a_paused_queue_gives_nothing_and_its_running_jobs_go_on,
    a_heartbeat_moves_the_deadline_and_keeps_the_lease,
    a_lease_without_heartbeat_is_lost_after_its_deadline_and_not_before,
    a_heartbeat_is_answered_per_lease,
    a_lease_that_was_never_given_holds_nothing,
    another_worker_may_settle_only_with_the_whole_token,
    a_claim_may_name_a_queue_twice_and_gets_no_job_twice,
    a_claim_does_not_filter_by_kind,
    the_time_of_a_claim_is_the_one_that_its_caller_names,
];

fn a_claim_takes_up_to_what_was_asked_of_each_queue(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("a", 5);
    s.put_many("b", 1);
    let jobs = s.ask(WORKER, vec![], &[("b", 3), ("a", 2), ("unknown", 7)]).jobs;
    let from: Vec<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    assert_eq!(from, ["b", "a", "a"]);
    assert_eq!((s.counts("a").of(Running), s.counts("a").of(Ready)), (2, 3));
    assert_eq!((s.counts("b").of(Running), s.counts("b").of(Ready)), (1, 0));
}

fn a_claim_of_nothing_gives_nothing(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("a"));
    assert!(s.ask(WORKER, vec![], &[]).jobs.is_empty());
    assert!(s.ask(WORKER, vec![], &[("a", 0)]).jobs.is_empty());
    assert_eq!(s.counts("a").of(Ready), 1);
}

fn one_claim_gives_at_most_a_batch_and_the_rest_stay(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("a", 1_500);
    let jobs = s.claim("a", u32::MAX);
    assert!(!jobs.is_empty() && jobs.len() <= bounds::BATCH_ITEMS_MAX, "{} jobs", jobs.len());
    assert_eq!(s.counts("a").of(Running), jobs.len() as u64);
    assert_eq!(s.claim("a", 1_000).len(), (1_500 - jobs.len()).min(1_000));
}

fn every_lease_has_a_new_counter_the_callers_nonce_and_a_deadline(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("a", QueueSettings { lease_ms: 7_000, ..QueueSettings::default() });
    s.put_many("a", 3);
    let mut last = 0;
    for round in 1..=5 {
        let wants = vec![(queue("a"), 3)];
        let claim = Claim { settle_first: vec![], wants, worker: WORKER, nonce: 1_000 + round };
        let jobs = s.wait(s.store().claim(claim, s.at())).jobs;
        assert_eq!(jobs.len(), 3);
        for job in &jobs {
            assert_eq!(u64::from(job.lease.attempt), round);
            assert_eq!(job.lease.token.nonce, 1_000 + round);
            assert!(job.lease.token.counter > last, "the counter only grows");
            last = job.lease.token.counter;
            assert_eq!((job.lease_ms, job.lease.deadline), (7_000, s.now().plus_ms(7_000)));
            let seen = s.get(job.lease.job);
            assert_eq!((seen.worker, seen.deadline), (Some(WORKER), Some(job.lease.deadline)));
            assert_eq!((seen.view.state, seen.view.since), (Running, s.now()));
        }
        for job in jobs {
            s.release(&job);
        }
        s.pass(3);
    }
}

fn a_claimed_job_says_what_its_earlier_attempts_came_to(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { retry: fixed(100, 10), ..QueueSettings::default() });
    let enqueued_at = s.now();
    s.put(s.job("q"));
    s.fail(&s.take("q"));
    s.advance(100);
    s.snooze(&s.take("q"), 50);
    s.advance(50);
    s.take("q");
    s.advance(30_001);
    s.advance(3_600_000);
    let held = s.take("q");
    assert_eq!((held.lease.attempt, held.failures, held.losses, held.snoozes), (4, 1, 1, 1));
    assert_eq!(held.enqueued_at, enqueued_at);
    assert!(held.ready_at > enqueued_at && held.ready_at <= s.now());
}

fn what_was_settled_in_a_claim_makes_room_for_the_same_claim(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", limited(at_once(2)));
    s.put_many("q", 4);
    let held = s.claim("q", 10);
    assert_eq!(held.len(), 2);
    let done = held.iter().map(|job| complete(&job.lease)).collect();
    let answer = s.ask(WORKER, done, &[("q", 10)]);
    assert_eq!(answer.settled, vec![Ok(()), Ok(())]);
    assert_eq!(answer.jobs.len(), 2);
}

fn settlements_are_answered_one_by_one_and_a_refused_one_stops_no_other(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 3);
    let held = s.claim("q", 3);
    let mut stolen = held[1].lease;
    stolen.token.nonce ^= 1;
    let done = vec![complete(&held[0].lease), complete(&stolen), complete(&held[2].lease)];
    let answer = s.ask(WORKER, done, &[("q", 3)]);
    assert_eq!(answer.settled, vec![Ok(()), Err(Rejection::Stale), Ok(())]);
    assert_eq!(s.state(held[1].lease.job), Running);
    assert!(answer.jobs.is_empty());
}

fn nothing_is_claimed_before_it_is_due_and_everything_once_it_is(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(NewJob { delay_ms: Some(1_000), ..s.job("q") });
    assert!(s.claim("q", 1).is_empty());
    s.advance(999);
    assert!(s.claim("q", 1).is_empty());
    assert_eq!(s.state(id), Scheduled);
    s.advance(1);
    assert_eq!(s.claim_ids("q", 1), [id]);
}

fn an_empty_claim_says_when_asking_again_may_give_more(host: &dyn Host) {
    let s = Subject::new(host);
    assert_eq!(s.ask(WORKER, vec![], &[("q", 1)]).try_again_at, None, "only an event can give more");
    s.put(NewJob { delay_ms: Some(5_000), ..s.job("q") });
    s.put(NewJob { delay_ms: Some(2_000), ..s.job("q") });
    s.put(NewJob { delay_ms: Some(1_000), ..s.job("elsewhere") });
    let first = s.now().plus_ms(2_000);
    let told = s.ask(WORKER, vec![], &[("q", 1)]).try_again_at.expect("a job of the queue has a time");
    // An earlier time costs a question; a later one would cost lateness.
    assert!(told > s.now() && told <= first, "{told} is not within ({}, {first}]", s.now());
}

fn an_empty_claim_of_a_rated_queue_says_when_the_rate_admits_more(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", limited(per(1, 1_000, 1)));
    s.put_many("q", 3);
    assert_eq!(s.claim("q", 3).len(), 1);
    let told = s.ask(WORKER, vec![], &[("q", 3)]).try_again_at;
    assert_eq!(told, Some(s.now().plus_ms(1_000)));
    s.advance(999);
    assert!(s.claim("q", 3).is_empty());
    s.advance(1);
    assert_eq!(s.claim("q", 3).len(), 1);
}

fn a_paused_queue_gives_nothing_and_its_running_jobs_go_on(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 3);
    let held = s.take("q");
    s.pause("q", true);
    assert!(s.claim("q", 5).is_empty());
    assert!(s.beat(&held.lease).is_ok());
    s.complete(&held);
    s.put(s.job("q"));
    s.advance(60_000);
    assert!(s.claim("q", 5).is_empty());
    assert_eq!(s.counts("q").of(Ready), 3, "a paused job is still ready");
    s.pause("q", false);
    assert_eq!(s.claim("q", 5).len(), 3);
}

fn a_heartbeat_moves_the_deadline_and_keeps_the_lease(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    let held = s.take("q");
    for _ in 0..5 {
        s.advance(29_999);
        let deadline = s.now().plus_ms(30_000);
        assert_eq!(s.beat(&held.lease), Ok(Beat { deadline, cancel_requested: false }));
        assert_eq!(s.get(held.lease.job).deadline, Some(deadline));
    }
    s.advance(29_999);
    s.complete(&held);
}

fn a_lease_without_heartbeat_is_lost_after_its_deadline_and_not_before(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.advance(29_999);
    assert_eq!(s.state(id), Running);
    s.advance(2);
    assert_ne!(s.state(id), Running);
    assert_eq!(s.beat(&held.lease), Err(Rejection::Stale));
    assert_eq!(s.get(id).view.losses, 1);
    assert_eq!(s.get(id).view.failures, 0);
}

fn a_heartbeat_is_answered_per_lease(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 3);
    let held = s.claim("q", 3);
    s.complete(&held[1]);
    let leases: Vec<Lease> = held.iter().map(|job| job.lease).collect();
    let beats = s.wait(s.store().heartbeat(leases, s.at()));
    let answers: Vec<bool> = beats.iter().map(Result::is_ok).collect();
    assert_eq!(answers, [true, false, true]);
    assert_eq!(beats[1], Err(Rejection::Stale));
}

fn a_lease_that_was_never_given_holds_nothing(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let forged = Lease { job: id, attempt: 0, token: LeaseToken::default(), deadline: s.now().plus_ms(9) };
    assert_eq!(s.beat(&forged), Err(Rejection::Stale));
    assert_eq!(s.end(complete(&forged)), Err(Rejection::Stale));
    let unknown = Lease { job: s.id(), ..forged };
    assert!(s.beat(&unknown).is_err());
    assert!(s.end(complete(&unknown)).is_err());
}

fn another_worker_may_settle_only_with_the_whole_token(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    let held = s.take("q");
    for wrong in [
        LeaseToken { counter: held.lease.token.counter + 1, ..held.lease.token },
        LeaseToken { counter: held.lease.token.counter - 1, ..held.lease.token },
        LeaseToken { nonce: held.lease.token.nonce + 1, ..held.lease.token },
        LeaseToken::default(),
    ] {
        let lease = Lease { token: wrong, ..held.lease };
        assert_eq!(s.end(complete(&lease)), Err(Rejection::Stale));
        assert_eq!(s.beat(&lease), Err(Rejection::Stale));
    }
    // The token is the right, whoever shows it.
    let answer = s.ask(WorkerId(99), vec![complete(&held.lease)], &[]).settled;
    assert_eq!(answer, vec![Ok(())]);
}

fn a_claim_may_name_a_queue_twice_and_gets_no_job_twice(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 3);
    let jobs = s.ask(WORKER, vec![], &[("q", 2), ("q", 2)]).jobs;
    let mut ids: Vec<_> = jobs.iter().map(|job| job.lease.job).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), jobs.len());
    assert_eq!(s.counts("q").of(Running), jobs.len() as u64);
}

fn a_claim_does_not_filter_by_kind(host: &dyn Host) {
    let s = Subject::new(host);
    for name in ["one", "two", "three"] {
        s.put(NewJob { kind: kind(name), ..s.job("q") });
    }
    let kinds: Vec<String> = s.claim("q", 3).iter().map(|job| job.kind.to_string()).collect();
    assert_eq!(kinds, ["one", "two", "three"]);
}

fn the_time_of_a_claim_is_the_one_that_its_caller_names(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    let at = s.now().plus_ms(500);
    let claim = Claim { settle_first: vec![], wants: vec![(queue("q"), 1)], worker: WORKER, nonce: 9 };
    let held = s.wait(s.store().claim(claim, Some(at))).jobs.remove(0);
    assert_eq!(held.lease.deadline, at.plus_ms(30_000));
    let settlement = Settle::Complete { lease: held.lease, result: None, then: vec![] };
    let claim = Claim { settle_first: vec![settlement], wants: vec![], worker: WORKER, nonce: 9 };
    assert_eq!(s.wait(s.store().claim(claim, Some(at.plus_ms(70)))).settled, vec![Ok(())]);
    assert_eq!(s.get(held.lease.job).view.since, at.plus_ms(70));
}
