//! Concurrency and rates of queues, groups and named limits: exact, taken together, and in nobody's way.

use crate::Dice;
use crate::host::Host;
use crate::subject::*;
use std::collections::{BTreeMap, HashMap};
use windlass_core::job::State::{Dead, Ready, Running};
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::rate::Rate;
use windlass_core::store::{ClaimedJob, ReleaseReason, Signal};
use windlass_core::why::Reason;
use windlass_core::{JobId, NewJob, Rejection, Time, WorkerId, bounds};

cases![
    a_queue_never_runs_more_than_its_concurrency,
    a_concurrency_of_0_lets_nothing_run_and_refuses_nothing,
    a_group_never_runs_more_than_its_concurrency_and_stops_no_other,
    the_groups_default_limits_hold_for_each_group_by_itself_and_for_jobs_without_one,
    a_named_limit_holds_over_queues_and_groups,
    up_to_four_limits_are_taken_together_or_not_at_all,
    a_closed_rate_keeps_the_other_limits_of_the_job_untouched,
    a_cost_takes_as_much_of_a_limit_as_it_says,
    a_costly_job_is_not_starved_by_cheap_ones,
    a_slot_is_freed_by_every_end_of_an_attempt,
    a_job_that_leaves_a_limits_line_leaves_the_line_to_the_next,
    lowering_a_limit_revokes_nothing_and_holds_from_then_on,
    raising_a_limit_lets_go_at_once_and_rings_who_waits,
    a_limit_that_is_removed_admits_everything,
    a_limit_set_while_its_jobs_run_counts_them,
    a_job_that_a_limit_holds_back_stops_no_other_of_its_group_queue_or_limit,
    a_thousand_lanes_that_wait_for_a_limit_stop_no_other_lane,
    a_higher_priority_goes_first_through_a_limit_too,
    many_lanes_that_wait_for_one_limit_all_get_their_turn_fairly,
    lanes_of_many_queues_that_wait_for_one_limit_all_get_their_turn,
    within_one_lane_a_limit_lets_back_in_the_order_of_becoming_ready,
    jobs_let_back_by_one_limit_and_held_by_another_all_run_in_the_end,
    grants_in_any_window_are_at_most_burst_and_rate,
    a_rate_counts_costs,
    a_rate_that_is_always_asked_for_gives_exactly_its_rate,
    a_refilled_rate_rings_who_waits_and_lets_back_only_what_it_admits,
    a_closed_rate_says_when_it_opens,
    a_rate_made_faster_lets_go_at_once,
    a_limit_lowered_below_a_waiting_jobs_cost_stops_only_that_job,
    a_waiting_job_whose_cost_became_impossible_does_not_stop_the_line_behind_it,
    a_waiting_job_whose_cost_became_impossible_stops_no_other_queue,
    a_job_that_leaves_the_head_of_a_line_lets_the_next_one_try,
    within_a_group_the_first_to_wait_for_a_limit_is_the_first_to_get_it_whatever_else_it_takes,
    wrong_settings_of_a_limit_are_refused,
    one_wake_is_given_per_free_slot,
    a_dead_job_holds_no_slot,
];

fn on(s: &Subject, name: &str, limits: &[(&str, u32)]) -> NewJob {
    NewJob { limits: uses(limits), ..s.job(name) }
}

fn group_limits(limits: LimitSettings) -> GroupSettings {
    GroupSettings { limits, ..GroupSettings::default() }
}

fn a_queue_never_runs_more_than_its_concurrency(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", limited(at_once(3)));
    s.put_many("q", 10);
    assert_eq!(s.claim("q", 2).len(), 2);
    let held = s.ask(WorkerId(2), vec![], &[("q", 10)]).jobs;
    assert_eq!(held.len(), 1, "over all workers");
    assert!(s.claim("q", 10).is_empty());
    s.complete(&held[0]);
    assert_eq!(s.claim("q", 10).len(), 1);
    assert_eq!(s.counts("q").of(Running), 3);
}

fn a_concurrency_of_0_lets_nothing_run_and_refuses_nothing(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", limited(at_once(0)));
    s.put(s.job("q"));
    assert!(s.claim("q", 1).is_empty());
    s.set_queue("q", limited(at_once(1)));
    assert_eq!(s.claim("q", 1).len(), 1);
}

fn a_group_never_runs_more_than_its_concurrency_and_stops_no_other(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_group("q", "a", group_limits(at_once(2)));
    let a = s.put_all((0..5).map(|_| s.job_of("q", "a")).collect());
    let b = s.put_all((0..5).map(|_| s.job_of("q", "b")).collect());
    let held = s.claim("q", 100);
    let of = |key: &str| held.iter().filter(|job| job.group == Some(group(key))).count();
    assert_eq!((of("a"), of("b")), (2, 5));
    assert_eq!(s.reason(a[4]), Reason::GroupConcurrency);
    s.complete(held.iter().find(|job| job.lease.job == b[0]).expect("claimed"));
    assert!(s.claim("q", 100).is_empty());
    s.complete(held.iter().find(|job| job.lease.job == a[0]).expect("claimed"));
    assert_eq!(s.claim_ids("q", 100), [a[2]]);
}

fn the_groups_default_limits_hold_for_each_group_by_itself_and_for_jobs_without_one(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", grouped(group_limits(at_once(1))));
    for key in ["a", "b", "c"] {
        s.put_all((0..3).map(|_| s.job_of("q", key)).collect());
    }
    let held = s.claim("q", 100);
    let mut keys: Vec<_> = held.iter().map(|job| job.group.clone().expect("a group").to_string()).collect();
    keys.sort();
    assert_eq!(keys, ["a", "b", "c"]);
}

fn a_named_limit_holds_over_queues_and_groups(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("smtp", at_once(2));
    for name in ["a", "b", "c"] {
        s.put_all((0..2).map(|_| on(&s, name, &[("smtp", 1)])).collect());
    }
    let held = s.ask(WORKER, vec![], &[("a", 1), ("b", 5), ("c", 5)]).jobs;
    assert_eq!(held.len(), 2);
    assert_eq!(s.limit_info("smtp").in_use, 2);
    s.complete(&held[0]);
    assert_eq!(s.claim("c", 5).len(), 1);
    assert_eq!(s.limit_info("smtp").in_use, 2);
}

fn up_to_four_limits_are_taken_together_or_not_at_all(host: &dyn Host) {
    let s = Subject::new(host);
    let names = ["l1", "l2", "l3", "l4"];
    let all = names.map(|name| (name, 1));
    for full in names {
        for name in names {
            s.set_limit(name, at_once(3));
        }
        let filler: Vec<ClaimedJob> = {
            s.put_all((0..3).map(|_| on(&s, "filler", &[(full, 1)])).collect());
            s.claim("filler", 9)
        };
        assert_eq!(filler.len(), 3);
        let waits = s.put(on(&s, "q", &all));
        assert!(s.claim("q", 1).is_empty());
        for name in names {
            let want = if name == full { 3 } else { 0 };
            assert_eq!(s.limit_info(name).in_use, want, "{name} while {full} is full");
        }
        let why = s.why(waits);
        assert_eq!(why.reason, Reason::Limit);
        assert!(why.detail.contains(full), "{}", why.detail);
        // The three that it did not get are free for others.
        for name in names.into_iter().filter(|name| *name != full) {
            s.put(on(&s, "others", &[(name, 3)]));
        }
        let others = s.claim("others", 9);
        assert_eq!(others.len(), 3);
        s.complete(&filler[0]);
        assert!(s.claim("q", 1).is_empty(), "now the others are full");
        others.iter().chain(&filler[1..]).for_each(|job| s.complete(job));
        let held = s.take("q");
        assert_eq!(held.lease.job, waits);
        assert!(names.iter().all(|name| s.limit_info(name).in_use == 1));
        s.complete(&held);
        assert!(names.iter().all(|name| s.limit_info(name).in_use == 0));
    }
}

fn a_closed_rate_keeps_the_other_limits_of_the_job_untouched(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("speed", per(1, 1_000, 1));
    s.set_limit("other-speed", per(1, 60_000, 1));
    s.set_limit("slots", at_once(1));
    s.put(on(&s, "first", &[("speed", 1)]));
    s.take("first");
    s.put(on(&s, "q", &[("slots", 1), ("other-speed", 1), ("speed", 1)]));
    assert!(s.claim("q", 1).is_empty());
    assert_eq!(s.limit_info("slots").in_use, 0);
    s.put(on(&s, "probe", &[("other-speed", 1)]));
    let probe = s.claim("probe", 1);
    assert_eq!(probe.len(), 1, "no grant of the other rate was spent");
}

fn a_cost_takes_as_much_of_a_limit_as_it_says(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("memory", at_once(10));
    s.put_all([4, 4, 4, 2].map(|cost| on(&s, "q", &[("memory", cost)])).to_vec());
    let held = s.claim("q", 10);
    let used: u64 = s.limit_info("memory").in_use;
    assert!(held.len() >= 2 && used <= 10, "{} jobs use {used}", held.len());
    s.complete(&held[0]);
    let more = s.claim("q", 10);
    assert!(!more.is_empty());
    assert!(s.limit_info("memory").in_use <= 10);
}

fn a_costly_job_is_not_starved_by_cheap_ones(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("memory", at_once(10));
    s.put_all((0..10).map(|_| on(&s, "q", &[("memory", 1)])).collect());
    let mut running = s.claim("q", 10);
    let big = s.put(on(&s, "q", &[("memory", 10)]));
    let mut rounds = 0;
    while s.state(big) == Ready {
        rounds += 1;
        assert!(rounds < 200, "cheap jobs pass the costly one for ever");
        s.put(on(&s, "q", &[("memory", 1)]));
        if !running.is_empty() {
            let done = running.remove(0);
            s.complete(&done);
        }
        running.extend(s.claim("q", 10));
        assert!(s.limit_info("memory").in_use <= 10);
    }
}

fn a_slot_is_freed_by_every_end_of_an_attempt(host: &dyn Host) {
    let ends: [(&str, fn(&Subject, &ClaimedJob)); 9] = [
        ("complete", |s, job| s.complete(job)),
        ("fail", |s, job| s.fail(job)),
        ("fatal", |s, job| s.kill(job)),
        ("snooze", |s, job| s.snooze(job, 600_000)),
        ("release", |s, job| s.release(job)),
        ("no handler", |s, job| s.end(release(&job.lease, ReleaseReason::NoHandler)).unwrap()),
        ("loss", |s, _| s.advance(30_001)),
        ("cancel, then fail", |s, job| {
            s.cancel(job.lease.job).unwrap();
            s.fail(job);
        }),
        ("cancel, then silence", |s, job| {
            s.cancel(job.lease.job).unwrap();
            s.advance(bounds::CANCEL_GRACE_MS + 1);
        }),
    ];
    for (end, act) in ends {
        let s = Subject::new(host);
        s.set_queue("q", QueueSettings { groups: group_limits(at_once(1)), ..limited(at_once(1)) });
        s.set_limit("slot", at_once(1));
        s.set_limit("double", at_once(2));
        let jobs =
            (0..2).map(|_| NewJob { group: Some(group("g")), ..on(&s, "q", &[("slot", 1), ("double", 2)]) });
        let ids = s.put_all(jobs.collect());
        let held = s.take("q");
        assert!(s.claim("q", 1).is_empty());
        act(&s, &held);
        assert_eq!((s.limit_info("slot").in_use, s.limit_info("double").in_use), (0, 0), "{end}");
        assert_eq!(s.claim_ids("q", 2), [ids[1]], "{end}");
        assert_eq!((s.limit_info("slot").in_use, s.limit_info("double").in_use), (1, 2), "{end}");
    }
}

fn a_job_that_leaves_a_limits_line_leaves_the_line_to_the_next(host: &dyn Host) {
    let leaves: [(&str, fn(&Subject, JobId)); 5] = [
        ("cancel", |s, id| s.call_off(id)),
        ("delete", |s, id| s.delete(id).unwrap()),
        ("expiry", |s, _| s.advance(5_001)),
        ("edit to later", |s, id| {
            let run_at = Some(s.now().plus_ms(9_000_000));
            s.edit(windlass_core::store::Edit { id, payload: None, priority: None, run_at }).unwrap();
        }),
        ("new priority", |s, id| {
            s.edit(windlass_core::store::Edit { id, payload: None, priority: Some(-3), run_at: None })
                .unwrap();
        }),
    ];
    for (leave, act) in leaves {
        let s = Subject::new(host);
        s.set_limit("slot", at_once(1));
        let first = s.put(on(&s, "q", &[("slot", 1)]));
        let expires_at = Some(s.now().plus_ms(5_000));
        let second = s.put(NewJob { expires_at, ..on(&s, "q", &[("slot", 1)]) });
        let third = s.put(on(&s, "q", &[("slot", 1)]));
        let held = s.take("q");
        assert_eq!(held.lease.job, first);
        assert!(s.claim("q", 9).is_empty());
        act(&s, second);
        s.complete(&held);
        assert_eq!(s.claim_ids("q", 9), [third], "{leave}");
    }
}

fn lowering_a_limit_revokes_nothing_and_holds_from_then_on(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slots", at_once(5));
    s.set_queue("q", limited(at_once(5)));
    s.put_all((0..10).map(|_| on(&s, "q", &[("slots", 1)])).collect());
    let held = s.claim("q", 10);
    assert_eq!(held.len(), 5);
    s.set_limit("slots", at_once(2));
    s.set_queue("q", limited(at_once(3)));
    assert!(held.iter().all(|job| s.beat(&job.lease).is_ok()));
    for (done, running) in held.iter().zip([4, 3, 2, 1]) {
        s.complete(done);
        let more = s.claim("q", 10).len();
        assert_eq!(more, usize::from(running < 2), "with {running} running");
    }
}

fn raising_a_limit_lets_go_at_once_and_rings_who_waits(host: &dyn Host) {
    type Raise = fn(&Subject, Option<u32>);
    let raises: [(&str, Raise); 3] = [
        ("queue", |s, n| s.set_queue("q", limited(LimitSettings { concurrency: n, rate: None }))),
        ("group", |s, n| s.set_group("q", "g", group_limits(LimitSettings { concurrency: n, rate: None }))),
        ("limit", |s, n| s.set_limit("slots", LimitSettings { concurrency: n, rate: None })),
    ];
    for (what, set) in raises {
        let s = Subject::new(host);
        set(&s, Some(1));
        s.put_all(
            (0..9).map(|_| NewJob { group: Some(group("g")), ..on(&s, "q", &[("slots", 1)]) }).collect(),
        );
        assert_eq!(s.claim("q", 9).len(), 1, "{what}");
        let mut waiting = s.watch(WorkerId(5), "q", 1);
        assert!(!waiting.has_answered(), "{what}");
        set(&s, Some(3));
        assert_eq!(waiting.answer(), Signal::Work, "{what}");
        assert_eq!(s.claim("q", 9).len(), 2, "{what}");
        let waiting = s.watch(WorkerId(5), "q", 1);
        set(&s, None);
        assert_eq!(waiting.answer(), Signal::Work, "{what}");
        assert_eq!(s.claim("q", 9).len(), 6, "{what}");
    }
}

fn a_limit_that_is_removed_admits_everything(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slots", at_once(1));
    s.put_all((0..4).map(|_| on(&s, "q", &[("slots", 1)])).collect());
    assert_eq!(s.claim("q", 9).len(), 1);
    s.wait(s.store().set_limit(limit("slots"), None, s.at())).unwrap();
    assert_eq!(s.claim("q", 9).len(), 3);
    s.set_limit("slots", at_once(5));
    s.put_all((0..4).map(|_| on(&s, "q", &[("slots", 1)])).collect());
    assert_eq!(s.claim("q", 9).len(), 1, "what runs already counts when it is set again");
}

fn a_limit_set_while_its_jobs_run_counts_them(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_all((0..4).map(|_| on(&s, "q", &[("slots", 1)])).collect());
    let held = s.claim("q", 2);
    s.set_limit("slots", at_once(2));
    assert!(s.claim("q", 9).is_empty());
    s.complete(&held[0]);
    assert_eq!(s.claim("q", 9).len(), 1);
}

fn a_job_that_a_limit_holds_back_stops_no_other_of_its_group_queue_or_limit(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("closed", at_once(1));
    s.put(on(&s, "elsewhere", &[("closed", 1)]));
    s.take("elsewhere");
    s.put_all((0..50).map(|_| NewJob { priority: 9, ..on(&s, "q", &[("closed", 1)]) }).collect());
    let free = s.put_many("q", 3);
    let held_group = s.put_all(
        (0..50).map(|_| NewJob { group: Some(group("g")), ..on(&s, "q", &[("closed", 1)]) }).collect(),
    );
    let free_of_group = s.put(s.job_of("q", "g"));
    let mut got = s.claim_ids("q", 100);
    got.sort();
    let mut want = free;
    want.push(free_of_group);
    assert_eq!(got, want);
    assert_eq!(s.reason(held_group[0]), Reason::Limit);
    assert_eq!(s.counts("q").of(Ready), 100, "a job that is held back is still ready");
}

fn a_thousand_lanes_that_wait_for_a_limit_stop_no_other_lane(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("closed", at_once(0));
    let jobs =
        (0..1_000).map(|i| NewJob { group: Some(group(&format!("g{i}"))), ..on(&s, "q", &[("closed", 1)]) });
    s.put_all(jobs.collect());
    assert!(s.claim("q", 100).is_empty());
    let free = s.put(s.job_of("q", "free"));
    assert_eq!(s.claim_ids("q", 100), [free]);
    assert_eq!(s.limit_info("closed").in_use, 0);
}

fn a_higher_priority_goes_first_through_a_limit_too(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slot", at_once(1));
    s.put(on(&s, "q", &[("slot", 1)]));
    let held = s.take("q");
    let low = s.put(NewJob { priority: -1, ..on(&s, "q", &[("slot", 1)]) });
    assert!(s.claim("q", 9).is_empty());
    let high = s.put(NewJob { priority: 5, ..on(&s, "q", &[("slot", 1)]) });
    assert!(s.claim("q", 9).is_empty());
    s.complete(&held);
    assert_eq!(s.claim_ids("q", 9), [high]);
    s.cancel(high).unwrap();
    s.advance(bounds::CANCEL_GRACE_MS + 1);
    assert_eq!(s.claim_ids("q", 9), [low]);
}

fn many_lanes_that_wait_for_one_limit_all_get_their_turn_fairly(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slot", at_once(1));
    const GROUPS: usize = 12;
    const EACH: usize = 6;
    for g in 0..GROUPS {
        let jobs = (0..EACH)
            .map(|_| NewJob { group: Some(group(&format!("g{g:02}"))), ..on(&s, "q", &[("slot", 1)]) });
        s.put_all(jobs.collect());
    }
    let mut claimed = BTreeMap::new();
    for n in 0..GROUPS * EACH {
        let held = s.claim("q", 5);
        assert_eq!(held.len(), 1, "claim {n}: one slot, and everybody waits for it");
        *claimed.entry(held[0].group.clone()).or_insert(0usize) += 1;
        s.complete(&held[0]);
        let least = if claimed.len() < GROUPS { 0 } else { *claimed.values().min().expect("some") };
        let most = *claimed.values().max().expect("some");
        assert!(most - least <= 2, "after {n} claims: {claimed:?}");
    }
    assert!(claimed.values().all(|n| *n == EACH), "{claimed:?}");
}

fn lanes_of_many_queues_that_wait_for_one_limit_all_get_their_turn(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slot", at_once(1));
    let names = ["a", "b", "c", "d"];
    for name in names {
        s.put_all((0..10).map(|_| on(&s, name, &[("slot", 1)])).collect());
    }
    let mut claimed: HashMap<String, usize> = HashMap::new();
    for _ in 0..40 {
        // Every queue has its own worker, who asks whenever the slot may be free.
        let held = names.iter().find_map(|name| s.claim(name, 1).pop()).expect("somebody gets the slot");
        *claimed.entry(held.queue.to_string()).or_default() += 1;
        s.complete(&held);
    }
    assert!(names.iter().all(|name| claimed[*name] == 10), "{claimed:?}");
}

fn within_one_lane_a_limit_lets_back_in_the_order_of_becoming_ready(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slot", at_once(1));
    let ids = s.put_all((0..6).map(|_| on(&s, "q", &[("slot", 1)])).collect());
    assert_eq!(s.drain("q"), ids);
}

fn jobs_let_back_by_one_limit_and_held_by_another_all_run_in_the_end(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("a", at_once(1));
    s.set_limit("b", at_once(1));
    s.set_queue("q", QueueSettings { groups: group_limits(at_once(1)), ..QueueSettings::default() });
    let mut dice = Dice::new("two limits");
    let mut ids = Vec::new();
    for _ in 0..60 {
        let limits: &[(&str, u32)] = match dice.below(4) {
            0 => &[("a", 1)],
            1 => &[("b", 1)],
            2 => &[("a", 1), ("b", 1)],
            _ => &[],
        };
        let key = format!("g{}", dice.below(5));
        ids.push(s.put(NewJob {
            group: Some(group(&key)),
            priority: dice.below(3) as i8,
            ..on(&s, "q", limits)
        }));
    }
    let mut running: Vec<ClaimedJob> = Vec::new();
    let mut ran = Vec::new();
    for _ in 0..2_000 {
        running.extend(s.claim("q", 1 + dice.below(4) as u32));
        if running.is_empty() {
            break;
        }
        let done = running.swap_remove(dice.below(running.len() as u64) as usize);
        s.complete(&done);
        ran.push(done.lease.job);
    }
    ran.sort();
    assert_eq!(ran, ids, "one held-back job never stops another");
}

/// Claims with random pauses for a while; the grants with their times.
fn grants(s: &Subject, dice: &mut Dice, rounds: usize, pause_ms: u64) -> Vec<(Time, u64)> {
    let mut grants = Vec::new();
    for _ in 0..rounds {
        let held = s.claim("q", 1 + dice.below(20) as u32);
        let cost: u64 =
            held.iter().map(|job| u64::from(s.get(job.lease.job).limits.first().map_or(1, |l| l.cost))).sum();
        grants.push((s.now(), cost));
        held.iter().for_each(|job| s.complete(job));
        s.advance(dice.below(pause_ms));
    }
    grants
}

/// I8: grants in any window are at most burst + rate x t.
fn check_windows(rate: Rate, grants: &[(Time, u64)]) {
    for (i, (from, _)) in grants.iter().enumerate() {
        let mut sum = 0;
        for (until, cost) in &grants[i..] {
            sum += cost;
            // Exactly: (sum - burst) x period <= count x t.
            let over = sum.saturating_sub(u64::from(rate.burst)) * rate.period_ms;
            let earned = u64::from(rate.count) * until.since(*from);
            assert!(over <= earned, "{sum} grants in {} ms break {rate:?}", until.since(*from));
        }
    }
}

fn grants_in_any_window_are_at_most_burst_and_rate(host: &dyn Host) {
    let mut dice = Dice::new("rates");
    for (count, period_ms, burst) in [(10, 1_000, 5), (3, 1_000, 1), (7, 10_000, 20), (1_000, 1_000, 3)] {
        let rate = Rate { count, period_ms, burst };
        let limits = LimitSettings { concurrency: None, rate: Some(rate) };
        for place in ["queue", "group", "limit"] {
            let s = Subject::new(host);
            match place {
                "queue" => s.set_queue("q", limited(limits)),
                "group" => s.set_group("q", "g", group_limits(limits)),
                _ => s.set_limit("speed", limits),
            }
            let job = || NewJob { group: Some(group("g")), ..s.job("q") };
            let job =
                || if place == "limit" { NewJob { limits: uses(&[("speed", 1)]), ..job() } } else { job() };
            s.put_all((0..600).map(|_| job()).collect());
            let seen = grants(&s, &mut dice, 60, 2 * period_ms / u64::from(count) + 2);
            check_windows(rate, &seen);
            let total: u64 = seen.iter().map(|(_, n)| n).sum();
            assert!(total >= u64::from(burst).min(20), "{place}: the burst is given, {total}");
        }
    }
}

fn a_rate_counts_costs(host: &dyn Host) {
    let s = Subject::new(host);
    let mut dice = Dice::new("costs");
    let rate = Rate { count: 20, period_ms: 1_000, burst: 8 };
    s.set_limit("speed", LimitSettings { concurrency: None, rate: Some(rate) });
    s.put_all((0..300).map(|i| on(&s, "q", &[("speed", 1 + i % 8)])).collect());
    let seen = grants(&s, &mut dice, 80, 300);
    check_windows(rate, &seen);
}

fn a_rate_that_is_always_asked_for_gives_exactly_its_rate(host: &dyn Host) {
    let s = Subject::new(host);
    // The second of the burst keeps what is earned between two questions.
    s.set_queue("q", limited(per(3, 1_000, 2)));
    s.put_many("q", 200);
    let mut claimed = s.claim("q", 100).len();
    for _ in 0..1_000 {
        s.advance(10);
        claimed += s.claim("q", 100).len();
    }
    assert_eq!(claimed, 32, "one burst and three a second for ten seconds");
}

fn a_refilled_rate_rings_who_waits_and_lets_back_only_what_it_admits(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("speed", per(2, 1_000, 2));
    s.put_all(
        (0..20)
            .map(|i| NewJob { group: Some(group(&format!("g{i}"))), ..on(&s, "q", &[("speed", 1)]) })
            .collect(),
    );
    assert_eq!(s.claim("q", 9).len(), 2);
    for _ in 0..4 {
        let mut waiting = s.watch(WorkerId(4), "q", 1);
        assert!(!waiting.has_answered());
        s.advance(499);
        assert!(!waiting.has_answered());
        s.advance(1);
        assert_eq!(waiting.answer(), Signal::Work);
        assert_eq!(s.claim("q", 9).len(), 1);
    }
}

fn a_closed_rate_says_when_it_opens(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("speed", per(1, 10_000, 1));
    let ids = s.put_all((0..2).map(|_| on(&s, "q", &[("speed", 1)])).collect());
    s.take("q");
    assert!(s.claim("q", 1).is_empty());
    let opens = s.now().plus_ms(10_000);
    assert_eq!((s.reason(ids[1]), s.why(ids[1]).eta), (Reason::RateLimited, Some(opens)));
    assert_eq!(s.ask(WORKER, vec![], &[("q", 1)]).try_again_at, Some(opens));
    assert_eq!(s.limit_info("speed").closed_until, Some(opens));
}

fn a_rate_made_faster_lets_go_at_once(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("speed", per(1, 3_600_000, 1));
    s.put_all((0..5).map(|_| on(&s, "q", &[("speed", 1)])).collect());
    assert_eq!(s.claim("q", 9).len(), 1);
    let mut waiting = s.watch(WorkerId(4), "q", 1);
    assert!(!waiting.has_answered());
    s.set_limit("speed", per(1_000, 1, 4));
    s.advance(4);
    assert_eq!(waiting.answer(), Signal::Work);
    assert_eq!(s.claim("q", 9).len(), 4);
}

fn a_limit_lowered_below_a_waiting_jobs_cost_stops_only_that_job(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slots", at_once(5));
    let big = s.put(on(&s, "q", &[("slots", 5)]));
    s.set_limit("slots", at_once(2));
    let small = s.put(on(&s, "q", &[("slots", 1)]));
    let free = s.put(s.job("q"));
    let mut got = s.claim_ids("q", 9);
    got.sort();
    assert!(got.contains(&free), "{got:?}");
    assert!(!got.contains(&big));
    s.cancel(big).unwrap();
    got.extend(s.claim_ids("q", 9));
    assert!(got.contains(&small), "with the impossible job gone, the line goes on");
}

fn a_waiting_job_whose_cost_became_impossible_does_not_stop_the_line_behind_it(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slots", at_once(5));
    s.put(on(&s, "q", &[("slots", 5)]));
    let held = s.take("q");
    let big = s.put(NewJob { group: Some(group("a")), ..on(&s, "q", &[("slots", 5)]) });
    let small = s.put(NewJob { group: Some(group("b")), ..on(&s, "q", &[("slots", 1)]) });
    assert!(s.claim("q", 9).is_empty(), "both stand in the line");
    s.set_limit("slots", at_once(2));
    s.complete(&held);
    assert_eq!(s.claim_ids("q", 9), [small]);
    s.set_limit("slots", at_once(6));
    assert_eq!(s.claim_ids("q", 9), [big], "and goes when it may");
}

fn a_waiting_job_whose_cost_became_impossible_stops_no_other_queue(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slots", at_once(5));
    s.put(on(&s, "q", &[("slots", 5)]));
    let held = s.take("q");
    s.put(on(&s, "q", &[("slots", 5)]));
    let other = s.put(on(&s, "other", &[("slots", 1)]));
    assert!(s.claim("q", 9).is_empty() && s.claim("other", 9).is_empty());
    s.set_limit("slots", at_once(1));
    s.complete(&held);
    assert_eq!(s.claim_ids("other", 9), [other]);
}

fn a_job_that_leaves_the_head_of_a_line_lets_the_next_one_try(host: &dyn Host) {
    let leaves: [(&str, fn(&Subject, JobId)); 3] = [
        ("cancel", |s, id| s.call_off(id)),
        ("delete", |s, id| s.delete(id).unwrap()),
        ("expiry", |s, _| s.advance(1_001)),
    ];
    for (leave, act) in leaves {
        let s = Subject::new(host);
        s.set_limit("slots", at_once(5));
        s.put_all(vec![on(&s, "q", &[("slots", 3)]), on(&s, "q", &[("slots", 2)])]);
        let held = s.claim("q", 9);
        assert_eq!(held.len(), 2);
        let expires_at = Some(s.now().plus_ms(1_000));
        let big = s.put(NewJob { expires_at, group: Some(group("a")), ..on(&s, "q", &[("slots", 5)]) });
        let next = s.put(NewJob { group: Some(group("b")), ..on(&s, "q", &[("slots", 3)]) });
        assert!(s.claim("q", 9).is_empty());
        s.complete(&held[0]);
        s.claim("q", 9).iter().for_each(|job| s.release(job));
        act(&s, big);
        assert_eq!(s.claim_ids("q", 9), [next], "{leave}");
    }
}

fn within_a_group_the_first_to_wait_for_a_limit_is_the_first_to_get_it_whatever_else_it_takes(
    host: &dyn Host,
) {
    let s = Subject::new(host);
    s.set_limit("slot", at_once(1));
    s.put(on(&s, "q", &[("slot", 1)]));
    let held = s.take("q");
    let sets: [&[(&str, u32)]; 4] = [
        &[("slot", 1), ("b", 1)],
        &[("slot", 1)],
        &[("slot", 1), ("a", 1)],
        &[("slot", 1), ("a", 1), ("b", 1)],
    ];
    // The lanes of these sets are older than the jobs, and in another order.
    for set in sets.iter().rev() {
        s.put(NewJob { delay_ms: Some(9_000_000), ..on(&s, "q", set) });
    }
    let ids: Vec<JobId> = sets.iter().map(|set| s.put(on(&s, "q", set))).collect();
    assert!(s.claim("q", 9).is_empty());
    s.complete(&held);
    assert_eq!(s.drain("q"), ids);
}

fn wrong_settings_of_a_limit_are_refused(host: &dyn Host) {
    let s = Subject::new(host);
    let answer = s.wait(s.store().set_limit(limit("l"), Some(per(0, 1, 1)), s.at()));
    assert!(matches!(answer, Err(Rejection::Invalid { what: "rate", .. })), "{answer:?}");
    let answer = s.wait(s.store().set_group(queue("q"), None, Some(weight(0)), s.at()));
    assert!(matches!(answer, Err(Rejection::Invalid { what: "weight", .. })), "{answer:?}");
    let settings = QueueSettings { lease_ms: 10, ..QueueSettings::default() };
    assert!(s.wait(s.store().set_queue(queue("q"), settings, s.at())).is_err());
}

fn one_wake_is_given_per_free_slot(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", limited(at_once(1)));
    s.put_many("q", 5);
    let held = s.take("q");
    let mut first = s.watch(WorkerId(1), "q", 1);
    let mut second = s.watch(WorkerId(2), "q", 1);
    assert!(!first.has_answered() && !second.has_answered());
    s.complete(&held);
    let rung = usize::from(first.has_answered()) + usize::from(second.has_answered());
    assert_eq!(rung, 1);
}

fn a_dead_job_holds_no_slot(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_limit("slot", at_once(1));
    let ids = s.put_all((0..2).map(|_| on(&s, "q", &[("slot", 1)])).collect());
    for _ in 0..3 {
        let held = s.ask(WORKER, vec![], &[("q", 1)]).jobs;
        assert_eq!(held.len(), 1);
        s.advance(30_001);
        if s.state(ids[0]) != Dead {
            s.run_now(held[0].lease.job).unwrap();
            s.run_now(ids[1]).ok();
        }
    }
    assert_eq!(s.limit_info("slot").in_use, 0);
}
