//! Section 3, rule 4: ordered groups.

use crate::host::Host;
use crate::subject::*;
use windlass_core::job::State::{Blocked, Completed, Dead, Ready, Retrying, Running, Scheduled};
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings, Retention};
use windlass_core::store::{ClaimedJob, Edit, ReleaseReason};
use windlass_core::why::Reason;
use windlass_core::{JobId, NewJob, Rejection, bounds};

cases![
    an_ordered_group_has_one_lease_at_a_time_and_goes_in_order,
    ordered_groups_run_beside_each_other,
    the_head_keeps_its_place_through_retry_snooze_release_and_loss,
    a_job_takes_its_place_when_it_first_becomes_ready,
    a_scheduled_job_that_was_never_ready_stops_nobody,
    a_dead_head_shuts_the_group_until_it_is_retried_in_place,
    a_dead_head_shuts_the_group_until_it_is_deleted,
    a_head_that_dies_by_losses_or_out_of_tries_shuts_the_group_too,
    a_dead_head_may_die_again_and_again_and_keeps_its_place,
    a_shut_group_stops_no_other,
    retention_leaves_alone_the_dead_head_that_shuts_its_group,
    parked_the_next_goes_on_and_the_dead_head_joins_the_tail_when_it_is_retried,
    a_cancelled_head_leaves_its_place_to_the_next,
    a_running_head_that_ignores_its_cancellation_opens_the_group_after_the_grace,
    jobs_behind_the_head_may_be_cancelled_deleted_and_edited,
    a_completed_job_that_is_retried_joins_the_tail,
    a_retrying_head_can_be_run_now,
    a_held_back_head_stays_the_head_and_stops_no_other_group,
    the_priority_of_a_job_in_an_ordered_group_cannot_be_changed,
    a_group_becomes_ordered_or_not_only_while_it_has_no_jobs,
    the_default_for_groups_becomes_ordered_or_not_only_while_they_have_no_jobs,
    a_shut_group_opens_when_it_is_set_to_park,
    a_child_in_an_ordered_group_whose_parent_stands_behind_it_is_not_its_head,
    order_the_head_and_a_shut_group_outlive_a_restart restarts,
];

fn ordered(on_head_death: OnHeadDeath) -> GroupSettings {
    GroupSettings { ordered: true, on_head_death, ..GroupSettings::default() }
}

fn subject(host: &dyn Host, on_head_death: OnHeadDeath) -> Subject {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { retry: fixed(1_000, 3), ..grouped(ordered(on_head_death)) });
    s
}

fn put(s: &Subject, jobs: usize) -> Vec<JobId> {
    s.put_all((0..jobs).map(|_| s.job_of("q", "g")).collect())
}

fn shut_by(s: &Subject) -> Option<JobId> {
    let page = s.wait(s.store().groups(queue("q"), None, 100));
    page.items.iter().find(|info| info.key == Some(group("g"))).and_then(|info| info.shut_by)
}

fn an_ordered_group_has_one_lease_at_a_time_and_goes_in_order(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 20);
    for id in &ids {
        let held = s.claim("q", 10);
        assert_eq!(held.iter().map(|job| job.lease.job).collect::<Vec<_>>(), [*id]);
        assert!(s.claim("q", 10).is_empty());
        s.complete(&held[0]);
    }
}

fn ordered_groups_run_beside_each_other(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    for key in ["a", "b", "c"] {
        s.put_all((0..3).map(|_| s.job_of("q", key)).collect());
    }
    assert_eq!(s.claim("q", 10).len(), 3);
}

fn the_head_keeps_its_place_through_retry_snooze_release_and_loss(host: &dyn Host) {
    let ends: [(&str, fn(&Subject, &ClaimedJob)); 5] = [
        ("fail", |s, job| s.fail(job)),
        ("snooze", |s, job| s.snooze(job, 5_000)),
        ("release", |s, job| s.release(job)),
        ("no handler", |s, job| s.end(release(&job.lease, ReleaseReason::NoHandler)).unwrap()),
        ("loss", |s, _| s.advance(30_001)),
    ];
    for (end, act) in ends {
        let s = subject(host, OnHeadDeath::Block);
        let ids = put(&s, 3);
        let held = s.take("q");
        act(&s, &held);
        if s.state(ids[0]) != Ready {
            assert!(matches!(s.state(ids[0]), Retrying | Scheduled), "{end}");
            assert!(s.claim("q", 9).is_empty(), "{end}: nobody passes the head while it waits");
            assert_eq!(s.reason(ids[1]), Reason::OrderedBehind, "{end}");
            s.advance(3_600_000);
        }
        assert_eq!(s.drain("q"), ids, "{end}");
    }
}

fn a_job_takes_its_place_when_it_first_becomes_ready(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let parent = s.put(s.job("parents"));
    let scheduled = s.put(NewJob { delay_ms: Some(100), ..s.job_of("q", "g") });
    let blocked = s.put(NewJob { parents: after(&[parent]), ..s.job_of("q", "g") });
    let first = s.put(s.job_of("q", "g"));
    s.complete(&s.take("parents"));
    let second = s.put(s.job_of("q", "g"));
    s.advance(100);
    let third = s.put(s.job_of("q", "g"));
    assert_eq!(s.drain("q"), [first, blocked, second, scheduled, third]);
}

fn a_scheduled_job_that_was_never_ready_stops_nobody(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    s.put(NewJob { delay_ms: Some(60_000), ..s.job_of("q", "g") });
    let ready = s.put(s.job_of("q", "g"));
    assert_eq!(s.drain("q"), [ready]);
}

fn a_dead_head_shuts_the_group_until_it_is_retried_in_place(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 3);
    s.kill(&s.take("q"));
    assert_eq!(shut_by(&s), Some(ids[0]));
    assert!(s.claim("q", 9).is_empty());
    assert_eq!(s.reason(ids[1]), Reason::OrderedBehind);
    assert!(s.why(ids[1]).detail.contains(&ids[0].to_string()), "{}", s.why(ids[1]).detail);
    s.advance(3_600_000);
    assert!(s.claim("q", 9).is_empty());
    let late = s.put(s.job_of("q", "g"));
    s.retry(ids[0]).unwrap();
    assert_eq!(shut_by(&s), None);
    assert_eq!(s.drain("q"), [ids[0], ids[1], ids[2], late]);
}

fn a_dead_head_shuts_the_group_until_it_is_deleted(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 3);
    s.kill(&s.take("q"));
    let mut waiting = s.watch(WORKER, "q", 1);
    assert!(!waiting.has_answered());
    s.delete(ids[0]).unwrap();
    assert_eq!(waiting.answer(), windlass_core::store::Signal::Work, "an open group rings");
    assert_eq!(shut_by(&s), None);
    assert_eq!(s.drain("q"), ids[1..]);
}

fn a_head_that_dies_by_losses_or_out_of_tries_shuts_the_group_too(host: &dyn Host) {
    for by_loss in [true, false] {
        let s = subject(host, OnHeadDeath::Block);
        let ids = put(&s, 2);
        for _ in 0..3 {
            let held = s.take("q");
            assert_eq!(held.lease.job, ids[0]);
            match by_loss {
                true => s.advance(30_001),
                false => s.fail(&held),
            }
            s.advance(3_600_000);
        }
        assert_eq!(s.state(ids[0]), Dead);
        assert!(s.claim("q", 9).is_empty());
        assert_eq!(shut_by(&s), Some(ids[0]));
    }
}

fn a_dead_head_may_die_again_and_again_and_keeps_its_place(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 3);
    for _ in 0..4 {
        let held = s.take("q");
        assert_eq!(held.lease.job, ids[0]);
        s.kill(&held);
        assert!(s.claim("q", 9).is_empty());
        s.retry(ids[0]).unwrap();
    }
    assert_eq!(s.drain("q"), ids);
}

fn a_shut_group_stops_no_other(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    put(&s, 3);
    s.kill(&s.take("q"));
    let other = s.put(s.job_of("q", "other"));
    assert_eq!(s.drain("q"), [other]);
}

fn retention_leaves_alone_the_dead_head_that_shuts_its_group(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let retention = Retention { dead_ms: 1_000, dead_count: 0, ..Retention::default() };
    s.set_queue("q", QueueSettings { retention, ..grouped(ordered(OnHeadDeath::Block)) });
    let ids = put(&s, 2);
    s.kill(&s.take("q"));
    let other = s.put(s.job_of("q", "other"));
    let held = s.take("q");
    assert_eq!(held.lease.job, other);
    s.kill(&held);
    s.advance(10_000);
    assert_eq!(s.state(ids[0]), Dead, "it shuts its group");
    assert_eq!(s.find(ids[1]).map(|job| job.view.state), Some(Ready));
    assert!(s.claim("q", 9).is_empty());
}

fn parked_the_next_goes_on_and_the_dead_head_joins_the_tail_when_it_is_retried(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Park);
    let ids = put(&s, 4);
    s.kill(&s.take("q"));
    assert_eq!(shut_by(&s), None);
    let held = s.take("q");
    assert_eq!(held.lease.job, ids[1]);
    s.retry(ids[0]).unwrap();
    assert!(s.claim("q", 9).is_empty(), "still one lease at a time");
    s.complete(&held);
    assert_eq!(s.drain("q"), [ids[2], ids[3], ids[0]]);
}

fn a_cancelled_head_leaves_its_place_to_the_next(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 5);
    s.cancel(ids[0]).unwrap();
    let held = s.take("q");
    assert_eq!(held.lease.job, ids[1]);
    s.cancel(ids[1]).unwrap();
    assert!(s.claim("q", 9).is_empty(), "it still runs");
    s.fail(&held);
    assert_eq!(shut_by(&s), None, "a cancellation is no death");
    let held = s.take("q");
    assert_eq!(held.lease.job, ids[2]);
    s.fail(&held);
    s.cancel(ids[2]).unwrap();
    assert_eq!(s.drain("q"), ids[3..], "cancelled while it was retrying");
}

fn a_running_head_that_ignores_its_cancellation_opens_the_group_after_the_grace(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 2);
    s.take("q");
    s.cancel(ids[0]).unwrap();
    s.advance(bounds::CANCEL_GRACE_MS + 1);
    assert_eq!(s.drain("q"), [ids[1]]);
}

fn jobs_behind_the_head_may_be_cancelled_deleted_and_edited(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 5);
    let held = s.take("q");
    s.cancel(ids[1]).unwrap();
    s.delete(ids[2]).unwrap();
    s.edit(Edit { id: ids[3], payload: Some(b"new".to_vec()), priority: None, run_at: None }).unwrap();
    s.complete(&held);
    let next = s.take("q");
    assert_eq!((next.lease.job, next.payload.as_slice()), (ids[3], &b"new"[..]));
    s.complete(&next);
    assert_eq!(s.drain("q"), [ids[4]]);
}

fn a_completed_job_that_is_retried_joins_the_tail(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 3);
    s.complete(&s.take("q"));
    s.retry(ids[0]).unwrap();
    assert_eq!(s.drain("q"), [ids[1], ids[2], ids[0]]);
}

fn a_retrying_head_can_be_run_now(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 2);
    s.fail(&s.take("q"));
    s.run_now(ids[0]).unwrap();
    assert_eq!(s.drain("q"), ids);
}

fn a_held_back_head_stays_the_head_and_stops_no_other_group(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    s.set_limit("slot", at_once(1));
    s.put(NewJob { limits: uses(&[("slot", 1)]), ..s.job("elsewhere") });
    let holder = s.take("elsewhere");
    let head = s.put(NewJob { limits: uses(&[("slot", 1)]), ..s.job_of("q", "g") });
    let next = s.put(s.job_of("q", "g"));
    let other = s.put(s.job_of("q", "other"));
    assert_eq!(s.drain("q"), [other]);
    assert_eq!((s.reason(head), s.reason(next)), (Reason::Limit, Reason::OrderedBehind));
    s.complete(&holder);
    assert_eq!(s.drain("q"), [head, next]);
}

fn the_priority_of_a_job_in_an_ordered_group_cannot_be_changed(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let ids = put(&s, 2);
    let answer = s.edit(Edit { id: ids[1], payload: None, priority: Some(3), run_at: None });
    assert!(matches!(answer, Err(Rejection::Invalid { what: "priority", .. })), "{answer:?}");
    assert_eq!(s.drain("q"), ids);
}

fn a_group_becomes_ordered_or_not_only_while_it_has_no_jobs(host: &dyn Host) {
    let s = Subject::new(host);
    let set = |ordered| {
        let settings = GroupSettings { ordered, ..GroupSettings::default() };
        s.wait(s.store().set_group(queue("q"), Some(group("g")), Some(settings), s.at()))
    };
    let ids = put(&s, 3);
    assert!(matches!(set(true), Err(Rejection::Invalid { .. })));
    assert_eq!(s.claim("q", 3).len(), 3, "a refused setting changes nothing");
    for id in ids {
        s.cancel(id).unwrap();
    }
    s.advance(bounds::CANCEL_GRACE_MS + 1);
    assert_eq!(set(true), Ok(()));
    let ids = put(&s, 3);
    assert!(matches!(set(false), Err(Rejection::Invalid { .. })));
    assert_eq!(s.drain("q"), ids);
    assert_eq!(set(false), Ok(()));
    put(&s, 3);
    assert_eq!(s.claim("q", 3).len(), 3);
}

fn the_default_for_groups_becomes_ordered_or_not_only_while_they_have_no_jobs(host: &dyn Host) {
    let s = Subject::new(host);
    put(&s, 3);
    let answer = s.wait(s.store().set_queue(queue("q"), grouped(ordered(OnHeadDeath::Block)), s.at()));
    assert!(matches!(answer, Err(Rejection::Invalid { .. })), "{answer:?}");
    assert_eq!(s.claim("q", 3).len(), 3, "a refused setting changes nothing");
}

fn a_shut_group_opens_when_it_is_set_to_park(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_group("q", "g", ordered(OnHeadDeath::Block));
    let ids = put(&s, 3);
    s.kill(&s.take("q"));
    s.set_group("q", "g", ordered(OnHeadDeath::Park));
    assert_eq!(s.claim_ids("q", 9), [ids[1]]);
}

fn order_the_head_and_a_shut_group_outlive_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.set_queue("q", QueueSettings { retry: fixed(1_000, 3), ..grouped(ordered(OnHeadDeath::Block)) });
    let ids = put(&s, 4);
    s.fail(&s.take("q"));
    s.restart();
    assert!(s.claim("q", 9).is_empty(), "nobody passes the head that is retrying");
    s.advance(1_000);
    s.restart();
    let held = s.take("q");
    assert_eq!(held.lease.job, ids[0]);
    s.restart();
    s.advance(3_600_000);
    let held = s.take("q");
    assert_eq!(held.lease.job, ids[0], "after a loss by restart too");
    s.kill(&held);
    s.restart();
    assert!(s.claim("q", 9).is_empty());
    assert_eq!(shut_by(&s), Some(ids[0]));
    s.retry(ids[0]).unwrap();
    s.restart();
    assert_eq!(s.drain("q"), ids);
}

fn a_child_in_an_ordered_group_whose_parent_stands_behind_it_is_not_its_head(host: &dyn Host) {
    let s = subject(host, OnHeadDeath::Block);
    let parent = s.job_of("q", "g");
    let child = NewJob { parents: after(&[parent.id]), ..s.job_of("q", "g") };
    s.put_all(vec![child.clone(), parent.clone()]);
    assert_eq!((s.state(child.id), s.state(parent.id)), (Blocked, Ready));
    assert_eq!(s.drain("q"), [parent.id, child.id]);
    assert_eq!(s.state(child.id), Completed);
    assert_eq!(s.counts("q").of(Running), 0);
}
