//! Schedules: one job per tick, overlap, catch-up, time zones, and restarts.

use crate::host::{Host, START};
use crate::subject::*;
use windlass_core::job::State::{Ready, Running};
use windlass_core::name::ScheduleName;
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::schedule::{CatchUp, Overlap, Timing};
use windlass_core::store::{Filter, ScheduleInfo, ScheduleSpec};
use windlass_core::{JobId, Rejection, Time};

cases![
    every_tick_makes_one_job_as_the_schedule_says,
    a_tick_of_an_ended_job_makes_a_new_one,
    ticks_of_an_absence_are_caught_up_as_the_policy_says,
    a_tick_that_is_only_a_little_late_is_on_time,
    a_tick_skips_while_the_last_ones_job_is_live_if_overlap_is_not_allowed,
    jobs_pile_up_if_overlap_is_allowed,
    a_paused_schedule_makes_no_jobs_and_catches_none_up,
    a_schedule_with_an_anchor_begins_there,
    cron_ticks_at_the_local_time_of_its_zone,
    a_changed_schedule_ticks_by_its_new_timing_and_payload_after_the_answer,
    a_deleted_schedule_ticks_no_more_and_its_jobs_stay,
    a_schedule_that_cannot_be_kept_is_refused,
    many_schedules_tick_each_by_itself,
    an_interval_schedule_does_not_drift_when_upkeep_is_late,
    a_schedule_ticks_though_a_round_of_upkeep_has_more_to_remove,
    one_job_per_tick_holds_over_any_number_of_restarts restarts,
    a_paused_schedule_and_an_overlap_are_remembered_over_a_restart restarts,
];

const MINUTE_MS: u64 = 60_000;

fn spec(timing: Timing) -> ScheduleSpec {
    ScheduleSpec {
        name: schedule("s"),
        timing,
        overlap: Overlap::Allow,
        catch_up: CatchUp::Last,
        queue: queue("q"),
        kind: kind("tick"),
        payload: b"payload".to_vec(),
        group: None,
        priority: 0,
        paused: false,
    }
}

/// Every minute, on the minute; [`START`] is one.
fn every_minute() -> ScheduleSpec {
    spec(Timing::Interval { every_ms: MINUTE_MS, anchor: Time::ZERO })
}

fn cron(expression: &str, time_zone: &str) -> ScheduleSpec {
    spec(Timing::Cron { expression: expression.into(), time_zone: time_zone.into() })
}

fn set(s: &Subject, spec: ScheduleSpec) {
    s.wait(s.store().set_schedule(spec, s.at())).expect("the schedule is valid");
}

fn info(s: &Subject) -> ScheduleInfo {
    let mut infos = s.wait(s.store().schedules());
    assert_eq!(infos.len(), 1);
    infos.remove(0)
}

fn made(s: &Subject) -> Vec<JobId> {
    s.list(&Filter { kind: Some(kind("tick")), ..Filter::default() })
}

fn every_tick_makes_one_job_as_the_schedule_says(host: &dyn Host) {
    let s = Subject::new(host);
    set(&s, ScheduleSpec { group: Some(group("g")), priority: 4, ..every_minute() });
    assert_eq!(info(&s).next_tick, Some(START.plus_ms(MINUTE_MS)), "the next tick lies after the answer");
    assert!(made(&s).is_empty());
    s.advance(MINUTE_MS - 1);
    assert!(made(&s).is_empty());
    s.advance(1);
    let id = made(&s)[0];
    let job = s.get(id);
    assert_eq!((job.view.state, job.payload.as_slice()), (Ready, &b"payload"[..]));
    assert_eq!((job.view.group, job.view.priority, job.view.kind), (Some(group("g")), 4, kind("tick")));
    let told = info(&s);
    assert_eq!((told.last_tick, told.last_job, told.ticks, told.skipped), (Some(s.now()), Some(id), 1, 0));
    assert_eq!(told.next_tick, Some(s.now().plus_ms(MINUTE_MS)));
    for n in 2..=10 {
        s.advance(MINUTE_MS);
        s.upkeep();
        assert_eq!(made(&s).len(), n, "one job per tick");
    }
    assert_eq!(s.claim("q", 100).len(), 10);
}

fn a_tick_of_an_ended_job_makes_a_new_one(host: &dyn Host) {
    let s = Subject::new(host);
    set(&s, every_minute());
    let mut ids = Vec::new();
    for _ in 0..5 {
        s.advance(MINUTE_MS);
        ids.extend(s.drain("q"));
    }
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

fn ticks_of_an_absence_are_caught_up_as_the_policy_says(host: &dyn Host) {
    let ten_minutes = 10 * MINUTE_MS + 30_000;
    for (catch_up, jobs) in [
        (CatchUp::Skip, 0),
        (CatchUp::Last, 1),
        (CatchUp::All { max: 4 }, 4),
        (CatchUp::All { max: 100 }, 10),
    ] {
        let s = Subject::new(host);
        set(&s, ScheduleSpec { catch_up, ..every_minute() });
        s.advance(ten_minutes);
        assert_eq!(made(&s).len(), jobs, "{catch_up:?}");
        let told = info(&s);
        assert_eq!((told.ticks, told.skipped), (jobs as u64, 10 - jobs as u64), "{catch_up:?}");
        s.advance(30_000);
        assert_eq!(made(&s).len(), jobs + 1, "{catch_up:?}: a tick on time always runs");
    }
}

fn a_tick_that_is_only_a_little_late_is_on_time(host: &dyn Host) {
    let s = Subject::new(host);
    set(&s, ScheduleSpec { catch_up: CatchUp::Skip, ..every_minute() });
    s.advance(MINUTE_MS + 9_000);
    assert_eq!(made(&s).len(), 1);
}

fn a_tick_skips_while_the_last_ones_job_is_live_if_overlap_is_not_allowed(host: &dyn Host) {
    let s = Subject::new(host);
    set(&s, ScheduleSpec { overlap: Overlap::Skip, ..every_minute() });
    s.advance(MINUTE_MS);
    let first = made(&s)[0];
    s.advance(MINUTE_MS);
    assert_eq!(made(&s), [first], "it is ready");
    let held = s.take("q");
    s.advance(20_000);
    s.beat(&held.lease).unwrap();
    s.advance(20_000);
    s.beat(&held.lease).unwrap();
    s.advance(20_000);
    assert_eq!((s.state(first), made(&s).len()), (Running, 1), "it runs");
    s.fail(&held);
    s.cancel(first).unwrap();
    s.advance(MINUTE_MS);
    assert_eq!(made(&s).len(), 2, "it has ended");
    let told = info(&s);
    assert_eq!((told.ticks, told.skipped), (2, 2));
}

fn jobs_pile_up_if_overlap_is_allowed(host: &dyn Host) {
    let s = Subject::new(host);
    set(&s, every_minute());
    for _ in 0..4 {
        s.advance(MINUTE_MS);
    }
    assert_eq!(s.counts("q").of(Ready), 4);
}

fn a_paused_schedule_makes_no_jobs_and_catches_none_up(host: &dyn Host) {
    let s = Subject::new(host);
    set(&s, ScheduleSpec { catch_up: CatchUp::All { max: 100 }, ..every_minute() });
    s.advance(MINUTE_MS);
    set(&s, ScheduleSpec { catch_up: CatchUp::All { max: 100 }, paused: true, ..every_minute() });
    for _ in 0..5 {
        s.advance(MINUTE_MS);
    }
    assert_eq!(made(&s).len(), 1);
    set(&s, ScheduleSpec { catch_up: CatchUp::All { max: 100 }, ..every_minute() });
    s.upkeep();
    assert_eq!(made(&s).len(), 1);
    s.advance(MINUTE_MS);
    assert_eq!(made(&s).len(), 2);
}

fn a_schedule_with_an_anchor_begins_there(host: &dyn Host) {
    let s = Subject::new(host);
    let anchor = START.plus_ms(10_500);
    set(&s, spec(Timing::Interval { every_ms: 7_000, anchor }));
    assert_eq!(info(&s).next_tick, Some(anchor));
    s.advance(10_500);
    assert_eq!(made(&s).len(), 1);
    assert_eq!(info(&s).next_tick, Some(anchor.plus_ms(7_000)));
}

fn cron_ticks_at_the_local_time_of_its_zone(host: &dyn Host) {
    let s = Subject::new(host);
    // 04:40 UTC is 05:40 in Berlin (winter) and 10:10 in Kolkata.
    set(&s, cron("0 9 * * *", "Europe/Berlin"));
    assert_eq!(info(&s).next_tick, Some(START.plus_ms((3 * 60 + 20) * MINUTE_MS)));
    set(&s, cron("15 10 * * *", "Asia/Kolkata"));
    assert_eq!(info(&s).next_tick, Some(START.plus_ms(5 * MINUTE_MS)));
    s.advance(5 * MINUTE_MS);
    assert_eq!(made(&s).len(), 1);
    assert_eq!(info(&s).next_tick, Some(START.plus_ms((24 * 60 + 5) * MINUTE_MS)));
}

fn a_changed_schedule_ticks_by_its_new_timing_and_payload_after_the_answer(host: &dyn Host) {
    let s = Subject::new(host);
    set(&s, every_minute());
    s.advance(MINUTE_MS + 1_000);
    set(
        &s,
        ScheduleSpec {
            payload: b"new".to_vec(),
            ..spec(Timing::Interval { every_ms: 10_000, anchor: Time::ZERO })
        },
    );
    assert_eq!(made(&s).len(), 1, "no tick of before is made up");
    s.advance(9_000);
    let all = made(&s);
    assert_eq!(all.len(), 2);
    let payloads: Vec<_> = all.iter().map(|id| s.get(*id).payload).collect();
    assert!(payloads.contains(&b"new".to_vec()) && payloads.contains(&b"payload".to_vec()));
}

fn a_deleted_schedule_ticks_no_more_and_its_jobs_stay(host: &dyn Host) {
    let s = Subject::new(host);
    set(&s, every_minute());
    s.advance(MINUTE_MS);
    assert_eq!(s.wait(s.store().delete_schedule(schedule("s"), s.at())), Ok(()));
    s.advance(10 * MINUTE_MS);
    assert_eq!((made(&s).len(), s.counts("q").of(Ready)), (1, 1));
    assert!(s.wait(s.store().schedules()).is_empty());
    let again = s.wait(s.store().delete_schedule(schedule("s"), s.at()));
    assert!(matches!(again, Err(Rejection::NotFound { .. })), "{again:?}");
}

fn a_schedule_that_cannot_be_kept_is_refused(host: &dyn Host) {
    let s = Subject::new(host);
    for bad in [
        cron("61 * * * *", "UTC"),
        cron("0 9 * * *", "Europe/Atlantis"),
        cron("0 0 30 2 *", "UTC"),
        spec(Timing::Interval { every_ms: 999, anchor: Time::ZERO }),
        ScheduleSpec { catch_up: CatchUp::All { max: 0 }, ..every_minute() },
        ScheduleSpec { priority: 10, ..every_minute() },
        ScheduleSpec { payload: vec![0; (1 << 20) + 1], ..every_minute() },
    ] {
        let answer = s.wait(s.store().set_schedule(bad.clone(), s.at()));
        assert!(matches!(answer, Err(Rejection::Invalid { .. })), "{answer:?} for {:?}", bad.timing);
    }
    assert!(s.wait(s.store().schedules()).is_empty());
}

fn one_job_per_tick_holds_over_any_number_of_restarts(host: &dyn Host) {
    let mut s = Subject::new(host);
    set(&s, ScheduleSpec { catch_up: CatchUp::All { max: 100 }, ..every_minute() });
    s.advance(MINUTE_MS);
    s.restart();
    s.upkeep();
    assert_eq!(made(&s).len(), 1);
    s.advance(MINUTE_MS / 2);
    s.restart();
    s.restart();
    s.upkeep();
    assert_eq!(made(&s).len(), 1);
    // Time passes while nobody is there.
    s.abandon();
    s.pass(5 * MINUTE_MS);
    s.open();
    s.upkeep();
    assert_eq!(made(&s).len(), 6);
    s.restart();
    s.upkeep();
    let told = info(&s);
    assert_eq!((made(&s).len(), told.ticks, told.skipped), (6, 6, 0));
    s.advance(MINUTE_MS);
    assert_eq!(made(&s).len(), 7);
}

fn a_paused_schedule_and_an_overlap_are_remembered_over_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    set(&s, ScheduleSpec { overlap: Overlap::Skip, ..every_minute() });
    s.advance(MINUTE_MS);
    s.restart();
    s.advance(MINUTE_MS);
    assert_eq!(made(&s).len(), 1, "the job of the last tick is live");
    set(&s, ScheduleSpec { paused: true, ..every_minute() });
    s.restart();
    s.advance(MINUTE_MS);
    assert_eq!(made(&s).len(), 1);
    assert!(info(&s).spec.paused);
}

fn many_schedules_tick_each_by_itself(host: &dyn Host) {
    let s = Subject::new(host);
    for i in 1..=20u64 {
        let name = ScheduleName::new(format!("s{i}")).unwrap();
        let timing = Timing::Interval { every_ms: i * 1_000, anchor: Time::ZERO };
        set(&s, ScheduleSpec { name, queue: queue(&format!("q{i}")), ..spec(timing) });
    }
    for _ in 0..60 {
        s.advance(1_000);
    }
    for i in 1..=20u64 {
        let due = (START.0 + 60_000) / (i * 1_000) - START.0 / (i * 1_000);
        assert_eq!(s.counts(&format!("q{i}")).of(Ready), due, "every {i} s");
    }
}

fn an_interval_schedule_does_not_drift_when_upkeep_is_late(host: &dyn Host) {
    let s = Subject::new(host);
    set(&s, every_minute());
    for _ in 0..10 {
        s.advance(MINUTE_MS + 777);
    }
    let last = info(&s).last_tick.expect("ticked");
    assert_eq!(last.0 % MINUTE_MS, 0);
}

fn a_schedule_ticks_though_a_round_of_upkeep_has_more_to_remove(host: &dyn Host) {
    let s = Subject::new(host);
    let retention = Retention { completed_ms: MINUTE_MS, ..Retention::default() };
    s.set_queue("busy", QueueSettings { retention, ..QueueSettings::default() });
    set(&s, every_minute());
    s.put_many("busy", 50);
    assert_eq!(s.drain("busy").len(), 50);
    s.pass(MINUTE_MS);
    s.wait(s.store().upkeep(1, s.at()));
    assert_eq!(made(&s).len(), 1);
}
