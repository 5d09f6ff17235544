//! T9 and T10: cancelling a waiting job, and asking a running one to stop.

use crate::host::Host;
use crate::subject::*;
use windlass_core::event::{Cause, EventType};
use windlass_core::job::State::{Cancelled, Completed, Ready, Running};
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Beat, Cancelled as Outcome, ReleaseReason, Signal};
use windlass_core::{NewJob, Rejection, WorkerId, bounds};

cases![
    a_waiting_job_is_cancelled_at_once_and_never_runs,
    a_running_job_is_asked_to_stop_and_its_holder_hears_it,
    a_cancellation_reaches_the_watch_of_the_worker_that_holds_the_job,
    a_cancellation_is_told_to_a_worker_that_watches_later,
    after_a_request_only_a_completion_completes,
    a_job_that_ignores_the_request_is_ended_after_the_grace_though_it_beats,
    a_heartbeat_after_the_request_does_not_put_off_the_grace,
    a_lease_that_runs_out_after_a_request_ends_in_cancelled,
    the_slot_of_a_job_that_ignored_its_cancellation_is_free_again,
    a_retry_clears_the_request,
    cancellations_are_answered_one_by_one,
];

fn a_waiting_job_is_cancelled_at_once_and_never_runs(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let ready = s.put(s.job("q"));
    let scheduled = s.put(NewJob { delay_ms: Some(10), ..s.job("q") });
    let blocked = s.put(NewJob { parents: after(&[parent]), ..s.job("q") });
    for id in [ready, scheduled, blocked] {
        assert_eq!(s.cancel(id), Ok(Outcome::Now));
        assert_eq!(s.state(id), Cancelled);
        let event = s.last_event(id);
        assert_eq!((event.event, event.cause), (EventType::Cancelled, Cause::Requested));
        assert_eq!(s.get(id).view.cause, Some(Cause::Requested));
    }
    s.complete(&s.take("parents"));
    s.advance(60_000);
    assert!(s.claim("q", 9).is_empty());
}

fn a_running_job_is_asked_to_stop_and_its_holder_hears_it(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    assert_eq!(s.cancel(id), Ok(Outcome::Requested));
    assert_eq!(s.state(id), Running);
    assert!(s.get(id).cancel_requested);
    assert!(matches!(s.beat(&held.lease), Ok(Beat { cancel_requested: true, .. })));
    assert_eq!(s.cancel(id), Ok(Outcome::Requested), "asking twice is asking once");
    let asked = s.story(id).into_iter().filter(|event| *event == EventType::CancelRequested).count();
    assert_eq!(asked, 1);
}

fn a_cancellation_reaches_the_watch_of_the_worker_that_holds_the_job(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    let mut other = s.watch(WorkerId(1), "q", 1);
    let mut holder = s.watch(WORKER, "q", 1);
    assert!(!other.has_answered() && !holder.has_answered());
    s.cancel(id).unwrap();
    let Signal::Cancel(lease) = holder.answer() else { panic!("the holder is told which lease") };
    assert_eq!((lease.job, lease.token), (id, held.lease.token));
    assert!(!other.has_answered(), "nobody else is told");
}

fn a_cancellation_is_told_to_a_worker_that_watches_later(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.cancel(id).unwrap();
    let Signal::Cancel(lease) = s.watch(WORKER, "q", 1).answer() else { panic!("the holder is told") };
    assert_eq!((lease.job, lease.token), (id, held.lease.token));
}

fn after_a_request_only_a_completion_completes(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 5);
    let held = s.claim("q", 5);
    for id in &ids {
        s.cancel(*id).unwrap();
    }
    let lease = |i: usize| &held[i].lease;
    let ends = vec![
        complete(lease(0)),
        fail(lease(1)),
        fatal(lease(2)),
        snooze(lease(3), 10),
        release(lease(4), ReleaseReason::NoHandler),
    ];
    assert_eq!(s.settle(ends.clone()), vec![Ok(()); 5]);
    let states: Vec<_> = ids.iter().map(|id| s.state(*id)).collect();
    assert_eq!(states, [Completed, Cancelled, Cancelled, Cancelled, Cancelled]);
    assert_eq!(s.settle(ends), vec![Ok(()); 5], "a second acknowledgement is ok here too");
    s.advance(120_000);
    assert!(s.claim("q", 9).is_empty());
    for id in &ids[1..] {
        let ended =
            s.story(*id).into_iter().filter(|e| matches!(e, EventType::Cancelled | EventType::Died)).count();
        assert_eq!(ended, 1, "one terminal event");
    }
}

fn a_job_that_ignores_the_request_is_ended_after_the_grace_though_it_beats(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.cancel(id).unwrap();
    for _ in 0..5 {
        s.advance(5_000);
        assert!(s.beat(&held.lease).is_ok());
    }
    s.advance(bounds::CANCEL_GRACE_MS - 25_000 - 1);
    assert_eq!(s.state(id), Running);
    s.advance(2);
    assert_eq!(s.state(id), Cancelled);
    let event = s.last_event(id);
    assert_eq!((event.event, event.cause), (EventType::Cancelled, Cause::GraceOver));
    assert_eq!(s.end(complete(&held.lease)), Err(Rejection::Stale));
    assert_eq!(s.beat(&held.lease), Err(Rejection::Stale));
}

fn a_heartbeat_after_the_request_does_not_put_off_the_grace(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { lease_ms: 3_600_000, ..QueueSettings::default() });
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.cancel(id).unwrap();
    s.advance(bounds::CANCEL_GRACE_MS - 1);
    assert!(s.beat(&held.lease).is_ok());
    s.cancel(id).unwrap();
    s.advance(2);
    assert_eq!(s.state(id), Cancelled, "neither does asking again");
}

fn a_lease_that_runs_out_after_a_request_ends_in_cancelled(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { lease_ms: 2_000, ..QueueSettings::default() });
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.cancel(id).unwrap();
    s.advance(2_001);
    assert_eq!(s.state(id), Cancelled);
    assert_eq!(s.get(id).view.losses, 0, "a cancelled attempt was not lost");
    for late in [complete(&held.lease), fail(&held.lease), snooze(&held.lease, 5)] {
        assert_eq!(s.end(late), Err(Rejection::Stale), "its holder has not settled it, and cannot any more");
    }
}

fn the_slot_of_a_job_that_ignored_its_cancellation_is_free_again(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", limited(at_once(1)));
    s.put_many("q", 2);
    let held = s.take("q");
    s.cancel(held.lease.job).unwrap();
    assert!(s.claim("q", 1).is_empty(), "asking frees nothing");
    s.advance(bounds::CANCEL_GRACE_MS + 1);
    assert_eq!(s.claim("q", 1).len(), 1);
}

fn a_retry_clears_the_request(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.cancel(id).unwrap();
    s.fail(&held);
    assert_eq!(s.state(id), Cancelled);
    s.retry(id).unwrap();
    assert_eq!(s.state(id), Ready);
    let again = s.take("q");
    assert!(!s.get(id).cancel_requested);
    assert!(matches!(s.beat(&again.lease), Ok(Beat { cancel_requested: false, .. })));
    s.advance(bounds::CANCEL_GRACE_MS - 5_000);
    s.beat(&again.lease).unwrap();
    s.advance(bounds::CANCEL_GRACE_MS - 5_000);
    assert_eq!(s.state(id), Running, "the old grace is forgotten");
    s.release(&again);
    assert_eq!(s.state(id), Ready, "and so is the old request");
}

fn cancellations_are_answered_one_by_one(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 3);
    let held = s.take("q");
    let unknown = s.id();
    let answers = s.wait(s.store().cancel(vec![ids[0], unknown, ids[1], ids[1]], s.at()));
    assert_eq!(answers[0], Ok(Outcome::Requested));
    assert!(matches!(answers[1], Err(Rejection::NotFound { .. })));
    assert_eq!(answers[2..], [Ok(Outcome::Now), Ok(Outcome::Now)]);
    s.complete(&held);
    assert!(matches!(s.cancel(ids[0]), Err(Rejection::WrongState { .. })));
}
