//! What the store's own events show.

use crate::writer::{History, LEASE_MS, START, asked, group, id, queue};
use windlass_check::format::{Ask, Asked, How, Item, Says};
use windlass_check::{EventOrder, FaultKind, Invariant as I};
use windlass_core::event::{Cause, EventType as E};
use windlass_core::job::{OnConflict, OnParent, Parent, Unique, UniqueScope};
use windlass_core::limit::LimitSettings;
use windlass_core::name::UniqueKey;
use windlass_core::queue::{GroupSettings, OnHeadDeath, QueueSettings};
use windlass_core::rate::Rate;
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::ScheduleSpec;
use windlass_core::{JobId, Kind, Lease, ScheduleName, State, Time};

/// A job that was enqueued, failed once, and completed, with its events; `change` may spoil their list.
fn told(change: impl FnOnce(&mut Vec<(E, u32)>)) -> History {
    let mut h = History::new();
    h.enqueue(vec![asked(1)]);
    let first = h.claim(1, 1);
    h.settle(first, How::Fail, Item::Ok(()));
    let second = h.claim(1, 2);
    h.complete(second);
    let mut events = vec![
        (E::Enqueued, 0),
        (E::Claimed, 1),
        (E::Failed, 1),
        (E::Promoted, 1),
        (E::Claimed, 2),
        (E::Completed, 2),
    ];
    change(&mut events);
    events.into_iter().for_each(|(event, attempt)| h.event(1, event, attempt));
    h
}

/// The same, with a look that shows the end.
fn shown(change: impl FnOnce(&mut Vec<(E, u32)>)) -> History {
    let mut h = told(change);
    h.dump_with_events(&[(1, State::Completed, 2)]);
    h
}

#[test]
fn i1_every_acknowledged_settlement_is_told() {
    shown(|_| ()).keeps(I::I1);
    let report = shown(|events| events.truncate(5)).check(false);
    let told: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|text| text.starts_with("I1: Complete of attempt 2")), "{told:?}");
    // A look that does not say that all events were read proves nothing.
    let mut unread = told_without_end();
    unread.dump(&[(1, State::Completed, 2)]);
    assert!(unread.check(true).is_clean());
}

fn told_without_end() -> History {
    told(|events| events.truncate(5))
}

#[test]
fn i1_every_acknowledged_job_is_told() {
    let mut h = History::new();
    h.enqueue(vec![asked(1)]);
    h.dump_with_events(&[]);
    assert!(h.breaks(I::I1).contains("no event tells of it"));
    let mut removed = History::new();
    removed.enqueue(vec![asked(1)]);
    for (event, attempt) in [(E::Enqueued, 0), (E::Cancelled, 0), (E::Removed, 0)] {
        removed.event(1, event, attempt);
    }
    removed.dump_with_events(&[]);
    removed.keeps(I::I1);
}

#[test]
fn i1_an_acknowledged_cancellation_is_told() {
    let cancelled = |event: E| {
        let mut h = History::new();
        h.enqueue(vec![asked(1)]);
        let call = h.begin(Ask::Cancel { jobs: vec![id(1)] });
        let told = vec![Item::Ok(windlass_core::store::Cancelled::Now)];
        h.answer(call, windlass_check::format::Told::Cancelled(told));
        h.event(1, E::Enqueued, 0);
        h.event(1, event, 0);
        h
    };
    let mut fine = cancelled(E::Cancelled);
    fine.dump_with_events(&[(1, State::Cancelled, 0)]);
    fine.keeps(I::I1);
    let mut lost = cancelled(E::Edited);
    lost.dump_with_events(&[(1, State::Ready, 0)]);
    assert!(lost.check(false).violations.iter().all(|violation| violation.invariant == I::I1));
    assert!(!lost.check(false).is_clean());
}

#[test]
fn i2_a_claim_of_a_held_job() {
    told(|_| ()).keeps(I::I2);
    // The end of the first attempt is gone: the second one is claimed over it, and without a cause.
    let report =
        told(|events| events.retain(|(event, attempt)| *attempt != 1 || *event == E::Claimed)).check(false);
    let found: Vec<I> = report.violations.iter().map(|violation| violation.invariant).collect();
    assert_eq!(found, [I::I2, I::I14]);
}

#[test]
fn i3_an_end_of_an_attempt_that_does_not_hold_the_job() {
    told(|_| ()).keeps(I::I3);
    told(|events| events[5].1 = 1).breaks(I::I3);
}

#[test]
fn i4_attempts_go_up_one_by_one() {
    told(|_| ()).keeps(I::I4);
    told(|events| (events[4].1, events[5].1) = (3, 3)).breaks(I::I4);
}

#[test]
fn i10_a_generation_ends_once() {
    told(|_| ()).keeps(I::I10);
    let twice = told(|events| events.push((E::Cancelled, 2)));
    assert!(twice.breaks(I::I10).contains("had ended already"));
    told(|events| events.extend([(E::Retried, 2), (E::Cancelled, 2)])).keeps(I::I10);
    told(|events| events.push((E::Promoted, 2))).breaks(I::I10);
    told(|events| events.push((E::Enqueued, 0))).breaks(I::I10);
    told(|events| events.extend([(E::Removed, 2), (E::Retried, 2)])).breaks(I::I10);
}

#[test]
fn i14_a_second_attempt_has_a_cause() {
    told(|_| ()).keeps(I::I14);
    // Its first attempt neither failed nor was lost; it was only promoted again.
    let report = told(|events| events.retain(|(event, _)| *event != E::Failed)).check(false);
    assert!(report.violations.iter().any(|violation| violation.invariant == I::I14), "{report:?}");
}

#[test]
fn i14_a_lease_is_lost_at_its_deadline_and_not_before() {
    let lost = |ms: u64, cause: Cause, fault: bool| {
        let mut h = History::new();
        h.enqueue(vec![asked(1)]);
        h.claim(1, 1);
        h.event(1, E::Enqueued, 0);
        h.event(1, E::Claimed, 1);
        if fault {
            h.fault(FaultKind::StoreKilled);
        }
        h.pass(ms);
        h.cause(1, E::Lost, 1, cause);
        h
    };
    lost(LEASE_MS, Cause::Lost, false).keeps(I::I14);
    lost(LEASE_MS - 1, Cause::Lost, false).breaks(I::I14);
    lost(0, Cause::Restart, true).keeps(I::I14);
    lost(0, Cause::Restart, false).breaks(I::I14);
}

#[test]
fn i5_two_live_holders_are_told() {
    let unique = || {
        let key = UniqueKey::new("k").unwrap();
        Some(Unique { key, scope: UniqueScope::UntilStart, on_conflict: OnConflict::Existing })
    };
    let two = |started: bool| {
        let mut h = History::new();
        h.begin(Ask::Enqueue { jobs: vec![Asked { unique: unique(), ..asked(1) }], transaction: None });
        h.begin(Ask::Enqueue { jobs: vec![Asked { unique: unique(), ..asked(2) }], transaction: None });
        h.event(1, E::Enqueued, 0);
        if started {
            h.event(1, E::Claimed, 1);
        }
        h.event(2, E::Enqueued, 0);
        h
    };
    two(true).keeps(I::I5);
    two(false).breaks(I::I5);
    // Events of different jobs that cannot be compared are not.
    let mut apart = two(false);
    apart.header.events = EventOrder::PerJob;
    assert!(apart.check(true).is_clean());
}

fn ordered(on_head_death: OnHeadDeath, events: &[(u128, E, u32)]) -> History {
    let mut h = History::new();
    let groups = GroupSettings { ordered: true, on_head_death, ..GroupSettings::default() };
    h.set_queue("q", QueueSettings { groups, ..QueueSettings::default() });
    let job = |n| Asked { group: group("g"), ..asked(n) };
    h.begin(Ask::Enqueue { jobs: vec![job(1), job(2)], transaction: None });
    for (n, event, attempt) in events {
        h.event_in(job(*n), *event, *attempt, Cause::None);
    }
    h
}

#[test]
fn i6_the_head_of_an_ordered_group_keeps_its_place() {
    let both = [(1, E::Enqueued, 0), (2, E::Enqueued, 0)];
    let and = |more: &[(u128, E, u32)]| [&both, more].concat();
    let snoozed = [(1, E::Claimed, 1), (1, E::Snoozed, 1), (1, E::Promoted, 1)];
    ordered(OnHeadDeath::Block, &and(&[&snoozed[..], &[(1, E::Claimed, 2)]].concat())).keeps(I::I6);
    ordered(OnHeadDeath::Block, &and(&[&snoozed[..], &[(2, E::Claimed, 1)]].concat())).breaks(I::I6);
    let died = [(1, E::Claimed, 1), (1, E::Died, 1), (2, E::Claimed, 1)];
    ordered(OnHeadDeath::Park, &and(&died)).keeps(I::I6);
    ordered(OnHeadDeath::Block, &and(&died)).breaks(I::I6);
    // Parked and retried, it joins the tail.
    let parked = [(1, E::Claimed, 1), (1, E::Died, 1), (1, E::Retried, 1)];
    ordered(OnHeadDeath::Park, &and(&[&parked[..], &[(2, E::Claimed, 1)]].concat())).keeps(I::I6);
    ordered(OnHeadDeath::Park, &and(&[&parked[..], &[(1, E::Claimed, 2)]].concat())).breaks(I::I6);
}

#[test]
fn i7_a_claim_above_the_limit_of_that_moment() {
    let claimed = |concurrency: u32, ended: bool| {
        let mut h = History::new();
        let limits = LimitSettings { concurrency: Some(concurrency), rate: None };
        h.set_queue("q", QueueSettings { limits, ..QueueSettings::default() });
        h.pass(1);
        for n in [1, 2] {
            h.event(n, E::Enqueued, 0);
            h.event(n, E::Claimed, 1);
            if ended {
                h.event(n, E::Completed, 1);
            }
        }
        h.header.all_clients = false;
        h
    };
    claimed(2, false).keeps(I::I7);
    claimed(1, true).keeps(I::I7);
    claimed(1, false).breaks(I::I7);
    // While the limit may already have been another one, either is right.
    let mut raised = claimed(1, false);
    let limits = LimitSettings { concurrency: Some(2), rate: None };
    let call =
        Ask::SetQueue { queue: queue("q"), settings: QueueSettings { limits, ..QueueSettings::default() } };
    raised.begin(call);
    let last = raised.lines.pop().unwrap();
    raised.lines.insert(2, last);
    assert!(raised.check(false).is_clean());
}

#[test]
fn i8_claims_by_the_clock_of_the_store() {
    let paced = |ms: u64| {
        let mut h = History::new();
        h.header.all_clients = false;
        let rate = Some(Rate { count: 1, period_ms: 100, burst: 1 });
        let limits = LimitSettings { concurrency: None, rate };
        h.set_queue("q", QueueSettings { limits, ..QueueSettings::default() });
        h.pass(1);
        for n in 1..4 {
            h.event(n, E::Enqueued, 0);
            h.event(n, E::Claimed, 1);
            h.pass(ms);
        }
        h
    };
    paced(100).keeps(I::I8);
    paced(99).breaks(I::I8);
}

#[test]
fn i11_a_child_is_claimed_after_its_parent_has_ended() {
    let family = |end: Option<E>, on: OnParent| {
        let mut h = History::new();
        h.header.all_clients = false;
        let child = Asked { parents: vec![Parent { id: id(1), on }], ..asked(2) };
        h.begin(Ask::Enqueue { jobs: vec![asked(1), child], transaction: None });
        for (n, event) in [(1, E::Enqueued), (2, E::Enqueued)] {
            h.event(n, event, 0);
        }
        h.event(1, E::Claimed, 1);
        end.into_iter().for_each(|end| h.event(1, end, 1));
        h.event(2, E::Unblocked, 0);
        h.event(2, E::Claimed, 1);
        h
    };
    family(Some(E::Completed), OnParent::Success).keeps(I::I11);
    family(Some(E::Died), OnParent::Always).keeps(I::I11);
    family(Some(E::Died), OnParent::Success).breaks(I::I11);
    family(Some(E::Failed), OnParent::Always).breaks(I::I11);
    family(None, OnParent::Always).breaks(I::I11);
}

#[test]
fn i12_every_job_of_a_schedule_is_of_one_tick() {
    let ticked = |offset_ms: u64, counted: u64| {
        let mut h = History::new();
        let name = ScheduleName::new("s").unwrap();
        let spec = ScheduleSpec {
            name: name.clone(),
            timing: Timing::Interval { every_ms: 60_000, anchor: Time(START) },
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            queue: queue("q"),
            kind: Kind::new("k").unwrap(),
            payload: Vec::new(),
            group: None,
            priority: 0,
            paused: false,
        };
        h.set(Ask::SetSchedule { spec });
        let tick = Time(START + 60_000 + offset_ms);
        let job = Asked { id: JobId::named(tick, "schedule:s"), ..asked(1) };
        h.event_in(job.clone(), E::Enqueued, 0, Cause::None);
        h.event_in(job.clone(), E::Cancelled, 0, Cause::None);
        h.say(Says::Dump(windlass_check::format::DumpBegins::default()));
        let mut seen = crate::writer::shown(1, State::Cancelled, 0);
        seen.id = job.id;
        let mut counts = windlass_core::store::Counts::default();
        counts.0[State::Cancelled as usize] = 1;
        let settings = QueueSettings::default();
        h.say(Says::Queue(windlass_check::format::DumpQueue { name: queue("q"), settings, counts }));
        h.say(Says::Job(seen));
        h.say(Says::Schedule(windlass_check::format::DumpSchedule { name, last_tick: None, ticks: counted }));
        h.say(Says::DumpEnd(windlass_check::format::DumpEnd { quiet: true, events_complete: true }));
        h
    };
    ticked(0, 1).keeps(I::I12);
    ticked(1, 1).breaks(I::I12);
    assert!(ticked(0, 2).breaks(I::I12).contains("counts 2 ticks"));
}

#[test]
fn a_lease_that_nobody_gave_ends_nothing() {
    let mut h = History::new();
    h.enqueue(vec![asked(1)]);
    let lease: Lease = h.lease(1, 1);
    h.settle(lease, How::Complete, Item::Ok(()));
    h.event(1, E::Enqueued, 0);
    h.event(1, E::Completed, 1);
    h.breaks(I::I3);
}
