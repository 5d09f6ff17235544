//! T5 to T8 and the state table as a whole: every verb that a caller has, on every state.

use crate::host::{Host, START};
use crate::subject::*;
use windlass_core::event::EventType;
use windlass_core::job::Progress;
use windlass_core::job::State::{Blocked, Cancelled, Completed, Dead, Ready, Retrying, Running, Scheduled};
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Edit, Hold, ReleaseReason, Report, Settle};
use windlass_core::why::Reason;
use windlass_core::{JobId, Lease, LeaseToken, NewJob, Rejection, State, bounds};

cases![
    every_verb_on_every_state_does_what_the_contract_says,
    a_verb_on_an_unknown_job_says_that_it_is_not_found,
    a_second_acknowledgement_with_the_same_outcome_is_ok_and_changes_nothing,
    a_second_acknowledgement_is_ok_though_the_job_was_retried_since,
    a_rescued_job_cannot_be_touched_by_its_old_holder,
    a_completion_keeps_its_result,
    a_snooze_spends_neither_a_failure_nor_a_loss_and_comes_back_in_time,
    a_snooze_of_no_delay_is_claimable_at_once,
    a_job_may_be_snoozed_a_thousand_times_and_not_once_more,
    a_release_puts_the_job_at_the_tail_and_spends_nothing,
    a_job_that_nobody_can_handle_comes_back_after_a_growing_delay_and_is_counted,
    a_rate_limited_snooze_holds_the_whole_queue_until_then,
    a_rate_limited_snooze_holds_the_whole_group_until_then_and_no_other,
    a_rate_limited_snooze_holds_every_job_of_the_limit_in_every_queue_until_then,
    a_second_hold_never_shortens_the_first,
    progress_log_and_checkpoint_are_kept_and_the_checkpoint_comes_back,
    a_report_changes_no_deadline,
    reports_are_answered_one_by_one,
];

/// A job in one of the states, alone in its store, with the lease that it was last held by.
fn job_in(s: &Subject, state: State, asked_to_stop: bool) -> (JobId, Lease) {
    s.set_queue("q", QueueSettings { retry: fixed(60_000, 10), ..QueueSettings::default() });
    let mut job = s.job("q");
    match state {
        Scheduled => job.delay_ms = Some(60_000),
        Blocked => job.parents = after(&[s.put(s.job("parents"))]),
        _ => {}
    }
    let id = s.put(job);
    let mut lease =
        Lease { job: id, attempt: 1, token: LeaseToken { counter: 1, nonce: 1 }, deadline: s.now() };
    if matches!(state, Running | Retrying | Completed | Dead) {
        let held = s.take("q");
        lease = held.lease;
        match state {
            Retrying => s.fail(&held),
            Completed => s.complete(&held),
            Dead => s.kill(&held),
            _ => {}
        }
    }
    if state == Cancelled || asked_to_stop {
        s.cancel(id).expect("a live job can be cancelled");
    }
    assert_eq!(s.state(id), state);
    (id, lease)
}

/// What a verb came to: `.` wrong state, `S` stale, `-` done without a move, else the state reached.
fn seen(s: &Subject, id: JobId, before: State, answer: Result<(), Rejection>) -> String {
    match answer {
        Err(Rejection::Stale) => "S".into(),
        Err(Rejection::WrongState { state, .. }) => {
            assert_eq!(state, before, "the rejection names the state");
            ".".into()
        }
        Err(other) => other.code().into(),
        Ok(()) => match s.find(id).map(|job| job.view.state) {
            None => "gone".into(),
            Some(now) if now == before => "-".into(),
            Some(now) => now.to_string(),
        },
    }
}

type Act = fn(&Subject, JobId, Lease) -> Result<(), Rejection>;

/// The verbs with a row each: scheduled, ready, running, retrying, blocked, completed, dead,
/// cancelled, and running with a request to stop.
fn table() -> Vec<(&'static str, Act, [&'static str; 9])> {
    vec![
        ("heartbeat", |s, _, l| s.beat(&l).map(drop), ["S", "S", "-", "S", "S", "S", "S", "S", "-"]),
        (
            "report",
            |s, _, lease| {
                let progress = Some(Progress { percent: 5, message: None });
                s.report(Report { lease, progress, log: None, checkpoint: None })
            },
            ["S", "S", "-", "S", "S", "S", "S", "S", "-"],
        ),
        (
            "complete",
            |s, _, l| s.end(complete(&l)),
            ["S", "S", "completed", "S", "S", "S", "S", "S", "completed"],
        ),
        ("fail", |s, _, l| s.end(fail(&l)), ["S", "S", "retrying", "S", "S", "S", "S", "S", "cancelled"]),
        ("fail, fatal", |s, _, l| s.end(fatal(&l)), ["S", "S", "dead", "S", "S", "S", "S", "S", "cancelled"]),
        (
            "snooze",
            |s, _, l| s.end(snooze(&l, 9)),
            ["S", "S", "scheduled", "S", "S", "S", "S", "S", "cancelled"],
        ),
        (
            "release",
            |s, _, l| s.end(release(&l, ReleaseReason::Shutdown)),
            ["S", "S", "ready", "S", "S", "S", "S", "S", "cancelled"],
        ),
        (
            "release, no handler",
            |s, _, l| s.end(release(&l, ReleaseReason::NoHandler)),
            ["S", "S", "scheduled", "S", "S", "S", "S", "S", "cancelled"],
        ),
        (
            "cancel",
            |s, id, _| s.cancel(id).map(drop),
            ["cancelled", "cancelled", "-", "cancelled", "cancelled", ".", ".", "-", "-"],
        ),
        ("retry", |s, id, _| s.retry(id), [".", ".", ".", ".", ".", "ready", "ready", "ready", "."]),
        ("run_now", |s, id, _| s.run_now(id), ["ready", "-", ".", "ready", ".", ".", ".", ".", "."]),
        (
            "edit to now",
            |s, id, _| s.edit(Edit { id, payload: None, priority: None, run_at: Some(s.now()) }),
            ["ready", "-", ".", "ready", "-", ".", ".", ".", "."],
        ),
        (
            "edit to later",
            |s, id, _| s.edit(Edit { id, payload: None, priority: None, run_at: Some(s.now().plus_ms(500)) }),
            ["-", "scheduled", ".", "-", "-", ".", ".", ".", "."],
        ),
        (
            "edit of the payload",
            |s, id, _| s.edit(Edit { id, payload: Some(b"new".to_vec()), priority: None, run_at: None }),
            ["-", "-", ".", "-", "-", ".", "-", "-", "."],
        ),
        (
            "edit of the priority",
            |s, id, _| s.edit(Edit { id, payload: Some(b"new".to_vec()), priority: Some(1), run_at: None }),
            ["-", "-", ".", "-", "-", ".", ".", ".", "."],
        ),
        (
            "delete",
            |s, id, _| s.delete(id),
            ["gone", "gone", ".", "gone", "gone", "gone", "gone", "gone", "."],
        ),
        (
            "claim",
            |s, _, _| {
                s.claim("q", 1);
                Ok(())
            },
            ["-", "running", "-", "-", "-", "-", "-", "-", "-"],
        ),
    ]
}

fn every_verb_on_every_state_does_what_the_contract_says(host: &dyn Host) {
    for (verb, act, row) in table() {
        let stages = State::ALL.into_iter().map(|state| (state, false)).chain([(Running, true)]);
        for ((state, asked), want) in stages.zip(row) {
            let s = Subject::new(host);
            let (id, mut lease) = job_in(&s, state, asked);
            if state != Running {
                // Not the lease that ended the attempt: that one's second acknowledgement is rule b's.
                lease.token.counter = lease.token.counter.wrapping_sub(1);
            }
            let (before, events) = (s.get(id), s.events().len());
            let answer = act(&s, id, lease);
            assert_eq!(
                seen(&s, id, state, answer.clone()),
                want,
                "{verb} on {state}, asked to stop: {asked}"
            );
            if answer.is_err() {
                assert_eq!(s.get(id), before, "{verb} on {state} was refused and changed something");
                assert_eq!(s.events().len(), events, "{verb} on {state} was refused and left an event");
            }
        }
    }
}

fn a_verb_on_an_unknown_job_says_that_it_is_not_found(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.id();
    let edit = Edit { id, payload: None, priority: Some(1), run_at: None };
    assert_eq!(s.find(id), None);
    for answer in [s.cancel(id).map(drop), s.retry(id), s.run_now(id), s.delete(id), s.edit(edit)] {
        assert!(matches!(answer, Err(Rejection::NotFound { .. })), "{answer:?}");
    }
    assert!(matches!(s.wait(s.store().why(id, s.at())), Err(Rejection::NotFound { .. })));
    assert!(matches!(s.wait(s.store().logs(id, 1)), Err(Rejection::NotFound { .. })));
}

fn a_second_acknowledgement_with_the_same_outcome_is_ok_and_changes_nothing(host: &dyn Host) {
    // A fatal failure and one by the policy are one outcome, and so are the releases.
    let ends: [(&str, &str, fn(&Lease) -> Settle); 6] = [
        ("complete", "complete", complete),
        ("fail", "fail", fail),
        ("fail", "fatal", fatal),
        ("snooze", "snooze", |l| snooze(l, 60_000)),
        ("release", "shutdown", |l| release(l, ReleaseReason::Shutdown)),
        ("release", "no handler", |l| release(l, ReleaseReason::NoHandler)),
    ];
    for (outcome, name, end) in ends {
        let s = Subject::new(host);
        let (id, lease) = job_in(&s, Running, false);
        assert_eq!(s.end(end(&lease)), Ok(()), "{name}");
        let (before, events) = (s.get(id), s.events());
        assert_eq!(s.end(end(&lease)), Ok(()), "{name} again");
        assert_eq!((s.get(id), s.events()), (before.clone(), events.clone()), "{name} again changes nothing");
        for (_, other, end) in ends.iter().filter(|(other, ..)| *other != outcome) {
            assert_eq!(s.end(end(&lease)), Err(Rejection::Stale), "{other} after {name}");
        }
        assert_eq!(s.beat(&lease), Err(Rejection::Stale), "a heartbeat after {name}");
        assert_eq!((s.get(id), s.events()), (before, events), "{name}: what was stale changed nothing");
    }
}

fn a_second_acknowledgement_is_ok_though_the_job_was_retried_since(host: &dyn Host) {
    for end in [complete as fn(&Lease) -> Settle, fatal] {
        let s = Subject::new(host);
        let (id, lease) = job_in(&s, Running, false);
        assert_eq!(s.end(end(&lease)), Ok(()));
        s.retry(id).unwrap();
        let (before, events) = (s.get(id), s.events());
        assert_eq!(s.end(end(&lease)), Ok(()));
        assert_eq!(s.end(snooze(&lease, 1)), Err(Rejection::Stale));
        assert_eq!((s.get(id), s.events()), (before, events));
    }
}

fn a_rescued_job_cannot_be_touched_by_its_old_holder(host: &dyn Host) {
    let s = Subject::new(host);
    let (id, old) = job_in(&s, Running, false);
    s.advance(30_001);
    s.run_now(id).expect("a lost job is retrying");
    let new = s.take("q");
    assert_eq!((new.lease.job, new.lease.attempt), (id, 2));
    assert!(new.lease.token.counter > old.token.counter);
    let (before, events) = (s.get(id), s.events());
    let report = Report {
        lease: old,
        progress: Some(Progress { percent: 99, message: None }),
        log: Some("old".into()),
        checkpoint: Some(vec![1]),
    };
    for end in
        [complete(&old), fail(&old), fatal(&old), snooze(&old, 5), release(&old, ReleaseReason::Shutdown)]
    {
        assert_eq!(s.end(end), Err(Rejection::Stale));
    }
    assert_eq!(s.beat(&old), Err(Rejection::Stale));
    assert_eq!(s.report(report), Err(Rejection::Stale));
    assert_eq!((s.get(id), s.events()), (before, events));
    assert_eq!(s.wait(s.store().logs(id, 1)).unwrap_or_default(), "", "not even the log of its own attempt");
    s.complete(&new);
}

fn a_completion_keeps_its_result(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.pass(40);
    let end = Settle::Complete { lease: held.lease, result: Some(b"42".to_vec()), then: vec![] };
    assert_eq!(s.end(end), Ok(()));
    let done = s.get(id);
    assert_eq!(
        (done.view.state, done.result.as_deref(), done.view.since),
        (Completed, Some(&b"42"[..]), s.now())
    );
    assert_eq!((done.worker, done.deadline), (None, None));
    let record = &done.attempts[0];
    assert_eq!((record.attempt, record.worker, record.ended_at), (1, WORKER, Some(s.now())));
    assert_eq!(record.started_at, START);
    assert_eq!(record.outcome, EventType::Completed.as_str());
    let event = s.last_event(id);
    assert_eq!((event.event, event.result.as_deref()), (EventType::Completed, Some(&b"42"[..])));
}

fn a_snooze_spends_neither_a_failure_nor_a_loss_and_comes_back_in_time(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    let reason = "the provider is asleep";
    s.end(Settle::Snooze { lease: held.lease, delay_ms: 700, reason: reason.into(), holds: None }).unwrap();
    let view = s.get(id).view;
    assert_eq!((view.state, view.failures, view.losses, view.snoozes), (Scheduled, 0, 0, 1));
    assert_eq!(view.since, s.now().plus_ms(700), "since is the due time");
    let why = s.why(id);
    assert_eq!((why.reason, why.eta), (Reason::Snoozed, Some(s.now().plus_ms(700))));
    assert!(why.detail.contains(reason), "{}", why.detail);
    s.advance(699);
    assert!(s.claim("q", 1).is_empty());
    s.advance(1);
    let again = s.take("q");
    assert_eq!((again.lease.attempt, again.snoozes), (2, 1));
}

fn a_snooze_of_no_delay_is_claimable_at_once(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    s.snooze(&s.take("q"), 0);
    s.upkeep();
    assert_eq!(s.claim_ids("q", 1), [id]);
}

fn a_job_may_be_snoozed_a_thousand_times_and_not_once_more(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    for _ in 0..bounds::SNOOZES_MAX {
        s.snooze(&s.take("q"), 1);
        s.advance(1);
    }
    let held = s.take("q");
    assert_eq!(
        s.end(snooze(&held.lease, 1)),
        Err(Rejection::TooManySnoozes { snoozes: bounds::SNOOZES_MAX })
    );
    assert_eq!(s.state(id), Running);
    s.kill(&held);
    s.retry(id).unwrap();
    assert_eq!(s.get(id).view.snoozes, 0);
    s.snooze(&s.take("q"), 1);
    assert_eq!(s.get(id).view.snoozes, 1, "a new generation may snooze again");
}

fn a_release_puts_the_job_at_the_tail_and_spends_nothing(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 3);
    s.release(&s.take("q"));
    let view = s.get(ids[0]).view;
    assert_eq!((view.state, view.failures, view.losses, view.snoozes, view.attempt), (Ready, 0, 0, 0, 1));
    assert_eq!(s.claim_ids("q", 3), [ids[1], ids[2], ids[0]]);
}

fn a_job_that_nobody_can_handle_comes_back_after_a_growing_delay_and_is_counted(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    for delay_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000] {
        let held = s.take("q");
        s.end(release(&held.lease, ReleaseReason::NoHandler)).unwrap();
        let view = s.get(id).view;
        assert_eq!((view.state, view.failures, view.losses), (Scheduled, 0, 0));
        assert_eq!(view.since, s.now().plus_ms(delay_ms));
        assert_eq!(s.reason(id), Reason::NoHandler);
        s.advance(delay_ms - 1);
        assert!(s.claim("q", 1).is_empty());
        s.advance(1);
    }
    let totals = s.queue_info("q").totals;
    assert_eq!((totals.released, totals.no_handler), (9, 9));
    s.complete(&s.take("q"));
}

fn a_rate_limited_snooze_holds_the_whole_queue_until_then(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 3);
    s.put(s.job("other"));
    let held = s.take("q");
    hold(&s, &held.lease, Hold::Queue);
    assert!(s.claim("q", 5).is_empty());
    assert_eq!(s.claim("other", 5).len(), 1);
    s.advance(1_999);
    assert!(s.claim("q", 5).is_empty());
    s.advance(1);
    assert_eq!(s.claim("q", 5).len(), 3);
}

fn a_rate_limited_snooze_holds_the_whole_group_until_then_and_no_other(host: &dyn Host) {
    let s = Subject::new(host);
    let a = s.put_all((0..3).map(|_| s.job_of("q", "a")).collect());
    let held = s.take("q");
    hold(&s, &held.lease, Hold::Group);
    let b = s.put(s.job_of("q", "b"));
    let none = s.put(s.job("q"));
    let mut got = s.claim_ids("q", 9);
    got.sort();
    assert_eq!(got, [b, none]);
    assert_eq!(s.reason(a[1]), Reason::RateLimited);
    assert_eq!(s.why(a[1]).eta, Some(s.now().plus_ms(2_000)));
    s.advance(1_999);
    assert!(s.claim("q", 9).is_empty());
    s.advance(1);
    assert_eq!(s.claim("q", 9).len(), 3);
}

fn a_rate_limited_snooze_holds_every_job_of_the_limit_in_every_queue_until_then(host: &dyn Host) {
    let s = Subject::new(host);
    let on = |name: &str| NewJob { limits: uses(&[("smtp", 1)]), ..s.job(name) };
    s.put_all(vec![on("q"), on("q"), on("other"), s.job("q")]);
    let held = s.take("q");
    hold(&s, &held.lease, Hold::Limit(limit("smtp")));
    assert_eq!(s.claim("q", 9).len(), 1, "a job without the limit goes on");
    assert!(s.claim("other", 9).is_empty());
    assert_eq!(s.limit_info("smtp").closed_until, Some(s.now().plus_ms(2_000)));
    s.advance(1_999);
    assert!(s.claim("q", 9).is_empty() && s.claim("other", 9).is_empty());
    s.advance(1);
    assert_eq!((s.claim("q", 9).len(), s.claim("other", 9).len()), (2, 1));
}

fn a_second_hold_never_shortens_the_first(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 3);
    let held = s.claim("q", 2);
    let long = Settle::Snooze {
        lease: held[0].lease,
        delay_ms: 5_000,
        reason: "429".into(),
        holds: Some(Hold::Queue),
    };
    let short = Settle::Snooze {
        lease: held[1].lease,
        delay_ms: 1_000,
        reason: "429".into(),
        holds: Some(Hold::Queue),
    };
    assert_eq!(s.settle(vec![long, short]), vec![Ok(()), Ok(())]);
    s.advance(1_001);
    assert!(s.claim("q", 5).is_empty());
    s.advance(4_000);
    assert_eq!(s.claim("q", 5).len(), 3);
}

fn hold(s: &Subject, lease: &Lease, holds: Hold) {
    let reason = "429 Too Many Requests".to_owned();
    s.end(Settle::Snooze { lease: *lease, delay_ms: 2_000, reason, holds: Some(holds) }).expect("current");
}

fn progress_log_and_checkpoint_are_kept_and_the_checkpoint_comes_back(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    assert_eq!(held.checkpoint, None);
    let say = |lease, percent, log: &str, checkpoint: Option<&[u8]>| {
        let progress = Some(Progress { percent, message: Some(format!("{percent} %")) });
        let checkpoint = checkpoint.map(<[u8]>::to_vec);
        s.report(Report { lease, progress, log: Some(log.into()), checkpoint }).expect("current");
    };
    say(held.lease, 10, "one\n", Some(b"page 1"));
    say(held.lease, 20, "two\n", Some(b"page 2"));
    say(held.lease, 30, "three\n", None);
    let seen = s.get(id);
    assert_eq!(seen.progress, Some(Progress { percent: 30, message: Some("30 %".into()) }));
    assert_eq!(seen.checkpoint.as_deref(), Some(&b"page 2"[..]));
    assert_eq!(s.wait(s.store().logs(id, 1)).expect("the log"), "one\ntwo\nthree\n");
    s.release(&held);
    let second = s.take("q");
    assert_eq!(second.checkpoint.as_deref(), Some(&b"page 2"[..]), "after a release");
    say(second.lease, 40, "four\n", None);
    s.advance(30_001);
    s.run_now(id).unwrap();
    let third = s.take("q");
    assert_eq!(third.checkpoint.as_deref(), Some(&b"page 2"[..]), "after a loss");
    assert_eq!(s.wait(s.store().logs(id, 1)).expect("the log"), "one\ntwo\nthree\n", "a log per attempt");
    assert_eq!(s.wait(s.store().logs(id, 2)).expect("the log"), "four\n");
}

fn a_report_changes_no_deadline(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    s.advance(20_000);
    s.report(Report { lease: held.lease, progress: None, log: Some("x".into()), checkpoint: None }).unwrap();
    assert_eq!(s.get(id).deadline, Some(held.lease.deadline));
    s.advance(10_001);
    assert_ne!(s.state(id), Running);
}

fn reports_are_answered_one_by_one(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 2);
    let held = s.claim("q", 2);
    s.complete(&held[0]);
    let of =
        |i: usize| Report { lease: held[i].lease, progress: None, log: Some("x".into()), checkpoint: None };
    assert_eq!(s.wait(s.store().report(vec![of(0), of(1)], s.at())), vec![Err(Rejection::Stale), Ok(())]);
}
