//! Section 6: one reason for every live job.

use crate::host::Host;
use crate::subject::*;
use windlass_core::limit::LimitSettings;
use windlass_core::queue::{GroupSettings, QueueSettings};
use windlass_core::store::{Hello, Hold, ReleaseReason, Settle};
use windlass_core::why::Reason;
use windlass_core::{JobId, NewJob};

cases![
    a_job_that_waits_for_its_time_says_until_when,
    a_job_that_failed_says_so_and_when_it_tries_again,
    a_snoozed_job_carries_its_workers_own_words,
    a_paused_queue_comes_before_every_other_reason_of_a_ready_job,
    a_full_queue_and_a_full_group_are_told_apart,
    a_full_limit_is_named,
    what_is_closed_says_so_and_how_to_open_it,
    a_used_up_rate_says_when_it_opens_wherever_it_is,
    a_hold_by_a_provider_is_a_rate_limit_with_its_end,
    a_job_that_waits_its_turn_says_how_many_of_its_group_are_before_it,
    a_job_behind_the_head_of_an_ordered_group_names_it,
    a_blocked_job_names_the_parents_it_waits_for,
    a_job_for_which_no_worker_asks_says_so,
    a_job_that_no_handler_knows_says_so_until_one_takes_it,
    a_running_and_an_ended_job_say_so_too,
];

/// A worker that asks for the queue.
fn staffed(s: &Subject, name: &str) {
    let queues = vec![(queue(name), 5)];
    let hello = Hello { worker: WORKER, host: "here".into(), version: "1".into(), queues };
    s.wait(s.store().hello(hello, s.at()));
}

fn a_job_that_waits_for_its_time_says_until_when(host: &dyn Host) {
    let s = Subject::new(host);
    let due = s.now().plus_ms(5_000);
    let id = s.put(NewJob { run_at: Some(due), ..s.job("q") });
    assert_eq!((s.reason(id), s.why(id).eta), (Reason::Scheduled, Some(due)));
}

fn a_job_that_failed_says_so_and_when_it_tries_again(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { retry: fixed(900, 5), ..QueueSettings::default() });
    let id = s.put(s.job("q"));
    s.fail(&s.take("q"));
    let why = s.why(id);
    assert_eq!((why.reason, why.eta), (Reason::RetryBackoff, Some(s.now().plus_ms(900))));
    assert!(why.detail.contains("boom"), "{}", why.detail);
}

fn a_snoozed_job_carries_its_workers_own_words(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    let reason = "the office opens at 9".to_owned();
    s.end(Settle::Snooze { lease: held.lease, delay_ms: 10, reason: reason.clone(), holds: None }).unwrap();
    let why = s.why(id);
    assert_eq!((why.reason, why.eta), (Reason::Snoozed, Some(s.now().plus_ms(10))));
    assert!(why.detail.contains(&reason));
    s.advance(10);
    assert_ne!(s.reason(id), Reason::Snoozed, "it is over");
}

fn a_paused_queue_comes_before_every_other_reason_of_a_ready_job(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", QueueSettings { paused: true, ..limited(at_once(0)) });
    let id = s.put(s.job("q"));
    assert_eq!(s.reason(id), Reason::QueuePaused);
}

fn a_full_queue_and_a_full_group_are_told_apart(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", limited(at_once(1)));
    s.put_many("q", 2);
    let id = s.put(s.job("q"));
    s.take("q");
    assert_eq!(s.reason(id), Reason::QueueConcurrency);
    s.set_queue("q", grouped(GroupSettings { limits: at_once(1), ..GroupSettings::default() }));
    assert_eq!(s.reason(id), Reason::GroupConcurrency);
}

fn a_full_limit_is_named(host: &dyn Host) {
    let s = Subject::new(host);
    staffed(&s, "q");
    s.set_limit("smtp", at_once(10));
    let job = |cost| NewJob { limits: uses(&[("smtp", cost)]), ..s.job("q") };
    s.put(job(8));
    s.take("q");
    let id = s.put(job(4));
    for _ in 0..2 {
        let why = s.why(id);
        assert_eq!(why.reason, Reason::Limit, "8 of 10 are in use, and it needs 4: {}", why.detail);
        assert!(why.detail.contains("smtp"), "{}", why.detail);
        assert!(s.claim("q", 1).is_empty());
    }
}

fn what_is_closed_says_so_and_how_to_open_it(host: &dyn Host) {
    let s = Subject::new(host);
    staffed(&s, "q");
    s.set_limit("smtp", at_once(0));
    let id = s.put(NewJob { limits: uses(&[("smtp", 1)]), ..s.job_of("q", "g") });
    let says = |reason, word: &str| {
        let why = s.why(id);
        assert_eq!(why.reason, reason, "{}", why.detail);
        assert!(why.detail.contains("closed") && why.detail.contains(word), "{}", why.detail);
        assert!(s.claim("q", 1).is_empty());
    };
    (0..2).for_each(|_| says(Reason::Limit, "limits set smtp"));
    s.set_group("q", "g", GroupSettings { limits: at_once(0), ..GroupSettings::default() });
    says(Reason::GroupConcurrency, "groups set q");
    s.set_queue("q", limited(at_once(0)));
    says(Reason::QueueConcurrency, "queues set q");
}

fn a_used_up_rate_says_when_it_opens_wherever_it_is(host: &dyn Host) {
    type Put = fn(&Subject, LimitSettings);
    let places: [(&str, Put); 3] = [
        ("queue", |s, limits| s.set_queue("q", limited(limits))),
        ("group", |s, limits| s.set_group("q", "g", GroupSettings { limits, ..GroupSettings::default() })),
        ("limit", |s, limits| s.set_limit("speed", limits)),
    ];
    for (place, set) in places {
        let s = Subject::new(host);
        set(&s, per(1, 8_000, 1));
        let jobs = (0..2).map(|_| NewJob { limits: uses(&[("speed", 1)]), ..s.job_of("q", "g") });
        let ids = s.put_all(jobs.collect());
        s.take("q");
        for _ in 0..2 {
            let why = s.why(ids[1]);
            assert_eq!((why.reason, why.eta), (Reason::RateLimited, Some(s.now().plus_ms(8_000))), "{place}");
            assert!(s.claim("q", 1).is_empty());
        }
    }
}

fn a_hold_by_a_provider_is_a_rate_limit_with_its_end(host: &dyn Host) {
    let holds = [Hold::Queue, Hold::Group, Hold::Limit(limit("l"))];
    for hold in holds {
        let s = Subject::new(host);
        let jobs = (0..2).map(|_| NewJob { limits: uses(&[("l", 1)]), ..s.job_of("q", "g") });
        let ids = s.put_all(jobs.collect());
        let held = s.take("q");
        let holds = Some(hold.clone());
        s.end(Settle::Snooze { lease: held.lease, delay_ms: 3_000, reason: "429".into(), holds }).unwrap();
        let why = s.why(ids[1]);
        assert_eq!((why.reason, why.eta), (Reason::RateLimited, Some(s.now().plus_ms(3_000))), "{hold:?}");
    }
}

fn a_job_that_waits_its_turn_says_how_many_of_its_group_are_before_it(host: &dyn Host) {
    let s = Subject::new(host);
    staffed(&s, "q");
    let ids = s.put_all((0..5).map(|_| s.job_of("q", "g")).collect());
    s.put_all((0..50).map(|_| s.job_of("q", "other")).collect());
    let ahead: Vec<Option<u64>> = ids.iter().map(|id| s.why(*id).ahead).collect();
    assert!(ids.iter().all(|id| s.reason(*id) == Reason::FairShare));
    for (place, ahead) in ahead.iter().enumerate() {
        let ahead = ahead.expect("its place is known");
        assert!((place as u64..=5).contains(&ahead), "an upper bound within its group: {ahead} for {place}");
    }
}

fn a_job_behind_the_head_of_an_ordered_group_names_it(host: &dyn Host) {
    let s = Subject::new(host);
    s.set_queue("q", grouped(GroupSettings { ordered: true, ..GroupSettings::default() }));
    let ids = s.put_all((0..3).map(|_| s.job_of("q", "g")).collect());
    let why = s.why(ids[2]);
    assert_eq!(why.reason, Reason::OrderedBehind);
    assert!(why.detail.contains(&ids[0].to_string()), "{}", why.detail);
    s.take("q");
    assert_eq!(s.reason(ids[1]), Reason::OrderedBehind);
}

fn a_blocked_job_names_the_parents_it_waits_for(host: &dyn Host) {
    let s = Subject::new(host);
    let parents = s.put_many("parents", 2);
    let id = s.put(NewJob { parents: after(&parents), ..s.job("q") });
    s.complete(&s.take("parents"));
    let why = s.why(id);
    assert_eq!(why.reason, Reason::WaitingOnParents);
    assert!(why.detail.contains(&parents[1].to_string()) && !why.detail.contains(&parents[0].to_string()));
}

fn a_job_for_which_no_worker_asks_says_so(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    assert_eq!(s.reason(id), Reason::NoWorker);
    staffed(&s, "elsewhere");
    assert_eq!(s.reason(id), Reason::NoWorker);
    staffed(&s, "q");
    assert_eq!(s.reason(id), Reason::FairShare);
    s.wait(s.store().bye(WORKER, s.at()));
    assert_eq!(s.reason(id), Reason::NoWorker);
    // Whoever holds a job is there, whether or not it has said so.
    let held = s.take("q");
    let next = s.put(s.job("q"));
    assert_eq!(s.reason(next), Reason::FairShare);
    s.complete(&held);
    assert_eq!(s.reason(next), Reason::NoWorker);
}

fn a_job_that_no_handler_knows_says_so_until_one_takes_it(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(NewJob { kind: kind("exotic"), ..s.job("q") });
    let held = s.take("q");
    s.end(release(&held.lease, ReleaseReason::NoHandler)).unwrap();
    let why = s.why(id);
    assert_eq!((why.reason, why.eta), (Reason::NoHandler, Some(s.now().plus_ms(1_000))));
    assert!(why.detail.contains("exotic"), "{}", why.detail);
    s.advance(1_000);
    s.fail(&s.take("q"));
    assert_eq!(s.reason(id), Reason::RetryBackoff);
}

fn a_running_and_an_ended_job_say_so_too(host: &dyn Host) {
    let s = Subject::new(host);
    let id: JobId = s.put(s.job("q"));
    let held = s.take("q");
    assert_eq!(s.reason(id), Reason::Running);
    s.complete(&held);
    assert_eq!(s.reason(id), Reason::Ended);
}
