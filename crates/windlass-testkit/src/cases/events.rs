//! The event log: one event per transition, in order per job, read from any place.

use crate::host::{Host, START};
use crate::subject::*;
use windlass_core::event::EventType::{
    CancelRequested, Cancelled, Claimed, Completed, Died, Edited, Enqueued, Failed, Lost, Promoted, Released,
    Removed, Retried, Snoozed, Unblocked,
};
use windlass_core::event::{Cause, Cursor, Event, EventType};
use windlass_core::job::{OnConflict, Unique, UniqueScope};
use windlass_core::name::UniqueKey;
use windlass_core::store::{Edit, From, Reader, ReleaseReason, Report, Settle};
use windlass_core::{JobId, NewJob, bounds};

cases![
    every_transition_appends_exactly_one_event,
    an_event_says_which_job_attempt_worker_error_and_result,
    long_errors_and_results_are_cut_in_events,
    causes_tell_why,
    reading_goes_on_from_any_place_without_skipping_or_repeating,
    pages_of_any_size_give_the_same_log,
    cursors_grow_and_survive_their_text,
    the_latest_place_shows_only_what_is_still_to_come,
    an_empty_log_gives_a_place_to_go_on_from,
    a_reader_that_waits_is_woken_by_the_next_event,
    a_reader_that_waits_gets_the_first_event_of_a_new_queue_and_kind,
    a_reader_may_wait_for_the_next_one_to_come,
    a_reader_that_waits_in_vain_is_answered_when_its_time_is_over,
    a_batch_is_in_the_log_in_its_order,
    a_cursor_that_the_store_never_gave_is_refused_or_shows_nothing_wrong,
    a_claims_event_is_shown_without_waiting_for_another_write,
    a_reader_that_waits_at_the_end_of_a_segment_finds_what_follows_it restarts,
    readers_are_registered_moved_and_forgotten restarts,
    reading_goes_on_after_restarts_without_skipping_or_repeating restarts,
];

fn every_transition_appends_exactly_one_event(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let id = s.put(NewJob { parents: after(&[parent]), delay_ms: Some(10), ..s.job("q") });
    let mut want = vec![Enqueued];
    let check = |want: &[EventType]| assert_eq!(s.story(id), want);
    check(&want);
    s.complete(&s.take("parents"));
    want.push(Unblocked);
    check(&want);
    s.advance(10);
    want.push(Promoted);
    check(&want);
    s.snooze(&s.take("q"), 5);
    want.extend([Claimed, Snoozed]);
    check(&want);
    s.run_now(id).unwrap();
    let run_now = s.last_event(id);
    assert!(matches!(run_now.event, Promoted | Edited), "{run_now:?}");
    assert_eq!(run_now.cause, Cause::Requested);
    want.push(run_now.event);
    check(&want);
    s.release(&s.take("q"));
    want.extend([Claimed, Released]);
    check(&want);
    s.fail(&s.take("q"));
    want.extend([Claimed, Failed]);
    check(&want);
    s.advance(60_000);
    want.push(Promoted);
    check(&want);
    let held = s.take("q");
    s.beat(&held.lease).unwrap();
    s.report(Report { lease: held.lease, progress: None, log: Some("x".into()), checkpoint: Some(vec![1]) })
        .unwrap();
    want.push(Claimed);
    check(&want);
    s.advance(30_001);
    s.advance(60_000);
    want.extend([Lost, Promoted]);
    check(&want);
    let held = s.take("q");
    s.cancel(id).unwrap();
    s.end(fail(&held.lease)).unwrap();
    want.extend([Claimed, CancelRequested, Cancelled]);
    check(&want);
    s.retry(id).unwrap();
    want.push(Retried);
    check(&want);
    s.edit(Edit { id, payload: Some(b"new".to_vec()), priority: None, run_at: None }).unwrap();
    want.push(Edited);
    check(&want);
    s.kill(&s.take("q"));
    want.extend([Claimed, Died]);
    check(&want);
    s.retry(id).unwrap();
    s.complete(&s.take("q"));
    want.extend([Retried, Claimed, Completed]);
    check(&want);
    s.delete(id).unwrap();
    want.push(Removed);
    check(&want);
}

fn an_event_says_which_job_attempt_worker_error_and_result(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(NewJob { kind: kind("mail"), ..s.job_of("q", "g") });
    s.pass(3);
    let held = s.take("q");
    s.pass(4);
    s.end(Settle::Fail { lease: held.lease, error: error("no route"), retry_in_ms: Some(1), fatal: false })
        .unwrap();
    s.advance(1);
    let held = s.take("q");
    s.end(Settle::Complete { lease: held.lease, result: Some(b"ok".to_vec()), then: vec![] }).unwrap();
    let events: Vec<Event> = s.events().into_iter().filter(|event| event.job == id).collect();
    for event in &events {
        assert_eq!(
            (&event.queue, &event.kind, &event.group),
            (&queue("q"), &kind("mail"), &Some(group("g")))
        );
    }
    let attempts: Vec<(EventType, u32)> = events.iter().map(|event| (event.event, event.attempt)).collect();
    assert_eq!(
        attempts,
        [(Enqueued, 0), (Claimed, 1), (Failed, 1), (Promoted, 1), (Claimed, 2), (Completed, 2)]
    );
    let times: Vec<u64> = events.iter().map(|event| event.at.since(START)).collect();
    assert_eq!(times, [0, 3, 7, 8, 8, 8]);
    assert_eq!(
        (events[1].worker, events[2].worker, events[5].worker),
        (Some(WORKER), Some(WORKER), Some(WORKER))
    );
    assert!(events[2].text.as_deref().is_some_and(|text| text.contains("no route")));
    assert_eq!(events[5].result.as_deref(), Some(&b"ok"[..]));
}

fn long_errors_and_results_are_cut_in_events(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 2);
    let held = s.claim("q", 2);
    let long = "ä".repeat(20_000);
    s.end(Settle::Fail { lease: held[0].lease, error: error(&long), retry_in_ms: None, fatal: true })
        .unwrap();
    s.end(Settle::Complete { lease: held[1].lease, result: Some(vec![7; 60_000]), then: vec![] }).unwrap();
    let text = s.last_event(held[0].lease.job).text.expect("the error's text");
    assert!(!text.is_empty() && text.len() <= bounds::EVENT_TEXT_BYTES_MAX + 3, "{} bytes", text.len());
    let result = s.last_event(held[1].lease.job).result.expect("the result");
    assert!(!result.is_empty() && result.len() <= bounds::EVENT_TEXT_BYTES_MAX);
    assert_eq!(s.get(held[1].lease.job).result.map(|r| r.len()), Some(60_000), "the job keeps all of it");
}

fn causes_tell_why(host: &dyn Host) {
    let s = Subject::new(host);
    let expiring = s.put(NewJob { expires_at: Some(s.now().plus_ms(10)), ..s.job("waits") });
    s.advance(11);
    assert_eq!((s.last_event(expiring).event, s.last_event(expiring).cause), (Cancelled, Cause::Expired));
    let unique = |on_conflict, payload: &[u8]| NewJob {
        unique: Some(Unique {
            key: UniqueKey::new("k").unwrap(),
            scope: UniqueScope::WhileLive,
            on_conflict,
        }),
        payload: payload.to_vec(),
        ..s.job("u")
    };
    let holder = s.put(unique(OnConflict::Existing, b"1"));
    s.put(unique(OnConflict::Replace, b"2"));
    assert_eq!((s.last_event(holder).event, s.last_event(holder).cause), (Edited, Cause::Unique));
    s.put_many("q", 3);
    let held = s.claim("q", 3);
    s.end(release(&held[0].lease, ReleaseReason::NoHandler)).unwrap();
    s.end(release(&held[1].lease, ReleaseReason::Shutdown)).unwrap();
    let holds = Some(windlass_core::store::Hold::Queue);
    s.end(Settle::Snooze { lease: held[2].lease, delay_ms: 9, reason: "429".into(), holds }).unwrap();
    let cause = |i: usize| s.last_event(held[i].lease.job).cause;
    assert_eq!((cause(0), cause(1), cause(2)), (Cause::NoHandler, Cause::Shutdown, Cause::RateLimited));
}

/// A store with some history, of batches large and small.
fn busy(s: &Subject) -> Vec<Event> {
    s.put_many("q", 40);
    s.put(s.job("q"));
    let held = s.claim("q", 30);
    let ends = held.iter().enumerate().map(|(i, job)| match i % 3 {
        0 => complete(&job.lease),
        1 => fail(&job.lease),
        _ => release(&job.lease, ReleaseReason::Unstarted),
    });
    s.settle(ends.collect());
    s.advance(60_000);
    s.drain("q");
    s.events()
}

fn reading_goes_on_from_any_place_without_skipping_or_repeating(host: &dyn Host) {
    let s = Subject::new(host);
    let all = busy(&s);
    assert!(all.len() > 150);
    for (i, event) in all.iter().enumerate() {
        let rest = s.wait(s.store().events(From::After(event.cursor), 1_000, 0)).expect("a place in the log");
        assert!(!rest.gap);
        assert_eq!(rest.events.len(), all.len() - i - 1, "after event {i}");
        assert_eq!(rest.events.first(), all.get(i + 1));
    }
}

fn pages_of_any_size_give_the_same_log(host: &dyn Host) {
    let s = Subject::new(host);
    let all = busy(&s);
    for size in [1, 2, 3, 7, 64, 1_000] {
        let (mut read, mut from) = (Vec::new(), From::Earliest);
        loop {
            let page = s.wait(s.store().events(from, size, 0)).expect("a place in the log");
            assert!(page.events.len() <= size);
            if page.events.is_empty() {
                break;
            }
            read.extend(page.events);
            from = From::After(page.next);
        }
        assert_eq!(read, all, "pages of {size}");
    }
}

fn cursors_grow_and_survive_their_text(host: &dyn Host) {
    let s = Subject::new(host);
    let all = busy(&s);
    assert!(all.windows(2).all(|pair| pair[0].cursor < pair[1].cursor));
    for event in &all {
        assert_eq!(event.cursor.to_string().parse::<Cursor>(), Ok(event.cursor));
    }
}

fn the_latest_place_shows_only_what_is_still_to_come(host: &dyn Host) {
    let s = Subject::new(host);
    busy(&s);
    let page = s.wait(s.store().events(From::Latest, 100, 0)).expect("a place");
    assert!(page.events.is_empty());
    let id = s.put(s.job("q"));
    let page = s.wait(s.store().events(From::After(page.next), 100, 0)).expect("a place");
    assert_eq!(
        page.events.iter().map(|event| (event.job, event.event)).collect::<Vec<_>>(),
        [(id, Enqueued)]
    );
    let page = s.wait(s.store().events(From::After(page.next), 100, 0)).expect("a place");
    assert!(page.events.is_empty());
}

fn an_empty_log_gives_a_place_to_go_on_from(host: &dyn Host) {
    let s = Subject::new(host);
    for from in [From::Earliest, From::Latest] {
        let page = s.wait(s.store().events(from, 10, 0)).expect("a place");
        assert!(page.events.is_empty() && !page.gap);
        let id = s.put(s.job("q"));
        let page = s.wait(s.store().events(From::After(page.next), 10, 0)).expect("a place");
        assert_eq!(page.events.iter().map(|event| event.job).collect::<Vec<_>>(), [id]);
    }
}

fn a_reader_that_waits_is_woken_by_the_next_event(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    let here = s.wait(s.store().events(From::Latest, 10, 0)).expect("a place").next;
    let mut waiting = s.begin(s.store().events(From::After(here), 10, 3_600_000));
    assert!(!waiting.has_answered());
    let id = s.put(s.job("q"));
    let page = waiting.answer().expect("a page");
    assert_eq!(page.events.iter().map(|event| event.job).collect::<Vec<_>>(), [id]);
}

fn a_reader_that_waits_gets_the_first_event_of_a_new_queue_and_kind(host: &dyn Host) {
    let s = Subject::new(host);
    let here = s.wait(s.store().events(From::Latest, 10, 0)).expect("a place").next;
    let mut waiting = s.begin(s.store().events(From::After(here), 10, 3_600_000));
    assert!(!waiting.has_answered());
    let id = s.put(NewJob { kind: kind("never-seen"), ..s.job("never-seen") });
    let page = waiting.answer().expect("a page");
    assert_eq!(page.events.iter().map(|event| event.job).collect::<Vec<_>>(), [id]);
}

fn a_reader_may_wait_for_the_next_one_to_come(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    let mut waiting = s.begin(s.store().events(From::Latest, 10, 3_600_000));
    assert!(!waiting.has_answered());
    let id = s.put(s.job("q"));
    let page = waiting.answer().expect("a page");
    assert_eq!(page.events.iter().map(|event| event.job).collect::<Vec<_>>(), [id]);
}

fn a_reader_that_waits_at_the_end_of_a_segment_finds_what_follows_it(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.put(s.job("q"));
    let here = s.wait(s.store().events(From::Latest, 10, 0)).expect("a place").next;
    s.restart();
    let id = s.put(s.job("q"));
    let page = s.begin(s.store().events(From::After(here), 10, 3_600_000)).answer().expect("a page");
    assert_eq!(page.events.iter().map(|event| event.job).collect::<Vec<_>>(), [id]);
}

fn a_reader_that_waits_in_vain_is_answered_when_its_time_is_over(host: &dyn Host) {
    let s = Subject::new(host);
    let here = s.wait(s.store().events(From::Latest, 10, 0)).expect("a place").next;
    let waiting = s.begin(s.store().events(From::After(here), 10, 50));
    // Whichever clock the wait is on, both have passed it in the end.
    s.advance(60);
    let page = waiting.answer().expect("a page");
    assert!(page.events.is_empty());
}

fn a_batch_is_in_the_log_in_its_order(host: &dyn Host) {
    let s = Subject::new(host);
    let jobs: Vec<NewJob> = (0..100).map(|_| s.job("q")).collect();
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    s.enqueue(jobs);
    let seen: Vec<JobId> = s.events().into_iter().map(|event| event.job).collect();
    assert_eq!(seen, ids);
}

fn readers_are_registered_moved_and_forgotten(host: &dyn Host) {
    let mut s = Subject::new(host);
    busy(&s);
    let all = s.events();
    let keeps_from = Some(s.now());
    let reader = |name: &str, at: usize| Reader::of_log(name, all[at].cursor);
    let archive = Reader { keeps_from, ..reader("archive", 10) };
    s.wait(s.store().set_reader(reader("archive", 3)));
    s.wait(s.store().set_reader(reader("metrics", 5)));
    s.wait(s.store().set_reader(archive.clone()));
    let mut readers = s.wait(s.store().readers());
    readers.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(readers, [archive.clone(), reader("metrics", 5)]);
    s.restart();
    s.wait(s.store().delete_reader("metrics".into()));
    assert_eq!(s.wait(s.store().readers()), std::slice::from_ref(&archive));
    s.wait(s.store().set_reader(reader("archive", 10)));
    assert_eq!(s.wait(s.store().readers()), [reader("archive", 10)]);
}

fn reading_goes_on_after_restarts_without_skipping_or_repeating(host: &dyn Host) {
    let mut s = Subject::new(host);
    let mut read: Vec<Event> = Vec::new();
    let mut from = From::Earliest;
    let mut want: Vec<JobId> = Vec::new();
    for round in 0..6 {
        for _ in 0..5 {
            want.push(s.put(s.job("q")));
        }
        if round % 2 == 0 {
            s.restart();
        }
        let page = s.wait(s.store().events(from, 3, 0)).expect("a place");
        assert!(!page.gap);
        from = From::After(page.next);
        read.extend(page.events);
        s.restart();
    }
    read.extend(s.events_from(from));
    assert_eq!(read.iter().map(|event| event.job).collect::<Vec<_>>(), want);
    assert_eq!(s.events(), read);
    let answers = s.wait(s.store().enqueue(vec![], false, s.at()));
    assert!(answers.is_empty(), "an empty batch is nothing");
    assert_eq!(s.events().len(), read.len());
}

fn a_cursor_that_the_store_never_gave_is_refused_or_shows_nothing_wrong(host: &dyn Host) {
    let s = Subject::new(host);
    let all = busy(&s);
    for place in [u64::MAX, all[0].cursor.place + 1, all[5].cursor.place ^ 0x10_0000_0000] {
        let cursor = Cursor { place, index: 3 };
        match s.wait(s.store().events(From::After(cursor), 1_000, 0)) {
            Err(why) => assert_eq!(why.code(), "bad_cursor"),
            Ok(page) => {
                assert!(page.events.iter().all(|event| all.contains(event)), "only what is in the log")
            }
        }
    }
}

fn a_claims_event_is_shown_without_waiting_for_another_write(host: &dyn Host) {
    for s in [Subject::new(host), Subject::new(host)] {
        let id = s.put(s.job("q"));
        let here = s.wait(s.store().events(From::Latest, 10, 0)).expect("a place").next;
        s.take("q");
        let page = s.begin(s.store().events(From::After(here), 10, 3_600_000)).answer().expect("a page");
        let seen: Vec<_> = page.events.iter().map(|event| (event.job, event.event)).collect();
        assert_eq!(seen, [(id, Claimed)]);
    }
}
