//! T13: ended jobs are kept by age and by count, and removed on a clock.

use crate::host::{Host, START};
use crate::subject::*;
use windlass_core::bounds;
use windlass_core::event::{Cause, EventType};
use windlass_core::job::State::{Blocked, Cancelled, Completed, Dead, Ready, Running};
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::{JobId, NewJob, Rejection};

cases![
    each_kind_of_end_has_its_own_age,
    age_counts_from_the_end_and_not_from_the_enqueue,
    the_newest_are_kept_by_count,
    retention_is_per_queue_and_changed_live,
    the_defaults_keep_a_day_and_dead_ones_for_ninety,
    live_jobs_are_never_pruned,
    a_parent_is_kept_as_long_as_a_dependent_is_live,
    a_retried_job_is_no_longer_pruned_as_the_ended_one_it_was,
    a_deleted_job_is_gone_with_everything_that_belonged_to_it,
    a_running_job_cannot_be_deleted,
    a_late_acknowledgement_of_a_removed_job_is_stale,
    retention_goes_on_after_a_restart restarts,
];

fn kept(retention: Retention) -> QueueSettings {
    QueueSettings { retention, ..QueueSettings::default() }
}

fn complete_all(s: &Subject, name: &str, jobs: usize) -> Vec<JobId> {
    s.put_many(name, jobs);
    s.drain(name)
}

fn each_kind_of_end_has_its_own_age(host: &dyn Host) {
    let s = Subject::new(host);
    let retention =
        Retention { completed_ms: 1_000, cancelled_ms: 2_000, dead_ms: 3_000, ..Retention::default() };
    s.set_queue("q", kept(retention));
    let ids = s.put_many("q", 3);
    s.complete(&s.take("q"));
    s.cancel(ids[1]).unwrap();
    s.kill(&s.take("q"));
    for (age, left) in [(999, 3), (1_001, 2), (1_999, 2), (2_001, 1), (2_999, 1), (3_001, 0)] {
        s.advance(age - s.now().since(START));
        let there = ids.iter().filter(|id| s.find(**id).is_some()).count();
        assert_eq!(there, left, "after {age} ms");
    }
    for id in &ids {
        let event = s.last_event(*id);
        assert_eq!((event.event, event.cause), (EventType::Removed, Cause::Retention));
    }
    assert_eq!(s.counts("q").0, [0; 8]);
}

fn age_counts_from_the_end_and_not_from_the_enqueue(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", kept(Retention { completed_ms: 1_000, ..Retention::default() }));
    let id = s.put(s.job("q"));
    s.advance(50_000);
    s.complete(&s.take("q"));
    s.advance(999);
    assert_eq!(s.state(id), Completed);
    s.advance(2);
    assert_eq!(s.find(id), None);
}

fn the_newest_are_kept_by_count(host: &dyn Host) {
    let s = Subject::new(host);
    let retention =
        Retention { completed_count: 3, cancelled_count: 2, dead_count: 1, ..Retention::default() };
    s.set_queue("q", kept(retention));
    let completed = complete_all(&s, "q", 10);
    let dead = s.put_many("q", 5);
    s.claim("q", 5).iter().for_each(|job| s.kill(job));
    let cancelled = s.put_many("q", 5);
    for id in &cancelled {
        s.cancel(*id).unwrap();
    }
    s.advance(1);
    let left = |ids: &[JobId]| ids.iter().filter(|id| s.find(**id).is_some()).copied().collect::<Vec<_>>();
    assert_eq!(left(&completed), completed[7..]);
    assert_eq!(left(&dead), dead[4..]);
    assert_eq!(left(&cancelled), cancelled[3..]);
    let counts = s.counts("q");
    assert_eq!((counts.of(Completed), counts.of(Dead), counts.of(Cancelled)), (3, 1, 2));
}

fn retention_is_per_queue_and_changed_live(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("a", kept(Retention { completed_count: 1, ..Retention::default() }));
    complete_all(&s, "a", 5);
    complete_all(&s, "b", 5);
    s.advance(1);
    assert_eq!((s.counts("a").of(Completed), s.counts("b").of(Completed)), (1, 5));
    s.set_queue("b", kept(Retention { completed_ms: 0, ..Retention::default() }));
    s.advance(1);
    assert_eq!(s.counts("b").of(Completed), 0);
}

fn the_defaults_keep_a_day_and_dead_ones_for_ninety(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 3);
    s.complete(&s.take("q"));
    s.kill(&s.take("q"));
    s.cancel(ids[2]).unwrap();
    s.advance(bounds::RETENTION_ENDED_MS - 1);
    assert!(ids.iter().all(|id| s.find(*id).is_some()));
    s.advance(2);
    let there: Vec<bool> = ids.iter().map(|id| s.find(*id).is_some()).collect();
    assert_eq!(there, [false, true, false]);
    s.advance(bounds::RETENTION_DEAD_MS - bounds::RETENTION_ENDED_MS - 2);
    assert!(s.find(ids[1]).is_some());
    s.advance(2);
    assert!(s.find(ids[1]).is_none());
}

fn live_jobs_are_never_pruned(host: &dyn Host) {
    let s = Subject::new(host);
    let retention = Retention {
        completed_ms: 0,
        cancelled_ms: 0,
        dead_ms: 0,
        completed_count: 0,
        cancelled_count: 0,
        dead_count: 0,
    };
    s.set_queue("q", QueueSettings { lease_ms: bounds::LEASE_MS_MAX, ..kept(retention) });
    let parent = s.put(s.job("parents"));
    let running = s.put(s.job("q"));
    s.take("q");
    let ready = s.put(s.job("q"));
    let scheduled = s.put(NewJob { delay_ms: Some(bounds::LEASE_MS_MAX), ..s.job("q") });
    let blocked = s.put(NewJob { parents: after(&[parent]), ..s.job("q") });
    s.advance(bounds::LEASE_MS_MAX - 1);
    assert_eq!([running, ready, blocked].map(|id| s.state(id)), [Running, Ready, Blocked]);
    assert!(s.find(scheduled).is_some());
}

fn a_parent_is_kept_as_long_as_a_dependent_is_live(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue(
        "parents",
        kept(Retention { completed_ms: 1_000, completed_count: 1, ..Retention::default() }),
    );
    let parent = s.put(s.job("parents"));
    let child = s.put(NewJob { parents: after(&[parent]), ..s.job("children") });
    s.complete(&s.take("parents"));
    let ended_at = s.get(parent).view.since;
    let others = complete_all(&s, "parents", 5);
    s.advance(5_000);
    assert_eq!(s.state(parent), Completed);
    assert_eq!(s.get(parent).view.since, ended_at, "a job that must stay ended when it ended");
    assert!(others.iter().all(|id| s.find(*id).is_none()), "a parent that must stay holds up no other");
    assert_eq!(s.delete(parent), Err(Rejection::HasLiveChildren));
    let held = s.take("children");
    s.advance(5_000);
    assert_eq!((s.state(parent), s.state(child)), (Completed, Running));
    s.complete(&held);
    s.advance(60_000);
    assert_eq!(s.find(parent), None, "and no longer");
}

fn a_retried_job_is_no_longer_pruned_as_the_ended_one_it_was(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", kept(Retention { completed_ms: 1_000, ..Retention::default() }));
    let id = complete_all(&s, "q", 1)[0];
    s.advance(900);
    s.retry(id).unwrap();
    s.advance(900);
    assert_eq!(s.state(id), Ready);
    s.complete(&s.take("q"));
    s.advance(900);
    assert_eq!(s.state(id), Completed);
    s.advance(200);
    assert_eq!(s.find(id), None);
}

fn a_deleted_job_is_gone_with_everything_that_belonged_to_it(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job_of("q", "g"));
    s.kill(&s.take("q"));
    assert_eq!(s.delete(id), Ok(()));
    assert_eq!(s.find(id), None);
    assert_eq!(s.counts("q").0, [0; 8]);
    assert!(matches!(s.retry(id), Err(Rejection::NotFound { .. })));
    assert!(matches!(s.delete(id), Err(Rejection::NotFound { .. })));
    let event = s.last_event(id);
    assert_eq!((event.event, event.cause), (EventType::Removed, Cause::Requested));
    assert!(s.list(&Default::default()).is_empty());
}

fn a_running_job_cannot_be_deleted(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    assert!(matches!(s.delete(id), Err(Rejection::WrongState { .. })));
    s.complete(&held);
    assert_eq!(s.delete(id), Ok(()));
}

fn retention_goes_on_after_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.set_queue("q", kept(Retention { completed_ms: 60_000, completed_count: 3, ..Retention::default() }));
    let ids = complete_all(&s, "q", 10);
    s.advance(1);
    s.restart();
    let left: Vec<JobId> = ids.iter().filter(|id| s.find(**id).is_some()).copied().collect();
    assert_eq!(left, ids[7..]);
    let more = complete_all(&s, "q", 2);
    s.advance(1);
    assert!(s.find(ids[8]).is_none() && s.find(ids[9]).is_some(), "the oldest go first");
    s.abandon();
    s.pass(60_001);
    s.open();
    s.upkeep();
    assert!(more.iter().chain(&ids).all(|id| s.find(*id).is_none()));
}

fn a_late_acknowledgement_of_a_removed_job_is_stale(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", kept(Retention { completed_ms: 10, ..Retention::default() }));
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.complete(&held);
    s.advance(100);
    assert_eq!(s.find(id), None);
    assert!(s.end(complete(&held.lease)).is_err());
    assert!(s.beat(&held.lease).is_err());
}
