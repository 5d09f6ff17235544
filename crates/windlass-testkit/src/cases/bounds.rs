//! Rule e: everything is bounded, and a refusal says by what.

use crate::host::Host;
use crate::subject::*;
use windlass_core::bounds;
use windlass_core::job::State::{Completed, Dead, Ready, Running};
use windlass_core::name::Tag;
use windlass_core::store::{Filter, Report, Settle};
use windlass_core::{JobId, NewJob, Rejection, StoreError};

cases![
    a_batch_of_a_thousand_is_taken_and_one_more_refused_whole,
    every_argument_out_of_its_bound_is_refused_by_name,
    a_result_and_a_checkpoint_above_64_kib_are_refused_and_the_lease_stays,
    more_than_a_thousand_follow_ups_refuse_the_completion_whole,
    the_log_of_an_attempt_is_bounded_and_says_that_it_was_cut,
    a_log_is_kept_to_the_letter,
    a_huge_error_loses_no_failure_and_is_kept_within_its_bound,
    a_page_holds_at_most_a_thousand_jobs,
    a_budget_of_nothing_still_gets_on,
    a_delay_above_ten_years_is_refused_wherever_it_is_given,
];

/// A refusal of a whole batch, in either of its forms.
fn refused_whole<T>(answer: &Result<Vec<Result<T, Rejection>>, StoreError>) -> bool {
    match answer {
        Ok(items) => items.iter().all(|item| matches!(item, Err(Rejection::Invalid { .. }))),
        Err(fault) => fault.outcome == windlass_core::error::Outcome::NotDone,
    }
}

fn a_batch_of_a_thousand_is_taken_and_one_more_refused_whole(host: &dyn Host) {
    let s = Subject::new(host);
    assert_eq!(s.put_many("q", 1_000).len(), 1_000);
    let jobs: Vec<NewJob> = (0..1_001).map(|_| s.job("q")).collect();
    let answer = s.try_wait(s.store().enqueue(jobs, false, s.at()));
    assert!(refused_whole(&answer), "{answer:?}");
    assert_eq!(s.counts("q").of(Ready), 1_000);
    let ids: Vec<JobId> = (0..1_001).map(|_| s.id()).collect();
    assert!(refused_whole(&s.try_wait(s.store().cancel(ids.clone(), s.at()))));
    assert!(refused_whole(&s.try_wait(s.store().retry(ids.clone(), s.at()))));
    assert!(refused_whole(&s.try_wait(s.store().run_now(ids.clone(), s.at()))));
    assert!(refused_whole(&s.try_wait(s.store().delete(ids, s.at()))));
    assert_eq!(s.counts("q").of(Ready), 1_000, "the store goes on");
}

fn every_argument_out_of_its_bound_is_refused_by_name(host: &dyn Host) {
    let s = Subject::new(host);
    let tag = |i: usize| Tag::new(format!("t{i}")).unwrap();
    let limits: Vec<String> = (0..5).map(|i| format!("l{i}")).collect();
    let named: Vec<(&str, u32)> = limits.iter().map(|name| (name.as_str(), 1)).collect();
    let bad: Vec<(&str, NewJob)> = vec![
        ("payload", NewJob { payload: vec![0; bounds::PAYLOAD_BYTES_MAX + 1], ..s.job("q") }),
        ("priority", NewJob { priority: 10, ..s.job("q") }),
        ("priority", NewJob { priority: -10, ..s.job("q") }),
        ("tags", NewJob { tags: (0..9).map(tag).collect(), ..s.job("q") }),
        ("limits", NewJob { limits: uses(&named), ..s.job("q") }),
        ("limits", NewJob { limits: uses(&[("a", 0)]), ..s.job("q") }),
        ("limits", NewJob { limits: uses(&[("a", 1), ("a", 1)]), ..s.job("q") }),
        ("delay", NewJob { delay_ms: Some(1), run_at: Some(s.now()), ..s.job("q") }),
        ("run_at", NewJob { delay_ms: Some(bounds::DELAY_MS_MAX + 1), ..s.job("q") }),
        ("retry policy", NewJob { retry: Some(fixed(1, 0)), ..s.job("q") }),
    ];
    for (what, job) in bad {
        let id = job.id;
        match s.offer(job) {
            Err(Rejection::Invalid { what: told, why }) => {
                assert_eq!(told, what);
                assert!(!why.is_empty());
            }
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(s.find(id), None);
    }
    let most = NewJob {
        payload: vec![7; bounds::PAYLOAD_BYTES_MAX],
        priority: 9,
        tags: (0..8).map(tag).collect(),
        limits: uses(&named[..4]),
        delay_ms: Some(bounds::DELAY_MS_MAX),
        ..s.job("q")
    };
    let id = s.put(most.clone());
    assert_eq!(s.get(id).payload, most.payload, "what is within its bound is kept whole");
    s.run_now(id).unwrap();
    assert_eq!(s.take("q").payload, most.payload);
}

fn a_result_and_a_checkpoint_above_64_kib_are_refused_and_the_lease_stays(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    let result = |bytes| Settle::Complete { lease: held.lease, result: Some(vec![1; bytes]), then: vec![] };
    let checkpoint =
        |bytes| Report { lease: held.lease, progress: None, log: None, checkpoint: Some(vec![2; bytes]) };
    assert!(matches!(
        s.report(checkpoint((64 << 10) + 1)),
        Err(Rejection::Invalid { what: "checkpoint", .. })
    ));
    assert_eq!(s.report(checkpoint(64 << 10)), Ok(()));
    assert!(matches!(s.end(result((64 << 10) + 1)), Err(Rejection::Invalid { what: "result", .. })));
    assert_eq!(s.state(id), Running);
    assert_eq!(s.get(id).checkpoint.map(|bytes| bytes.len()), Some(64 << 10));
    assert_eq!(s.end(result(64 << 10)), Ok(()));
    assert_eq!(s.get(id).result.map(|bytes| bytes.len()), Some(64 << 10));
}

fn more_than_a_thousand_follow_ups_refuse_the_completion_whole(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    let many = |n: usize| -> Vec<NewJob> { (0..n).map(|_| s.job("next")).collect() };
    let end = |then| Settle::Complete { lease: held.lease, result: None, then };
    let answer = s.try_wait(s.store().claim(
        windlass_core::store::Claim {
            settle_first: vec![end(many(1_001))],
            wants: vec![],
            worker: WORKER,
            nonce: 1,
        },
        s.at(),
    ));
    match answer {
        Ok(claimed) => assert!(matches!(claimed.settled[0], Err(Rejection::Invalid { .. }))),
        Err(fault) => assert_eq!(fault.outcome, windlass_core::error::Outcome::NotDone),
    }
    assert_eq!((s.state(id), s.counts("next").of(Ready)), (Running, 0));
    assert_eq!(s.end(end(many(1_000))), Ok(()));
    assert_eq!((s.state(id), s.counts("next").of(Ready)), (Completed, 1_000));
}

fn the_log_of_an_attempt_is_bounded_and_says_that_it_was_cut(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    let say = |log: String| {
        s.report(Report { lease: held.lease, progress: None, log: Some(log), checkpoint: None })
    };
    for i in 0..10 {
        assert_eq!(say(format!("{i}{}\n", "x".repeat(40 << 10))), Ok(()), "a full log refuses no report");
    }
    let log = s.wait(s.store().logs(id, 1)).expect("the log");
    assert!(log.len() <= bounds::LOG_BYTES_MAX + 200, "{} bytes", log.len());
    assert!(log.len() > bounds::LOG_BYTES_MAX - 200, "{} bytes", log.len());
    assert!(log.starts_with("0xxx"));
    let last = log.trim_end().lines().last().unwrap_or_default().to_owned();
    assert!(!last.contains("xxx"), "its last line says that it was cut: {last}");
    s.release(&held);
    let held = s.take("q");
    s.report(Report { lease: held.lease, progress: None, log: Some("new".into()), checkpoint: None })
        .unwrap();
    assert_eq!(s.wait(s.store().logs(id, 2)).expect("the log"), "new", "the next attempt has its own bound");
}

fn a_log_is_kept_to_the_letter(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    let pieces = ["  indented\n", "trailing space ", "and on\n", "\n", "ü\u{1F980}\t\r\n", "end   "];
    for piece in pieces {
        let log = Some(piece.to_owned());
        s.report(Report { lease: held.lease, progress: None, log, checkpoint: None }).unwrap();
    }
    assert_eq!(s.wait(s.store().logs(id, 1)).expect("the log"), pieces.concat());
}

fn a_huge_error_loses_no_failure_and_is_kept_within_its_bound(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    let mut huge = error(&"ö".repeat(100_000));
    huge.detail = Some("ß".repeat(100_000));
    huge.class = Some("c".repeat(5_000));
    s.end(Settle::Fail { lease: held.lease, error: huge, retry_in_ms: None, fatal: true })
        .expect("a failure counts");
    assert_eq!(s.state(id), Dead);
    let kept = s.get(id).attempts[0].error.clone().expect("its error");
    let bytes = kept.message.len() + kept.detail.map_or(0, |d| d.len()) + kept.class.map_or(0, |c| c.len());
    assert!(bytes <= bounds::ERROR_BYTES_MAX + 1_024, "{bytes} bytes");
    assert!(kept.message.starts_with("öö"));
}

fn a_page_holds_at_most_a_thousand_jobs(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 1_200);
    let page = s.wait(s.store().list(Filter::default(), None, usize::MAX, usize::MAX)).expect("a page");
    assert_eq!(page.items.len(), bounds::PAGE_MAX);
    assert!(page.next.is_some());
    assert_eq!(s.list(&Filter::default()).len(), 1_200);
}

fn a_budget_of_nothing_still_gets_on(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 3);
    let filter = Filter { payload_contains: Some("nowhere".into()), ..Filter::default() };
    let mut cursor = None;
    for _ in 0..10 {
        let page = s.wait(s.store().list(filter.clone(), cursor, 0, 0)).expect("a page");
        assert!(page.items.is_empty());
        match page.next {
            Some(next) => cursor = Some(next),
            None => return,
        }
    }
    panic!("the list finds no end");
}

fn a_delay_above_ten_years_is_refused_wherever_it_is_given(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    assert!(matches!(s.end(snooze(&held.lease, bounds::DELAY_MS_MAX + 1)), Err(Rejection::Invalid { .. })));
    assert_eq!(s.state(id), Running);
    s.end(Settle::Fail { lease: held.lease, error: error("x"), retry_in_ms: Some(u64::MAX), fatal: false })
        .ok();
    assert!(s.get(id).view.since <= s.now().plus_ms(bounds::DELAY_MS_MAX), "no time that never comes");
}
