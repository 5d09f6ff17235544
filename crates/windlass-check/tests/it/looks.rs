//! What full looks at a store show.

use crate::writer::{History, START, asked, group, id, shown};
use windlass_check::Invariant as I;
use windlass_check::format::{Ask, Asked, DumpBegins, DumpEnd, DumpJob, DumpLimit, How, Item, Says};
use windlass_core::event::EventType as E;
use windlass_core::job::{OnConflict, OnParent, Parent, Unique, UniqueScope};
use windlass_core::limit::LimitUse;
use windlass_core::name::{LimitName, UniqueKey};
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::Counts;
use windlass_core::{State, Time};

const QUIET: DumpEnd = DumpEnd { quiet: true, events_complete: false };
const REOPENED: DumpBegins = DumpBegins { reopened: true, workers_ended: false };

#[test]
fn i4_the_store_counts_no_fewer_attempts_than_were_given() {
    let mut h = History::new();
    h.enqueue(vec![asked(1)]);
    let lease = h.claim(1, 1);
    h.complete(lease);
    let mut fewer = h.clone();
    h.dump(&[(1, State::Completed, 1)]);
    h.keeps(I::I4);
    fewer.dump(&[(1, State::Completed, 0)]);
    fewer.breaks(I::I4);
}

#[test]
fn i5_two_live_jobs_with_one_key_in_one_look() {
    let unique = || {
        let key = UniqueKey::new("k").unwrap();
        Some(Unique { key, scope: UniqueScope::WhileLive, on_conflict: OnConflict::Existing })
    };
    let both = |second: State| {
        let mut h = History::new();
        let jobs = [1, 2].map(|n| Asked { unique: unique(), ..asked(n) });
        for job in jobs {
            h.begin(Ask::Enqueue { jobs: vec![job], transaction: None });
        }
        h.dump(&[(1, State::Ready, 0), (2, second, 0)]);
        h
    };
    assert!(both(State::Cancelled).check(false).is_clean());
    let report = both(State::Ready).check(false);
    assert!(report.violations.iter().any(|violation| violation.invariant == I::I5));
}

#[test]
fn i7_slots_held_equal_what_runs() {
    let name = LimitName::new("slots").unwrap();
    let counted = |in_use: u64| {
        let mut h = History::new();
        let limits = vec![LimitUse { name: name.clone(), cost: 3 }];
        h.enqueue(vec![Asked { limits, ..asked(1) }]);
        h.claim(1, 1);
        h.dump(&[(1, State::Running, 1)]);
        let end = h.lines.pop().unwrap();
        h.say(Says::Limit(DumpLimit { name: name.clone(), in_use }));
        h.lines.push(end);
        h
    };
    assert!(counted(3).check(false).is_clean());
    assert_eq!(counted(3).check(false).judged(I::I7).checks, 1);
    let report = counted(4).check(false);
    assert_eq!(report.violations.len(), 1);
    assert_eq!(report.violations[0].invariant, I::I7);
}

#[test]
fn i11_a_job_whose_parents_have_ended_is_not_blocked() {
    let family = |parent: State| {
        let mut h = History::new();
        let parents = vec![Parent { id: id(1), on: OnParent::Always }];
        h.enqueue(vec![asked(1), Asked { parents, ..asked(2) }]);
        h.dump(&[(1, parent, 0), (2, State::Blocked, 0)]);
        h
    };
    assert!(family(State::Ready).check(false).is_clean());
    let report = family(State::Completed).check(false);
    assert_eq!(report.violations[0].invariant, I::I11);
}

#[test]
fn i15_what_is_due_has_ended_in_the_last_look() {
    let left = |state: State, since: u64, paused: bool| {
        let mut h = History::new();
        h.header.all_clients = false;
        let job = DumpJob { since: Time(since), ..shown(1, state, 0) };
        h.dump_jobs(DumpBegins::default(), vec![job], QUIET);
        for line in &mut h.lines {
            if let Says::Queue(queue) = &mut line.says {
                queue.settings.paused = paused;
            }
        }
        h
    };
    left(State::Completed, START, false).keeps(I::I15);
    left(State::Ready, START, true).keeps(I::I15);
    left(State::Scheduled, START + 1, false).keeps(I::I15);
    left(State::Scheduled, START, false).breaks(I::I15);
    left(State::Ready, START, false).breaks(I::I15);
    left(State::Running, START, true).breaks(I::I15);
    // Not asked for, it is not judged.
    assert!(left(State::Ready, START, false).check(false).is_clean());
}

#[test]
fn i15_a_dead_head_excuses_its_ordered_group() {
    let behind = |ordered: bool| {
        let mut h = History::new();
        let groups = GroupSettings { ordered, ..GroupSettings::default() };
        h.set_queue("q", QueueSettings { groups, ..QueueSettings::default() });
        let job = |n| Asked { group: group("g"), ..asked(n) };
        h.enqueue(vec![job(1), job(2)]);
        let head = h.lease(1, 1);
        h.give(head, "q", group("g"));
        h.settle(head, How::Fail, Item::Ok(()));
        let in_group = |n, state, attempt| DumpJob { group: group("g"), ..shown(n, state, attempt) };
        let jobs = vec![in_group(1, State::Dead, 1), in_group(2, State::Ready, 0)];
        h.dump_jobs(DumpBegins::default(), jobs, QUIET);
        h
    };
    behind(true).keeps(I::I15);
    behind(false).breaks(I::I15);
}

#[test]
fn i16_counts_equal_the_list() {
    let counted = |completed: u64, quiet: bool| {
        let mut h = History::new();
        h.header.all_clients = false;
        h.dump_as(DumpBegins::default(), &[(1, State::Completed, 1)], DumpEnd { quiet, ..QUIET });
        for line in &mut h.lines {
            if let Says::Queue(queue) = &mut line.says {
                queue.counts = Counts::default();
                queue.counts.0[State::Completed as usize] = completed;
            }
        }
        h
    };
    counted(1, true).keeps(I::I16);
    assert!(counted(2, true).breaks(I::I16).contains("counts 2 completed jobs, and lists 1"));
    // What moves while it is looked at cannot be counted.
    assert!(counted(2, false).check(true).is_clean());
    let mut uncounted = counted(1, true);
    uncounted.lines.retain(|line| !matches!(line.says, Says::Queue(_)));
    uncounted.breaks(I::I16);
}

#[test]
fn i16_the_list_is_what_the_events_have_told() {
    let told = |state: State, attempt: u32, list: bool| {
        let mut h = History::new();
        h.header.all_clients = false;
        for (event, attempt) in [(E::Enqueued, 0), (E::Claimed, 1), (E::Completed, 1)] {
            h.event(1, event, attempt);
        }
        let jobs = [(1, state, attempt)];
        h.dump_with_events(if list { &jobs } else { &[] });
        h
    };
    told(State::Completed, 1, true).keeps(I::I16);
    told(State::Completed, 2, true).breaks(I::I16);
    told(State::Dead, 1, true).breaks(I::I16);
    told(State::Completed, 1, false).breaks(I::I16);
}

#[test]
fn i17_a_reopened_store_shows_the_same() {
    let reopened = |after: Vec<DumpJob>, begins: DumpBegins| {
        let mut h = History::new();
        h.header.all_clients = false;
        let before =
            vec![shown(1, State::Completed, 1), shown(2, State::Running, 1), shown(3, State::Retrying, 1)];
        h.dump_jobs(DumpBegins::default(), before, QUIET);
        h.set(Ask::Close {});
        h.dump_jobs(begins, after, QUIET);
        h
    };
    let holds = |after: Vec<DumpJob>, begins| {
        let report = reopened(after, begins).check(false);
        assert!(report.violations.iter().all(|violation| violation.invariant == I::I17), "{report:?}");
        assert!(report.judged(I::I17).checks > 0);
        report.is_clean()
    };
    let (done, running, retrying) =
        (shown(1, State::Completed, 1), shown(2, State::Running, 1), shown(3, State::Retrying, 1));
    assert!(holds(vec![done.clone(), running.clone(), retrying.clone()], REOPENED));
    // Time may do what time does: the third job is due.
    assert!(holds(vec![done.clone(), running.clone(), shown(3, State::Ready, 1)], REOPENED));
    let workers_ended = DumpBegins { workers_ended: true, ..REOPENED };
    let lost = DumpJob { losses: 1, ..shown(2, State::Ready, 1) };
    assert!(holds(vec![done.clone(), lost, retrying.clone()], workers_ended.clone()));
    // Vanished, changed, come from nowhere.
    assert!(!holds(vec![running.clone(), retrying.clone()], REOPENED));
    assert!(!holds(
        vec![DumpJob { failures: 1, ..done.clone() }, running.clone(), retrying.clone()],
        REOPENED
    ));
    assert!(!holds(
        vec![done.clone(), shown(2, State::Completed, 1), retrying.clone()],
        workers_ended.clone()
    ));
    assert!(!holds(vec![done, running, retrying, shown(4, State::Ready, 0)], REOPENED));
}

#[test]
fn i17_what_was_asked_meanwhile_is_no_recovery() {
    let mut h = History::new();
    h.dump_jobs(DumpBegins::default(), Vec::new(), QUIET);
    h.enqueue(vec![asked(1)]);
    h.dump_jobs(REOPENED, vec![shown(1, State::Ready, 0)], QUIET);
    let report = h.check(false);
    assert!(report.is_clean());
    assert_eq!(report.judged(I::I17).checks, 0);
}
