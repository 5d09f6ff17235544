//! Section 3, rules 1 to 3: priority, fair groups, first in first out.

use crate::Dice;
use crate::host::Host;
use crate::subject::*;
use std::collections::{BTreeMap, HashMap};
use windlass_core::job::State::Running;
use windlass_core::queue::QueueSettings;
use windlass_core::store::Edit;
use windlass_core::{JobId, NewJob};

cases![
    a_higher_priority_goes_first_strictly,
    a_job_of_higher_priority_that_comes_late_goes_before_the_backlog,
    within_a_group_the_first_to_become_ready_goes_first,
    scheduled_jobs_join_in_the_order_in_which_they_became_due,
    whatever_became_ready_later_stands_behind,
    an_edited_payload_costs_no_place,
    a_new_priority_moves_a_ready_job,
    equal_groups_take_turns,
    a_whale_does_not_make_small_groups_wait,
    groups_share_by_weight,
    a_changed_weight_is_in_force_at_once,
    the_queues_default_weight_is_in_force_for_groups_that_have_none,
    a_group_that_comes_late_starts_level,
    a_group_that_went_away_and_came_back_starts_level_too,
    leaving_for_a_moment_does_not_wipe_out_what_a_group_was_given,
    one_virtual_time_counts_over_all_priorities,
    a_large_claim_is_shared_like_single_ones,
    a_group_that_is_held_back_loses_nothing_and_costs_the_others_nothing,
    claims_by_weight_never_drift_apart_whatever_the_weights_and_arrivals,
    fairness_is_per_queue,
];

/// The groups of the next `n` jobs, claimed one at a time and completed.
fn turns(s: &Subject, n: usize) -> Vec<String> {
    let next = |_| {
        let held = s.take("q");
        s.complete(&held);
        held.group.map_or_else(|| "-".to_owned(), |key| key.to_string())
    };
    (0..n).map(next).collect()
}

fn count(turns: &[String], key: &str) -> usize {
    turns.iter().filter(|turn| *turn == key).count()
}

fn put_group(s: &Subject, key: &str, jobs: usize) -> Vec<JobId> {
    s.put_all((0..jobs).map(|_| s.job_of("q", key)).collect())
}

fn a_higher_priority_goes_first_strictly(host: &dyn Host) {
    let s = Subject::new(host);
    let mut dice = Dice::new("priorities");
    let mut jobs: Vec<(i8, JobId)> = Vec::new();
    for _ in 0..200 {
        let priority = dice.below(19) as i8 - 9;
        let key = format!("g{}", dice.below(4));
        jobs.push((priority, s.put(NewJob { priority, ..s.job_of("q", &key) })));
    }
    let got: Vec<i8> = s.claim("q", 200).iter().map(|job| job.priority).collect();
    let mut want: Vec<i8> = jobs.iter().map(|(priority, _)| *priority).collect();
    want.sort_by_key(|priority| -priority);
    assert_eq!(got, want);
}

fn a_job_of_higher_priority_that_comes_late_goes_before_the_backlog(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 50);
    s.claim("q", 3);
    let urgent = s.put(NewJob { priority: 1, ..s.job_of("q", "late") });
    assert_eq!(s.claim_ids("q", 1), [urgent]);
}

fn within_a_group_the_first_to_become_ready_goes_first(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = put_group(&s, "g", 300);
    assert_eq!(s.drain("q"), ids);
    let ids = s.put_many("q", 300);
    assert_eq!(s.drain("q"), ids);
}

fn scheduled_jobs_join_in_the_order_in_which_they_became_due(host: &dyn Host) {
    let s = Subject::new(host);
    let at = |ms| s.put(NewJob { delay_ms: Some(ms), ..s.job("q") });
    let (late, early, middle) = (at(30), at(10), at(20));
    let ready = s.put(s.job("q"));
    s.advance(15);
    let between = s.put(s.job("q"));
    s.advance(100);
    assert_eq!(s.drain("q"), [ready, early, between, middle, late]);
}

fn whatever_became_ready_later_stands_behind(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { retry: fixed(10, 9), ..QueueSettings::default() });
    let ids = s.put_many("q", 6);
    let held = s.claim("q", 4);
    s.fail(&held[0]);
    s.release(&held[1]);
    s.snooze(&held[2], 5);
    s.advance(5);
    s.advance(5);
    let scheduled = s.put(NewJob { delay_ms: Some(60_000), ..s.job("q") });
    let new = s.put(s.job("q"));
    s.run_now(scheduled).unwrap();
    s.complete(&held[3]);
    s.retry(ids[3]).unwrap();
    let want = [ids[4], ids[5], ids[1], ids[2], ids[0], new, scheduled, ids[3]];
    assert_eq!(s.drain("q"), want);
}

fn an_edited_payload_costs_no_place(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 3);
    s.edit(Edit { id: ids[0], payload: Some(b"new".to_vec()), priority: None, run_at: None }).unwrap();
    let held = s.claim("q", 3);
    assert_eq!(held.iter().map(|job| job.lease.job).collect::<Vec<_>>(), ids);
    assert_eq!(held[0].payload, b"new");
}

fn a_new_priority_moves_a_ready_job(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 4);
    let to =
        |id, priority| s.edit(Edit { id, payload: None, priority: Some(priority), run_at: None }).unwrap();
    to(ids[3], 2);
    to(ids[0], -2);
    assert_eq!(s.drain("q"), [ids[3], ids[1], ids[2], ids[0]]);
}

fn equal_groups_take_turns(host: &dyn Host) {
    let s = Subject::new(host);
    for key in ["a", "b", "c"] {
        put_group(&s, key, 30);
    }
    s.put_many("q", 30);
    let turns = turns(&s, 120);
    for some in turns.chunks(4) {
        for key in ["a", "b", "c", "-"] {
            assert_eq!(count(some, key), 1, "{some:?}: jobs without a group are one group");
        }
    }
}

fn a_whale_does_not_make_small_groups_wait(host: &dyn Host) {
    let s = Subject::new(host);
    put_group(&s, "whale", 5_000);
    s.claim("q", 100);
    for i in 0..20 {
        put_group(&s, &format!("small{i}"), 5);
    }
    let held = s.claim("q", 150);
    let small = held.iter().filter(|job| job.group != Some(group("whale"))).count();
    assert_eq!(small, 100, "all small ones went while the whale got its own share");
}

fn groups_share_by_weight(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_group("q", "a", weight(1));
    s.set_group("q", "b", weight(3));
    s.set_group("q", "c", weight(6));
    for key in ["a", "b", "c"] {
        put_group(&s, key, 200);
    }
    let turns = turns(&s, 200);
    for (key, share) in [("a", 20i64), ("b", 60), ("c", 120)] {
        let got = count(&turns, key) as i64;
        assert!((got - share).abs() <= 2, "{key} got {got} of {share}");
    }
}

fn a_changed_weight_is_in_force_at_once(host: &dyn Host) {
    let s = Subject::new(host);
    put_group(&s, "a", 400);
    put_group(&s, "b", 400);
    assert_eq!(count(&turns(&s, 100), "a"), 50);
    s.set_group("q", "a", weight(4));
    let got = count(&turns(&s, 100), "a");
    assert!((78..=82).contains(&got), "{got} of 100 at 4 to 1");
    s.wait(s.store().set_group(queue("q"), Some(group("a")), None, s.at())).unwrap();
    let got = count(&turns(&s, 100), "a");
    assert!((48..=52).contains(&got), "{got} of 100 with the queue's default again");
}

fn the_queues_default_weight_is_in_force_for_groups_that_have_none(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", grouped(weight(5)));
    s.set_group("q", "own", weight(1));
    put_group(&s, "own", 100);
    put_group(&s, "default", 100);
    let got = count(&turns(&s, 60), "default");
    assert!((48..=52).contains(&got), "{got} of 60 at 5 to 1");
}

fn a_group_that_comes_late_starts_level(host: &dyn Host) {
    let s = Subject::new(host);
    put_group(&s, "old", 500);
    turns(&s, 300);
    put_group(&s, "new", 100);
    let next = turns(&s, 40);
    assert!(count(&next[..3], "new") >= 1, "it does not wait for the others' backlog: {next:?}");
    let got = count(&next, "new") as i64;
    assert!((got - 20).abs() <= 1, "it is not paid for its absence: {got} of 40");
}

fn a_group_that_went_away_and_came_back_starts_level_too(host: &dyn Host) {
    let s = Subject::new(host);
    put_group(&s, "a", 1_000);
    put_group(&s, "b", 10);
    turns(&s, 20);
    turns(&s, 400);
    put_group(&s, "b", 100);
    let got = count(&turns(&s, 40), "b") as i64;
    assert!((got - 20).abs() <= 1, "{got} of 40");
}

fn leaving_for_a_moment_does_not_wipe_out_what_a_group_was_given(host: &dyn Host) {
    let s = Subject::new(host);
    put_group(&s, "a", 1_000);
    // b always has one job at a time: its next comes right after the last one was taken.
    let mut got = 0;
    for _ in 0..100 {
        if s.list(&windlass_core::store::Filter {
            group: Some(group("b")),
            states: vec![windlass_core::State::Ready],
            ..Default::default()
        })
        .is_empty()
        {
            put_group(&s, "b", 1);
        }
        got += count(&turns(&s, 1), "b");
    }
    assert!((48..=52).contains(&got), "b got {got} of 100");
}

fn one_virtual_time_counts_over_all_priorities(host: &dyn Host) {
    let s = Subject::new(host);
    let urgent = (0..10).map(|_| NewJob { priority: 5, ..s.job_of("q", "a") }).collect();
    s.put_all(urgent);
    put_group(&s, "a", 20);
    put_group(&s, "b", 20);
    assert_eq!(count(&turns(&s, 10), "a"), 10, "priority comes first");
    assert_eq!(count(&turns(&s, 9), "b"), 9, "then b is owed what a was given");
    let got = count(&turns(&s, 10), "b") as i64;
    assert!((got - 5).abs() <= 1, "and then they are level: {got}");
}

fn a_large_claim_is_shared_like_single_ones(host: &dyn Host) {
    let s = Subject::new(host);
    for (key, w) in [("a", 1), ("b", 2), ("c", 5)] {
        s.set_group("q", key, weight(w));
        put_group(&s, key, 400);
    }
    for _ in 0..5 {
        let held = s.claim("q", 80);
        let of = |key: &str| held.iter().filter(|job| job.group == Some(group(key))).count() as i64;
        for (key, share) in [("a", 10), ("b", 20), ("c", 50)] {
            assert!((of(key) - share).abs() <= 2, "{key} got {} of {share}", of(key));
        }
    }
}

fn a_group_that_is_held_back_loses_nothing_and_costs_the_others_nothing(host: &dyn Host) {
    let s = Subject::new(host);
    put_group(&s, "a", 100);
    put_group(&s, "b", 100);
    s.set_group("q", "b", windlass_core::queue::GroupSettings { limits: at_once(0), ..weight(1) });
    assert_eq!(count(&turns(&s, 40), "a"), 40);
    s.set_group("q", "b", weight(1));
    let next = turns(&s, 40);
    let got = count(&next, "b") as i64;
    // Held back is absent: it goes on level, or with what it was owed, but never behind.
    assert!(got >= 19, "b got {got} of 40");
}

/// Two groups that are ready throughout differ by at most one job each for their weights.
fn claims_by_weight_never_drift_apart_whatever_the_weights_and_arrivals(host: &dyn Host) {
    let mut dice = Dice::new("fairness");
    for _ in 0..6 {
        let s = Subject::new(host);
        let groups = 2 + dice.below(5) as usize;
        let weights: Vec<u16> = (0..groups).map(|_| *dice.pick(&[1, 1, 2, 3, 7, 50, 999, 1_000])).collect();
        let keys: Vec<String> = (0..groups).map(|g| format!("g{g}")).collect();
        for (key, w) in keys.iter().zip(&weights) {
            s.set_group("q", key, weight(*w));
        }
        let mut waiting = vec![0u64; groups];
        let mut claimed = vec![0u64; groups];
        // The differences of a pair while both are ready: the least, the most.
        let mut spans: HashMap<(usize, usize), (f64, f64)> = HashMap::new();
        let batch = 1 + dice.below(3) as u32;
        for _ in 0..250 {
            if dice.chance(30) {
                let g = dice.below(groups as u64) as usize;
                let jobs = 1 + dice.below(25) as usize;
                put_group(&s, &keys[g], jobs);
                waiting[g] += jobs as u64;
            }
            let held = s.claim("q", batch);
            for job in &held {
                let key = job.group.as_ref().expect("a group").as_str();
                let g = keys.iter().position(|k| k == key).expect("known");
                waiting[g] -= 1;
                claimed[g] += 1;
                s.complete(job);
            }
            for a in 0..groups {
                for b in a + 1..groups {
                    if waiting[a] == 0 || waiting[b] == 0 {
                        spans.remove(&(a, b));
                        continue;
                    }
                    let share = |g: usize| claimed[g] as f64 / f64::from(weights[g]);
                    let apart = share(a) - share(b);
                    let span = spans.entry((a, b)).or_insert((apart, apart));
                    *span = (span.0.min(apart), span.1.max(apart));
                    let bound =
                        f64::from(batch) * (1.0 / f64::from(weights[a]) + 1.0 / f64::from(weights[b]));
                    assert!(
                        span.1 - span.0 <= bound + 0.01,
                        "{a} and {b} of {weights:?}: {span:?} by {batch}"
                    );
                }
            }
        }
    }
}

fn fairness_is_per_queue(host: &dyn Host) {
    let s = Subject::new(host);
    put_group(&s, "a", 50);
    turns(&s, 50);
    s.put_all((0..10).map(|_| s.job_of("other", "a")).collect());
    s.put_all((0..10).map(|_| s.job_of("other", "b")).collect());
    let mut seen = BTreeMap::new();
    for job in s.claim("other", 10) {
        *seen.entry(job.group).or_insert(0) += 1;
    }
    assert!(seen.values().all(|n| *n == 5), "{seen:?}");
    assert_eq!(s.counts("other").of(Running), 10);
}
