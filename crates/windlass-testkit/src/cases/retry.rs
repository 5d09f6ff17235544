//! T6, T7, T12: failures, losses, and new generations.

use crate::host::Host;
use crate::subject::*;
use windlass_core::bounds;
use windlass_core::event::{Cause, EventType};
use windlass_core::job::State::{Cancelled, Completed, Dead, Ready, Retrying, Running};
use windlass_core::job::{ErrorReport, Unique};
use windlass_core::name::UniqueKey;
use windlass_core::queue::QueueSettings;
use windlass_core::retry::{Jitter, RetryPolicy};
use windlass_core::store::{Filter, Settle};
use windlass_core::why::Reason;
use windlass_core::{NewJob, Rejection};

cases![
    the_delay_after_each_failure_is_the_policys_for_that_job_and_number,
    a_jobs_own_policy_comes_before_its_queues,
    a_changed_policy_of_the_queue_is_in_force_for_jobs_that_bring_none,
    a_worker_may_give_its_own_delay,
    a_fatal_error_makes_the_job_dead_at_once,
    three_losses_make_a_job_dead_as_lost_and_spend_no_failure,
    losses_and_failures_are_counted_apart,
    a_retried_job_starts_a_new_generation_whose_attempts_go_on,
    every_ended_job_can_be_retried_and_no_live_one,
    a_retry_checks_the_unique_key_again,
    a_list_of_retries_is_answered_one_by_one_and_may_come_from_a_filter,
    errors_are_kept_with_the_attempt_the_worker_and_the_time_the_newest_25,
    the_error_history_goes_on_over_generations_and_through_the_dead_letter,
    a_loss_is_in_the_history_without_an_error,
    a_running_attempt_stands_in_the_history_without_an_end,
];

fn retried_by(policy: RetryPolicy) -> QueueSettings {
    QueueSettings { retry: policy, ..QueueSettings::default() }
}

fn the_delay_after_each_failure_is_the_policys_for_that_job_and_number(host: &dyn Host) {
    let exponential =
        |jitter| RetryPolicy::Exponential { base_ms: 1_000, cap_ms: 9_000, max_failures: 6, jitter };
    let list = RetryPolicy::List { delays_ms: vec![5, 0, 700] };
    for policy in
        [exponential(Jitter::Full), exponential(Jitter::None), fixed(40, 4), list, RetryPolicy::never()]
    {
        let s = Subject::new(host);
        s.set_queue("q", retried_by(policy.clone()));
        let id = s.put(s.job("q"));
        for failures in 1..policy.max_failures() {
            s.fail(&s.take("q"));
            let view = s.get(id).view;
            let due = s.now().plus_ms(policy.delay_ms(id, failures));
            assert_eq!((view.failures, view.since), (failures, due), "{policy:?}");
            if due > s.now() {
                assert_eq!(view.state, Retrying, "{policy:?}");
                assert_eq!((s.reason(id), s.why(id).eta), (Reason::RetryBackoff, Some(due)));
                s.advance(due.since(s.now()) - 1);
                assert!(s.claim("q", 1).is_empty(), "{policy:?}");
                s.advance(1);
            } else {
                s.upkeep();
            }
        }
        s.fail(&s.take("q"));
        let view = s.get(id).view;
        assert_eq!((view.state, view.failures), (Dead, policy.max_failures()), "{policy:?}");
        assert_eq!(view.cause, Some(Cause::Exhausted));
        let event = s.last_event(id);
        assert_eq!((event.event, event.cause), (EventType::Died, Cause::Exhausted));
        s.advance(10_000_000);
        assert!(s.claim("q", 1).is_empty(), "a dead job stays dead");
    }
}

fn a_jobs_own_policy_comes_before_its_queues(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", retried_by(fixed(1, 2)));
    let own = s.put(NewJob { retry: Some(fixed(777, 9)), ..s.job("q") });
    s.fail(&s.take("q"));
    assert_eq!(s.get(own).view.since, s.now().plus_ms(777));
    s.advance(777);
    s.fail(&s.take("q"));
    assert_eq!(s.state(own), Retrying);
}

fn a_changed_policy_of_the_queue_is_in_force_for_jobs_that_bring_none(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", retried_by(fixed(10, 5)));
    let id = s.put(s.job("q"));
    s.fail(&s.take("q"));
    s.advance(10);
    s.set_queue("q", retried_by(fixed(5_000, 2)));
    s.fail(&s.take("q"));
    assert_eq!(s.state(id), Dead);
}

fn a_worker_may_give_its_own_delay(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", retried_by(fixed(60_000, 3)));
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.end(Settle::Fail { lease: held.lease, error: error("x"), retry_in_ms: Some(123), fatal: false })
        .unwrap();
    assert_eq!((s.get(id).view.since, s.get(id).view.failures), (s.now().plus_ms(123), 1));
    s.advance(123);
    let held = s.take("q");
    s.end(Settle::Fail { lease: held.lease, error: error("x"), retry_in_ms: Some(0), fatal: false }).unwrap();
    s.upkeep();
    let held = s.take("q");
    s.end(Settle::Fail { lease: held.lease, error: error("x"), retry_in_ms: Some(123), fatal: false })
        .unwrap();
    assert_eq!(s.state(id), Dead, "its own delay does not buy another try");
}

fn a_fatal_error_makes_the_job_dead_at_once(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    s.kill(&s.take("q"));
    let job = s.get(id);
    assert_eq!((job.view.state, job.view.failures, job.view.cause), (Dead, 1, Some(Cause::Fatal)));
    assert_eq!(s.last_event(id).cause, Cause::Fatal);
}

fn three_losses_make_a_job_dead_as_lost_and_spend_no_failure(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    for losses in 1..=3 {
        s.take("q");
        s.advance(bounds::LEASE_MS_DEFAULT + 1);
        let view = s.get(id).view;
        assert_eq!((view.losses, view.failures), (losses, 0));
        if losses < 3 {
            let lost = s.events().into_iter().rfind(|event| event.event == EventType::Lost);
            assert_eq!(lost.map(|event| (event.attempt, event.cause)), Some((losses, Cause::Lost)));
            s.advance(3_600_000);
            assert_eq!(s.state(id), Ready, "back by itself");
        }
    }
    assert_eq!((s.state(id), s.get(id).view.cause), (Dead, Some(Cause::Lost)));
    assert_eq!((s.last_event(id).event, s.last_event(id).cause), (EventType::Died, Cause::Lost));
    let totals = s.queue_info("q").totals;
    assert_eq!((totals.lost, totals.failed, totals.died), (3, 0, 1));
}

fn losses_and_failures_are_counted_apart(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", retried_by(fixed(10, 3)));
    let id = s.put(s.job("q"));
    for _ in 0..2 {
        s.fail(&s.take("q"));
        s.advance(10);
        s.take("q");
        s.advance(30_001);
        s.advance(3_600_000);
    }
    let view = s.get(id).view;
    assert_eq!((view.state, view.failures, view.losses, view.attempt), (Ready, 2, 2, 4));
    s.fail(&s.take("q"));
    assert_eq!((s.state(id), s.get(id).view.cause), (Dead, Some(Cause::Exhausted)));
}

fn a_retried_job_starts_a_new_generation_whose_attempts_go_on(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", retried_by(fixed(5, 2)));
    let id = s.put(s.job("q"));
    s.snooze(&s.take("q"), 5);
    s.advance(5);
    s.take("q");
    s.advance(30_001);
    s.advance(3_600_000);
    s.fail(&s.take("q"));
    s.advance(5);
    let last = s.take("q");
    s.fail(&last);
    let dead = s.get(id).view;
    assert_eq!((dead.state, dead.failures, dead.losses, dead.snoozes, dead.attempt), (Dead, 2, 1, 1, 4));
    s.retry(id).unwrap();
    let view = s.get(id).view;
    assert_eq!((view.state, view.failures, view.losses, view.snoozes, view.attempt), (Ready, 0, 0, 0, 4));
    assert_eq!((s.last_event(id).event, view.cause), (EventType::Retried, None));
    let again = s.take("q");
    assert_eq!((again.lease.attempt, again.failures), (5, 0));
    assert!(again.lease.token.counter > last.lease.token.counter);
    s.fail(&again);
    assert_eq!(s.state(id), Retrying, "the new generation has all its tries");
}

fn every_ended_job_can_be_retried_and_no_live_one(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 3);
    s.complete(&s.take("q"));
    s.kill(&s.take("q"));
    s.cancel(ids[2]).unwrap();
    for (id, state) in ids.iter().zip([Completed, Dead, Cancelled]) {
        assert_eq!(s.state(*id), state);
        assert_eq!(s.retry(*id), Ok(()));
        assert_eq!(s.retry(*id), Err(Rejection::WrongState { verb: "retry", state: Ready }));
    }
    assert_eq!(s.drain("q"), ids);
}

fn a_retry_checks_the_unique_key_again(host: &dyn Host) {
    let s = Subject::new(host);
    let unique = Some(Unique {
        key: UniqueKey::new("k").unwrap(),
        scope: Default::default(),
        on_conflict: Default::default(),
    });
    let first = s.put(NewJob { unique: unique.clone(), ..s.job("q") });
    s.complete(&s.take("q"));
    let second = s.put(NewJob { unique: unique.clone(), ..s.job("q") });
    assert_ne!(first, second);
    assert_eq!(s.retry(first), Err(Rejection::UniqueConflict { holder: second }));
    assert_eq!(s.state(first), Completed);
    s.complete(&s.take("q"));
    assert_eq!(s.retry(first), Ok(()));
    assert_eq!(
        s.retry(second),
        Err(Rejection::UniqueConflict { holder: first }),
        "the retried job holds it again"
    );
    let answer = s.offer(NewJob { unique, ..s.job("q") }).unwrap();
    assert_eq!(answer.id, first);
}

fn a_list_of_retries_is_answered_one_by_one_and_may_come_from_a_filter(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 6);
    let held = s.claim("q", 4);
    held.iter().for_each(|job| s.kill(job));
    let dead = s.list(&Filter { queue: Some(queue("q")), states: vec![Dead], ..Filter::default() });
    assert_eq!(dead.len(), 4);
    let mut asked = dead.clone();
    asked.extend([ids[5], s.id()]);
    let answers = s.wait(s.store().retry(asked, s.at()));
    assert!(answers[..4].iter().all(Result::is_ok), "{answers:?}");
    assert!(matches!(answers[4], Err(Rejection::WrongState { .. })));
    assert!(matches!(answers[5], Err(Rejection::NotFound { .. })));
    assert_eq!(s.counts("q").of(Ready), 6);
}

fn errors_are_kept_with_the_attempt_the_worker_and_the_time_the_newest_25(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", retried_by(fixed(10, 100)));
    let id = s.put(s.job("q"));
    for n in 1..=40u32 {
        let held = s.take("q");
        s.pass(3);
        let report = ErrorReport {
            class: Some("Timeout".into()),
            message: format!("failure {n}"),
            detail: Some(format!("caused by {n}")),
            ..error(&format!("failure {n}"))
        };
        s.end(Settle::Fail { lease: held.lease, error: report, retry_in_ms: None, fatal: false }).unwrap();
        s.advance(10);
    }
    let job = s.get(id);
    let kept: Vec<u32> = job.attempts.iter().map(|attempt| attempt.attempt).collect();
    assert_eq!(kept, (16..=40).collect::<Vec<_>>());
    assert_eq!(kept.len(), bounds::ERROR_HISTORY_MAX);
    for record in &job.attempts {
        let told = record.error.as_ref().expect("a failed attempt has its error");
        assert_eq!(told.message, format!("failure {}", record.attempt));
        assert_eq!(told.class.as_deref(), Some("Timeout"));
        assert_eq!(told.detail.as_deref(), Some(&*format!("caused by {}", record.attempt)));
        assert_eq!(record.worker, WORKER);
        assert_eq!(record.ended_at.expect("ended").since(record.started_at), 3);
    }
    assert_eq!(job.view.last_error.as_deref(), Some("failure 40"));
}

fn the_error_history_goes_on_over_generations_and_through_the_dead_letter(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    s.kill(&s.take("q"));
    s.retry(id).unwrap();
    s.kill(&s.take("q"));
    let messages: Vec<u32> = s.get(id).attempts.iter().map(|record| record.attempt).collect();
    assert_eq!(messages, [1, 2]);
}

fn a_loss_is_in_the_history_without_an_error(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    s.take("q");
    s.advance(30_001);
    let job = s.get(id);
    assert_eq!(job.attempts.len(), 1);
    assert_eq!((job.attempts[0].outcome.as_str(), job.attempts[0].attempt), ("lost", 1));
    assert_eq!(job.attempts[0].ended_at, Some(s.now()));
    assert_eq!(job.attempts[0].error, None);
}

fn a_running_attempt_stands_in_the_history_without_an_end(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    s.take("q");
    let job = s.get(id);
    assert_eq!(
        (job.view.state, job.attempts.last().map(|a| (a.attempt, a.ended_at))),
        (Running, Some((1, None)))
    );
}
