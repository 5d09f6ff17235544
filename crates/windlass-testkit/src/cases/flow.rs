//! T11: parents and children.

use crate::host::Host;
use crate::subject::*;
use windlass_core::bounds;
use windlass_core::event::{Cause, EventType};
use windlass_core::job::State::{Blocked, Cancelled, Completed, Dead, Ready, Running, Scheduled};
use windlass_core::queue::QueueSettings;
use windlass_core::store::EnqueueStatus;
use windlass_core::why::Reason;
use windlass_core::{JobId, NewJob, Rejection};

cases![
    a_child_waits_for_every_parent_and_runs_when_all_have_completed,
    a_batch_may_name_parents_and_children_in_any_order,
    cycles_and_unknown_parents_are_refused_and_stop_no_other,
    a_child_of_a_refused_item_is_refused,
    a_parent_that_has_ended_already_is_judged_at_once,
    a_parent_that_forbids_is_heard_in_whatever_order_the_ended_parents_stand,
    a_child_that_needs_success_is_cancelled_by_any_other_end_with_its_cause,
    a_child_that_needs_only_an_end_runs_after_any,
    a_parents_retry_between_its_tries_lets_no_child_go,
    retrying_a_parent_revives_the_children_that_its_end_cancelled_and_no_others,
    a_revived_child_still_waits_for_its_other_parents,
    a_revived_child_whose_other_parent_failed_stays_cancelled,
    a_child_retried_while_its_parent_is_not_done_waits_again,
    a_child_with_a_time_of_its_own_waits_for_that_too,
    more_than_a_thousand_children_are_all_let_go_the_rest_by_upkeep,
    more_than_a_thousand_children_are_all_cancelled_and_all_revived,
    a_thousand_parents_are_taken_and_one_more_is_refused,
    a_chain_of_cancellations_reaches_its_end,
    a_job_shows_its_parents_and_its_children,
    a_blocked_child_holds_neither_a_limit_nor_a_place_in_the_order,
    a_parent_that_was_removed_and_is_still_remembered_is_a_known_parent,
    deleting_a_child_lets_its_parent_be_removed_and_ends_nothing_else,
    a_parent_with_live_children_cannot_be_deleted,
    an_all_or_nothing_flow_exists_whole_or_not_at_all,
    a_child_cancelled_by_a_parent_that_was_deleted_since_is_not_revived_by_another_or_by_a_restart restarts,
    a_child_retried_by_hand_waits_for_its_failed_parent_whatever_its_siblings_wait_for restarts,
];

fn child_of(s: &Subject, parents: &[JobId]) -> NewJob {
    NewJob { parents: after(parents), ..s.job("children") }
}

fn a_child_waits_for_every_parent_and_runs_when_all_have_completed(host: &dyn Host) {
    let s = Subject::new(host);
    let parents = s.put_many("parents", 3);
    let child = s.put(child_of(&s, &parents));
    assert_eq!(s.reason(child), Reason::WaitingOnParents);
    for n in 0..3 {
        assert_eq!(s.state(child), Blocked, "after {n} parents");
        assert!(s.claim("children", 1).is_empty());
        s.complete(&s.take("parents"));
    }
    assert_eq!(s.state(child), Ready);
    assert_eq!(s.last_event(child).event, EventType::Unblocked);
    assert_eq!(s.claim_ids("children", 1), [child]);
}

fn a_batch_may_name_parents_and_children_in_any_order(host: &dyn Host) {
    let s = Subject::new(host);
    let (a, b, c) = (s.job("parents"), s.job("middle"), s.job("children"));
    let b = NewJob { parents: after(&[a.id]), ..b };
    let c = NewJob { parents: after(&[b.id, a.id]), ..c };
    let answers = s.enqueue(vec![c.clone(), b.clone(), a.clone()]);
    let states: Vec<_> = answers.into_iter().map(|answer| answer.expect("taken").state).collect();
    assert_eq!(states, [Blocked, Blocked, Ready]);
    s.complete(&s.take("parents"));
    assert_eq!((s.state(b.id), s.state(c.id)), (Ready, Blocked));
    s.complete(&s.take("middle"));
    assert_eq!(s.state(c.id), Ready);
}

fn cycles_and_unknown_parents_are_refused_and_stop_no_other(host: &dyn Host) {
    let s = Subject::new(host);
    let (a, b, c, alone) = (s.job("q"), s.job("q"), s.job("q"), s.job("q"));
    let hangs_on = s.job("q");
    let answers = s.enqueue(vec![
        NewJob { parents: after(&[b.id]), ..a.clone() },
        NewJob { parents: after(&[c.id]), ..b.clone() },
        NewJob { parents: after(&[a.id]), ..c.clone() },
        alone.clone(),
        NewJob { parents: after(&[a.id]), ..hangs_on.clone() },
        NewJob { parents: after(&[s.id()]), ..s.job("q") },
    ]);
    for i in [0, 1, 2, 4, 5] {
        assert!(matches!(answers[i], Err(Rejection::BadParents { .. })), "{i}: {:?}", answers[i]);
    }
    assert_eq!(answers[3].as_ref().expect("taken").status, EnqueueStatus::Created);
    for job in [a, b, c, hangs_on] {
        assert_eq!(s.find(job.id), None);
    }
}

fn a_child_of_a_refused_item_is_refused(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = NewJob { priority: 99, ..s.job("q") };
    let child = NewJob { parents: after(&[parent.id]), ..s.job("q") };
    let grandchild = NewJob { parents: after(&[child.id]), ..s.job("q") };
    let answers = s.enqueue(vec![grandchild, child, parent]);
    assert!(matches!(answers[0], Err(Rejection::BadParents { .. })), "{answers:?}");
    assert!(matches!(answers[1], Err(Rejection::BadParents { .. })), "{answers:?}");
    assert!(matches!(answers[2], Err(Rejection::Invalid { .. })), "{answers:?}");
    assert_eq!(s.counts("q").0, [0; 8]);
}

fn a_parent_that_has_ended_already_is_judged_at_once(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("parents", 3);
    s.complete(&s.take("parents"));
    s.kill(&s.take("parents"));
    s.cancel(ids[2]).unwrap();
    assert_eq!(s.offer(child_of(&s, &ids[..1])).unwrap().state, Ready);
    for parent in &ids[1..] {
        let id = s.put(child_of(&s, &[*parent]));
        assert_eq!((s.state(id), s.get(id).view.cause), (Cancelled, Some(Cause::ParentFailed)));
        let always = NewJob { parents: after_any_end(&[*parent]), ..s.job("children") };
        assert_eq!(s.offer(always).unwrap().state, Ready);
    }
}

fn a_parent_that_forbids_is_heard_in_whatever_order_the_ended_parents_stand(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("parents", 3);
    s.complete(&s.take("parents"));
    s.kill(&s.take("parents"));
    let (done, dead, live) = (after_any_end(&ids[..1]), after(&ids[1..2]), after_any_end(&ids[2..]));
    for parents in
        [[&done, &dead, &live], [&dead, &live, &done], [&live, &done, &dead], [&done, &live, &dead]]
    {
        let parents = parents.into_iter().flatten().copied().collect();
        let id = s.put(NewJob { parents, ..s.job("children") });
        assert_eq!(s.state(id), Cancelled);
    }
    for parents in [[&done, &dead], [&dead, &done]] {
        let parents = parents.into_iter().flatten().copied().collect();
        let id = s.put(NewJob { parents, ..s.job("children") });
        assert_eq!(s.state(id), Cancelled);
    }
    assert!(s.claim("children", 9).is_empty());
}

fn a_child_that_needs_success_is_cancelled_by_any_other_end_with_its_cause(host: &dyn Host) {
    let ends: [(&str, fn(&Subject, JobId)); 3] = [
        ("dead", |s, _| s.kill(&s.take("parents"))),
        ("cancelled", |s, id| s.call_off(id)),
        ("expired", |s, _| s.advance(1_001)),
    ];
    for (end, act) in ends {
        let s = Subject::new(host);
        let parent = s.put(NewJob { expires_at: Some(s.now().plus_ms(1_000)), ..s.job("parents") });
        let other = s.put(s.job("others"));
        let child = s.put(child_of(&s, &[parent, other]));
        let grandchild = s.put(child_of(&s, &[child]));
        let always = s.put(NewJob { parents: after_any_end(&[child]), ..s.job("always") });
        act(&s, parent);
        s.upkeep();
        for id in [child, grandchild] {
            assert_eq!((s.state(id), s.get(id).view.cause), (Cancelled, Some(Cause::ParentFailed)), "{end}");
            assert_eq!(
                (s.last_event(id).event, s.last_event(id).cause),
                (EventType::Cancelled, Cause::ParentFailed)
            );
        }
        assert_eq!(s.state(always), Ready, "{end}: it waits for an end, and a cancellation is one");
        s.complete(&s.take("others"));
        assert_eq!(s.state(child), Cancelled, "{end}");
    }
}

fn a_child_that_needs_only_an_end_runs_after_any(host: &dyn Host) {
    for end in ["complete", "kill", "cancel"] {
        let s = Subject::new(host);
        let parent = s.put(s.job("parents"));
        let child = s.put(NewJob { parents: after_any_end(&[parent]), ..s.job("children") });
        match end {
            "complete" => s.complete(&s.take("parents")),
            "kill" => s.kill(&s.take("parents")),
            _ => s.call_off(parent),
        }
        assert_eq!(s.claim_ids("children", 1), [child], "{end}");
    }
}

fn a_parents_retry_between_its_tries_lets_no_child_go(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("parents", QueueSettings { retry: fixed(10, 3), ..QueueSettings::default() });
    let parent = s.put(s.job("parents"));
    let child = s.put(NewJob { parents: after_any_end(&[parent]), ..s.job("children") });
    s.fail(&s.take("parents"));
    assert_eq!(s.state(child), Blocked);
    s.advance(10);
    s.snooze(&s.take("parents"), 10);
    s.advance(10);
    s.take("parents");
    s.advance(30_001);
    assert_eq!(s.state(child), Blocked);
}

fn retrying_a_parent_revives_the_children_that_its_end_cancelled_and_no_others(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let child = s.put(child_of(&s, &[parent]));
    let grandchild = s.put(child_of(&s, &[child]));
    let by_hand = s.put(child_of(&s, &[parent]));
    s.cancel(by_hand).unwrap();
    s.kill(&s.take("parents"));
    assert_eq!(s.state(child), Cancelled);
    s.retry(parent).unwrap();
    s.upkeep();
    assert_eq!((s.state(child), s.state(grandchild)), (Blocked, Blocked));
    assert_eq!(s.get(child).view.cause, None);
    assert_eq!(s.state(by_hand), Cancelled, "a person's cancellation stands");
    s.complete(&s.take("parents"));
    assert_eq!(s.claim_ids("children", 9), [child]);
    assert_eq!(s.state(grandchild), Blocked);
}

fn a_revived_child_still_waits_for_its_other_parents(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let other = s.put(s.job("others"));
    let child = s.put(child_of(&s, &[parent, other]));
    s.cancel(parent).unwrap();
    s.complete(&s.take("others"));
    s.retry(parent).unwrap();
    s.upkeep();
    assert_eq!(s.state(child), Blocked);
    s.complete(&s.take("parents"));
    assert_eq!(s.state(child), Ready);
}

fn a_revived_child_whose_other_parent_failed_stays_cancelled(host: &dyn Host) {
    let s = Subject::new(host);
    let parents = s.put_many("parents", 2);
    let child = s.put(child_of(&s, &parents));
    s.cancel(parents[0]).unwrap();
    s.cancel(parents[1]).unwrap();
    s.retry(parents[0]).unwrap();
    s.upkeep();
    s.complete(&s.take("parents"));
    s.upkeep();
    assert_eq!(s.state(child), Cancelled, "one of its parents has ended otherwise, and it waits for nobody");
    s.retry(parents[1]).unwrap();
    s.upkeep();
    s.complete(&s.take("parents"));
    s.upkeep();
    assert_eq!(s.state(child), Ready, "now both have completed");
}

fn a_child_cancelled_by_a_parent_that_was_deleted_since_is_not_revived_by_another_or_by_a_restart(
    host: &dyn Host,
) {
    let mut s = Subject::new(host);
    let parents = s.put_many("parents", 2);
    let child = s.put(child_of(&s, &parents));
    s.kill(&s.take("parents"));
    assert_eq!(s.state(child), Cancelled);
    s.delete(parents[0]).unwrap();
    s.restart();
    s.upkeep();
    assert_eq!(s.state(child), Cancelled, "by a restart");
    s.kill(&s.take("parents"));
    s.retry(parents[1]).unwrap();
    s.upkeep();
    assert_eq!(s.state(child), Cancelled, "by another parent");
}

fn a_child_retried_while_its_parent_is_not_done_waits_again(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let child = s.put(child_of(&s, &[parent]));
    s.cancel(child).unwrap();
    s.retry(child).unwrap();
    assert_eq!(s.state(child), Blocked);
    s.complete(&s.take("parents"));
    assert_eq!(s.state(child), Ready);
}

fn a_child_retried_by_hand_waits_for_its_failed_parent_whatever_its_siblings_wait_for(host: &dyn Host) {
    let mut s = Subject::new(host);
    let parents = s.put_many("parents", 2);
    let child = s.put(child_of(&s, &parents[..1]));
    let mut edges = after_any_end(&parents[..1]);
    edges.extend(after(&parents[1..]));
    let sibling = s.put(NewJob { parents: edges, ..s.job("children") });
    s.kill(&s.take("parents"));
    s.retry(child).unwrap();
    for _ in 0..3 {
        assert_eq!((s.state(child), s.state(sibling)), (Blocked, Blocked));
        s.restart();
        s.upkeep();
    }
    s.retry(parents[0]).unwrap();
    assert_eq!(s.drain("parents").len(), 2);
    assert_eq!((s.state(child), s.state(sibling)), (Ready, Ready));
}

fn a_child_with_a_time_of_its_own_waits_for_that_too(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let child = s.put(NewJob { run_at: Some(s.now().plus_ms(5_000)), ..child_of(&s, &[parent]) });
    s.advance(1_000);
    s.complete(&s.take("parents"));
    assert_eq!(s.state(child), Scheduled);
    s.advance(3_999);
    assert!(s.claim("children", 1).is_empty());
    s.advance(1);
    assert_eq!(s.claim_ids("children", 1), [child]);
}

fn more_than_a_thousand_children_are_all_let_go_the_rest_by_upkeep(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let children = s.put_all((0..2_500).map(|_| child_of(&s, &[parent])).collect());
    s.complete(&s.take("parents"));
    let at_once = s.counts("children").of(Ready);
    assert!(at_once >= bounds::CHILDREN_PER_STEP as u64, "{at_once} in the parent's own step");
    s.upkeep();
    assert_eq!(s.counts("children").of(Ready), 2_500);
    let mut ran = s.drain("children");
    ran.sort();
    assert_eq!(ran, children);
}

fn more_than_a_thousand_children_are_all_cancelled_and_all_revived(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    s.put_all((0..2_500).map(|_| child_of(&s, &[parent])).collect());
    s.kill(&s.take("parents"));
    s.upkeep();
    assert_eq!(s.counts("children").of(Cancelled), 2_500);
    s.retry(parent).unwrap();
    s.upkeep();
    assert_eq!(s.counts("children").of(Blocked), 2_500);
    s.complete(&s.take("parents"));
    s.upkeep();
    assert_eq!(s.counts("children").of(Ready), 2_500);
}

fn a_thousand_parents_are_taken_and_one_more_is_refused(host: &dyn Host) {
    let s = Subject::new(host);
    let parents = s.put_many("parents", 1_001);
    assert!(matches!(s.offer(child_of(&s, &parents)), Err(Rejection::Invalid { what: "parents", .. })));
    let child = s.put(child_of(&s, &parents[..1_000]));
    assert_eq!(s.drain("parents").len(), 1_001);
    assert_eq!(s.state(child), Ready);
}

fn a_chain_of_cancellations_reaches_its_end(host: &dyn Host) {
    let s = Subject::new(host);
    let mut ids = vec![s.put(s.job("parents"))];
    for _ in 0..3_000 {
        ids.push(s.put(child_of(&s, &[ids[ids.len() - 1]])));
    }
    s.kill(&s.take("parents"));
    s.upkeep();
    assert_eq!(s.counts("children").of(Cancelled), 3_000);
    s.retry(ids[0]).unwrap();
    s.upkeep();
    assert_eq!(s.counts("children").of(Blocked), 3_000);
}

fn a_job_shows_its_parents_and_its_children(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let children = s.put_all(vec![child_of(&s, &[parent]), child_of(&s, &[parent])]);
    let mut shown = s.get(parent).children;
    shown.sort();
    assert_eq!(shown, children);
    assert_eq!(s.get(children[0]).parents, after(&[parent]));
}

fn a_blocked_child_holds_neither_a_limit_nor_a_place_in_the_order(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("children", limited(at_once(1)));
    let parent = s.put(s.job("parents"));
    let child = s.put(child_of(&s, &[parent]));
    let later = s.put(s.job("children"));
    let held = s.take("children");
    assert_eq!(held.lease.job, later);
    s.complete(&held);
    s.complete(&s.take("parents"));
    assert_eq!(s.claim_ids("children", 1), [child]);
}

fn a_parent_that_was_removed_and_is_still_remembered_is_a_known_parent(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    s.complete(&s.take("parents"));
    s.delete(parent).unwrap();
    // Known by its id alone, it has completed; an unknown one would be refused.
    match s.offer(child_of(&s, &[parent])) {
        Ok(answer) => assert_eq!(answer.state, Ready),
        Err(why) => assert!(matches!(why, Rejection::BadParents { .. }), "{why}"),
    }
}

fn deleting_a_child_lets_its_parent_be_removed_and_ends_nothing_else(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let child = s.put(child_of(&s, &[parent]));
    s.delete(child).unwrap();
    s.complete(&s.take("parents"));
    assert_eq!(s.state(parent), Completed);
    assert_eq!(s.delete(parent), Ok(()));
}

fn a_parent_with_live_children_cannot_be_deleted(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let child = s.put(child_of(&s, &[parent]));
    assert_eq!(s.delete(parent), Err(Rejection::HasLiveChildren));
    s.complete(&s.take("parents"));
    assert_eq!(s.delete(parent), Err(Rejection::HasLiveChildren), "the child is ready, and may be retried");
    let held = s.take("children");
    assert_eq!(s.state(child), Running);
    assert_eq!(s.delete(parent), Err(Rejection::HasLiveChildren));
    s.kill(&held);
    assert_eq!(s.state(child), Dead);
    assert_eq!(s.delete(parent), Ok(()));
}

fn an_all_or_nothing_flow_exists_whole_or_not_at_all(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.job("parents");
    let child = child_of(&s, &[parent.id]);
    let bad = child_of(&s, &[s.id()]);
    let answers = s.wait(s.store().enqueue(vec![child.clone(), parent.clone(), bad], true, s.at()));
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    assert!(s.find(parent.id).is_none() && s.find(child.id).is_none());
    let answers = s.wait(s.store().enqueue(vec![child.clone(), parent.clone()], true, s.at()));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(s.get(parent.id).children, [child.id]);
}
