//! What calls and answers alone show, without any event of the store.

use crate::writer::{History, LEASE_MS, ask_claim, asked, created, group, id, queue, stale};
use windlass_check::format::{Ask, Asked, AskedSettle, How, Item, Phase, Told, TransactionStep};
use windlass_check::{FaultKind, Invariant as I};
use windlass_core::event::EventType;
use windlass_core::job::{OnConflict, OnParent, Parent, Unique, UniqueScope};
use windlass_core::limit::{LimitSettings, LimitUse};
use windlass_core::name::{LimitName, UniqueKey};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::rate::Rate;
use windlass_core::store::{AckLevel, Beat};
use windlass_core::{State, Time};

fn one_job() -> History {
    let mut h = History::new();
    h.enqueue(vec![asked(1)]);
    h
}

#[test]
fn i1_an_acknowledged_job_that_is_gone_is_lost() {
    let mut fine = one_job();
    fine.dump(&[(1, State::Ready, 0)]);
    // Only asked for the loss, not that all have ended.
    assert!(fine.check(false).is_clean());
    let mut lost = one_job();
    lost.fault(FaultKind::StoreKilled);
    lost.dump(&[]);
    assert!(lost.breaks(I::I1).contains("the store no longer has it"));
}

#[test]
fn i1_a_job_that_may_have_ended_or_whose_enqueue_was_not_answered_may_be_gone() {
    let mut h = one_job();
    let lease = h.claim(1, 1);
    h.complete(lease);
    h.begin(Ask::Enqueue { jobs: vec![asked(2)], transaction: None });
    h.dump(&[]);
    assert!(h.check(true).is_clean());
    assert_eq!(h.check(true).figures.unknown_calls, 1);
}

#[test]
fn i1_what_a_fault_takes_that_the_level_does_not_cover_is_counted_and_no_violation() {
    for (level, covered) in [
        (AckLevel::Power, true),
        (AckLevel::Process, false),
        (AckLevel::Window { ms: 2_000 }, false),
        (AckLevel::Window { ms: 500 }, true),
    ] {
        let mut h = one_job();
        h.header.ack_level = level;
        h.pass(1_000);
        h.fault(FaultKind::PowerCut);
        h.dump(&[]);
        let report = h.check(false);
        assert_eq!(report.is_clean(), !covered, "{level}");
        assert_eq!(report.figures.losses_not_covered, u64::from(!covered), "{level}");
    }
}

#[test]
fn i1_a_settlement_that_a_fault_takes_is_counted_where_the_level_does_not_cover_it() {
    for (level, covered) in [(AckLevel::Power, true), (AckLevel::Process, false)] {
        let mut h = one_job();
        h.header.ack_level = level;
        let lease = h.claim(1, 1);
        h.complete(lease);
        h.fault(FaultKind::PowerCut);
        h.event(1, EventType::Enqueued, 0);
        h.event(1, EventType::Claimed, 1);
        h.event(1, EventType::Snoozed, 1);
        h.dump_with_events(&[(1, State::Scheduled, 1)]);
        let report = h.check(false);
        assert_eq!(report.is_clean(), !covered, "{level}: {:?}", report.violations);
        assert_eq!(report.figures.losses_not_covered, u64::from(!covered), "{level}");
    }
}

#[test]
fn i1_a_job_that_nobody_asked_for_is_none() {
    let mut h = one_job();
    h.dump(&[(1, State::Completed, 1), (2, State::Completed, 1)]);
    assert!(h.breaks(I::I1).contains("nobody asked for it"));
    h.header.all_clients = false;
    assert!(h.check(true).is_clean());
}

#[test]
fn i2_a_second_lease_needs_an_end_of_the_first_or_its_deadline() {
    let twice = |between: fn(&mut History, windlass_core::Lease)| {
        let mut h = one_job();
        let first = h.claim(1, 1);
        between(&mut h, first);
        h.claim(1, 2);
        h
    };
    twice(|h, first| h.settle(first, How::Release, Item::Ok(()))).keeps(I::I2);
    twice(|h, _| h.pass(LEASE_MS)).keeps(I::I2);
    twice(|h, _| h.fault(FaultKind::StoreKilled)).keeps(I::I2);
    assert!(twice(|h, _| h.pass(LEASE_MS - 1)).breaks(I::I2).contains("(lines 5, 7)"));
    // A heartbeat moves the deadline.
    let beaten = twice(|h, lease| {
        h.pass(LEASE_MS - 1);
        let call = h.begin(Ask::Heartbeat { leases: vec![lease] });
        let deadline = Time(h.now + LEASE_MS);
        h.answer(call, Told::Beats(vec![Item::Ok(Beat { deadline, cancel_requested: false })]));
        h.pass(1);
    });
    beaten.breaks(I::I2);
}

#[test]
fn i3_a_stale_token_is_accepted_by_nobody() {
    let late = |told: Item<()>| {
        let mut h = one_job();
        let first = h.claim(1, 1);
        h.pass(LEASE_MS);
        let second = h.claim(1, 2);
        h.settle(first, How::Complete, told);
        h.complete(second);
        h
    };
    late(stale()).keeps(I::I2);
    assert!(late(Item::Ok(())).breaks(I::I3).contains("accepted with a stale token"));
    // The same acknowledgement twice is answered ok, another one is not.
    let again = |how| {
        let mut h = one_job();
        let lease = h.claim(1, 1);
        h.complete(lease);
        h.settle(lease, how, Item::Ok(()));
        h
    };
    again(How::Complete).keeps(I::I3);
    again(How::Fail).breaks(I::I3);
}

#[test]
fn i3_a_fault_that_takes_what_made_a_token_stale_makes_it_current_again() {
    let accepted = |fault: Option<FaultKind>| {
        let mut h = one_job();
        let first = h.claim(1, 1);
        h.pass(LEASE_MS);
        h.claim(1, 2);
        fault.into_iter().for_each(|what| h.fault(what));
        h.settle(first, How::Complete, Item::Ok(()));
        h
    };
    accepted(None).breaks(I::I3);
    accepted(Some(FaultKind::Connection)).breaks(I::I3);
    assert!(accepted(Some(FaultKind::Failover)).check(false).is_clean());
    let settled = |fault: Option<FaultKind>| {
        let mut h = one_job();
        let lease = h.claim(1, 1);
        h.complete(lease);
        fault.into_iter().for_each(|what| h.fault(what));
        h.settle(lease, How::Fail, Item::Ok(()));
        h
    };
    settled(Some(FaultKind::Connection)).breaks(I::I3);
    assert!(settled(Some(FaultKind::Failover)).check(false).is_clean());
}

#[test]
fn i3_a_heartbeat_after_the_end_is_refused() {
    let beat = |told: Item<Beat>| {
        let mut h = one_job();
        let lease = h.claim(1, 1);
        h.complete(lease);
        let call = h.begin(Ask::Heartbeat { leases: vec![lease] });
        h.answer(call, Told::Beats(vec![told]));
        h
    };
    beat(stale()).keeps(I::I3);
    beat(Item::Ok(Beat { deadline: Time(0), cancel_requested: false })).breaks(I::I3);
}

#[test]
fn i4_counters_and_attempts_grow() {
    let claimed = |counter: u64, attempt: u32, fault: Option<FaultKind>| {
        let mut h = History::new();
        h.header.all_clients = false;
        h.enqueue(vec![asked(1), asked(2)]);
        h.counter = 10;
        let first = h.claim(1, 3);
        h.settle(first, How::Fail, Item::Ok(()));
        fault.into_iter().for_each(|what| h.fault(what));
        h.counter = counter;
        h.claim(1, attempt);
        h
    };
    claimed(11, 4, None).keeps(I::I4);
    claimed(9, 4, None).breaks(I::I4);
    claimed(11, 3, None).breaks(I::I4);
    // A power cut may un-count an attempt, never a counter.
    assert!(claimed(11, 3, Some(FaultKind::PowerCut)).check(false).is_clean());
    claimed(9, 4, Some(FaultKind::PowerCut)).breaks(I::I4);
    assert!(claimed(9, 4, Some(FaultKind::Failover)).check(false).is_clean());
    let mut window = claimed(9, 4, Some(FaultKind::PowerCut));
    window.header.ack_level = AckLevel::Window { ms: 2_000 };
    assert!(window.check(false).is_clean());
}

#[test]
fn i9_an_answer_that_comes_late_is_of_a_claim_before_the_delay() {
    let mut h = one_job();
    let late = h.begin(ask_claim(Vec::new()));
    let first = h.lease(1, 1);
    h.pass(LEASE_MS);
    let second = h.claim(1, 2);
    let asked = windlass_check::format::AskedSettle {
        lease: second,
        how: How::Fail,
        delay_ms: Some(500),
        then: Vec::new(),
    };
    let call = h.begin(ask_claim(vec![asked]));
    h.answer(call, Told::Claimed { settled: vec![Item::Ok(())], jobs: Vec::new() });
    let given = windlass_check::format::Given { lease: first, queue: queue("q"), group: None };
    h.answer(late, Told::Claimed { settled: Vec::new(), jobs: vec![given] });
    assert!(h.check(false).is_clean(), "{:?}", h.check(false).violations);
}

#[test]
fn i4_claims_that_overlap_may_answer_in_any_order() {
    let mut h = History::new();
    h.enqueue(vec![asked(1), asked(2)]);
    let (first, second) = (h.begin(ask_claim(Vec::new())), h.begin(ask_claim(Vec::new())));
    let (low, high) = (h.lease(1, 1), h.lease(2, 1));
    let given = |lease| windlass_check::format::Given { lease, queue: queue("q"), group: None };
    h.answer(second, Told::Claimed { settled: Vec::new(), jobs: vec![given(high)] });
    h.answer(first, Told::Claimed { settled: Vec::new(), jobs: vec![given(low)] });
    assert!(h.check(false).is_clean());
}

fn with_key(n: u128, scope: UniqueScope) -> Asked {
    let key = UniqueKey::new("k").unwrap();
    Asked { unique: Some(Unique { key, scope, on_conflict: OnConflict::Existing }), ..asked(n) }
}

#[test]
fn i5_a_key_has_one_live_holder() {
    let mut h = History::new();
    h.enqueue(vec![with_key(1, UniqueScope::WhileLive)]);
    let mut ended = h.clone();
    h.enqueue(vec![with_key(2, UniqueScope::WhileLive)]);
    assert!(h.breaks(I::I5).contains("key k"));
    let lease = ended.claim(1, 1);
    ended.complete(lease);
    ended.enqueue(vec![with_key(2, UniqueScope::WhileLive)]);
    ended.keeps(I::I5);
    let timed = |ms| {
        let mut h = History::new();
        h.enqueue(vec![with_key(1, UniqueScope::For { ttl_ms: 1_000 })]);
        let lease = h.claim(1, 1);
        h.complete(lease);
        h.pass(ms);
        h.enqueue(vec![with_key(2, UniqueScope::For { ttl_ms: 1_000 })]);
        h
    };
    timed(999).breaks(I::I5);
    timed(1_000).keeps(I::I5);
}

fn ordered() -> (History, impl Fn(u128) -> Asked) {
    let mut h = History::new();
    let groups = GroupSettings { ordered: true, ..GroupSettings::default() };
    h.set_queue("q", QueueSettings { groups, ..QueueSettings::default() });
    (h, |n| Asked { group: group("g"), ..asked(n) })
}

#[test]
fn i6_an_ordered_group_goes_one_by_one_and_in_order() {
    let (mut h, job) = ordered();
    h.enqueue(vec![job(1), job(2)]);
    h.enqueue(vec![job(3)]);
    let first = h.lease(1, 1);
    h.give(first, "q", group("g"));
    let mut two = h.clone();
    h.complete(first);
    let mut overtakes = h.clone();
    let second = h.lease(2, 1);
    h.give(second, "q", group("g"));
    h.keeps(I::I6);
    // The second one while the first is held; and the third before the second.
    let second = two.lease(2, 1);
    two.give(second, "q", group("g"));
    two.breaks(I::I6);
    let third = overtakes.lease(3, 1);
    overtakes.give(third, "q", group("g"));
    assert!(overtakes.breaks(I::I6).contains("before job"));
}

#[test]
fn i7_no_slot_is_granted_above_the_limit() {
    let running = |concurrency: u32| {
        let mut h = History::new();
        let limits = LimitSettings { concurrency: Some(concurrency), rate: None };
        h.set_queue("q", QueueSettings { limits, ..QueueSettings::default() });
        h.enqueue(vec![asked(1), asked(2)]);
        h.claim(1, 1);
        h.claim(2, 1);
        h
    };
    running(2).keeps(I::I7);
    running(1).breaks(I::I7);
}

#[test]
fn i7_costs_are_summed_and_a_lowered_limit_revokes_nothing() {
    let name = LimitName::new("slots").unwrap();
    let set = |h: &mut History, most| {
        let settings = Some(LimitSettings { concurrency: Some(most), rate: None });
        h.set(Ask::SetLimit { limit: name.clone(), settings });
    };
    let job = |n, cost| Asked { limits: vec![LimitUse { name: name.clone(), cost }], ..asked(n) };
    let mut h = History::new();
    set(&mut h, 5);
    h.enqueue(vec![job(1, 2), job(2, 3), job(3, 1)]);
    h.claim(1, 1);
    h.claim(2, 1);
    set(&mut h, 1);
    h.keeps(I::I7);
    let mut within = History::new();
    set(&mut within, 4);
    within.enqueue(vec![job(1, 2), job(2, 3)]);
    within.claim(1, 1);
    within.claim(2, 1);
    within.breaks(I::I7);
}

#[test]
fn i8_no_window_grants_more_than_burst_and_rate() {
    let paced = |ms: u64| {
        let mut h = History::new();
        let rate = Some(Rate { count: 1, period_ms: 100, burst: 2 });
        let limits = LimitSettings { concurrency: None, rate };
        h.set_queue("q", QueueSettings { limits, ..QueueSettings::default() });
        h.enqueue((1..=4).map(asked).collect());
        for n in 1..=4 {
            h.claim(n, 1);
            h.pass(ms);
        }
        h
    };
    // Four in 150 ms are too many, four in 200 ms are 2 + 200 / 100.
    paced(67).keeps(I::I8);
    assert!(paced(66).breaks(I::I8).contains("granted 4 in 198 ms"));
}

#[test]
fn i9_a_paused_queue_gives_nothing_to_a_claim_that_begins_after_the_answer() {
    let pause = |paused| Ask::Pause { queue: queue("q"), paused };
    let mut h = one_job();
    h.set(pause(true));
    let mut resumed = h.clone();
    h.claim(1, 1);
    assert!(h.breaks(I::I9).contains("pause"));
    resumed.set(pause(false));
    resumed.claim(1, 1);
    resumed.keeps(I::I9);
    // A claim that began before the answer may still give.
    let mut crossing = one_job();
    let claim = crossing.begin(ask_claim(Vec::new()));
    crossing.set(pause(true));
    let lease = crossing.lease(1, 1);
    let given = windlass_check::format::Given { lease, queue: queue("q"), group: None };
    crossing.answer(claim, Told::Claimed { settled: Vec::new(), jobs: vec![given] });
    assert!(crossing.check(false).is_clean());
}

#[test]
fn i9_nothing_is_given_before_it_is_due() {
    let delayed = |ms: u64, moved: bool| {
        let mut h = History::new();
        h.enqueue(vec![Asked { delay_ms: Some(1_000), ..asked(1) }]);
        if moved {
            let call = h.begin(Ask::RunNow { jobs: vec![id(1)] });
            h.answer(call, Told::Items(vec![Item::Ok(())]));
        }
        h.pass(ms);
        h.claim(1, 1);
        h
    };
    delayed(1_000, false).keeps(I::I9);
    delayed(999, false).breaks(I::I9);
    assert!(delayed(0, true).check(false).is_clean());
    let snoozed = |ms: u64| {
        let mut h = one_job();
        let lease = h.claim(1, 1);
        let settle = AskedSettle { lease, how: How::Snooze, delay_ms: Some(500), then: Vec::new() };
        let call = h.begin(ask_claim(vec![settle]));
        h.answer(call, Told::Claimed { settled: vec![Item::Ok(())], jobs: Vec::new() });
        h.pass(ms);
        h.claim(1, 2);
        h
    };
    snoozed(500).keeps(I::I9);
    snoozed(499).breaks(I::I9);
}

#[test]
fn i11_a_child_is_not_given_before_its_parent_has_ended() {
    let family = |how: Option<How>| {
        let mut h = History::new();
        let parents = vec![Parent { id: id(1), on: OnParent::Success }];
        h.enqueue(vec![asked(1), Asked { parents, ..asked(2) }]);
        let lease = h.claim(1, 1);
        how.into_iter().for_each(|how| h.settle(lease, how, Item::Ok(())));
        h.claim(2, 1);
        h
    };
    family(Some(How::Complete)).keeps(I::I11);
    family(None).breaks(I::I11);
    family(Some(How::Fail)).breaks(I::I11);
}

#[test]
fn i13_a_job_is_there_if_and_only_if_its_transaction_committed() {
    use TransactionStep::{Committed, Committing, RolledBack, Unknown};
    let enqueued = |steps: &[TransactionStep], there: bool| {
        let mut h = History::new();
        let call = h.begin(Ask::Enqueue { jobs: vec![asked(1)], transaction: Some("t".into()) });
        h.answer(call, Told::Enqueued(vec![created(id(1))]));
        steps.iter().for_each(|step| h.transaction("t", *step));
        let jobs = [(1, State::Completed, 1)];
        h.dump(if there { &jobs } else { &[] });
        h
    };
    enqueued(&[Committing, Committed], true).keeps(I::I13);
    enqueued(&[Committing, Committed], false).breaks(I::I13);
    enqueued(&[RolledBack], false).keeps(I::I13);
    enqueued(&[RolledBack], true).breaks(I::I13);
    enqueued(&[], true).breaks(I::I13);
    for there in [true, false] {
        assert!(enqueued(&[Committing, Unknown], there).check(false).is_clean());
    }
}

#[test]
fn i14_a_handler_is_started_once_under_a_lease_that_was_given() {
    let mut h = one_job();
    let lease = h.claim(1, 1);
    h.handler(lease, Phase::Started);
    let mut twice = h.clone();
    h.handler(lease, Phase::Ended);
    h.keeps(I::I14);
    twice.handler(lease, Phase::Started);
    assert!(twice.breaks(I::I14).contains("second handler"));
    let mut never = one_job();
    let lease = never.lease(1, 1);
    never.handler(lease, Phase::Started);
    never.breaks(I::I14);
}

#[test]
fn i14_an_attempt_that_nobody_was_given_needs_a_lost_answer() {
    let jumps = |lost: bool| {
        let mut h = one_job();
        if lost {
            let claim = h.begin(ask_claim(Vec::new()));
            let outcome = windlass_core::error::Outcome::Unknown;
            h.answer(claim, Told::Failed { outcome, cause: "cut".into() });
        }
        h.claim(1, 2);
        h
    };
    jumps(true).keeps(I::I14);
    jumps(false).breaks(I::I14);
}

#[test]
fn i14_a_holder_is_not_told_that_it_is_stale() {
    let told = |ms: u64| {
        let mut h = one_job();
        let lease = h.claim(1, 1);
        h.pass(ms);
        h.settle(lease, How::Complete, stale());
        h
    };
    told(LEASE_MS).keeps(I::I14);
    told(LEASE_MS - 1).breaks(I::I14);
}
