//! Readers that hold back pruning: no job that such a reader needs goes, and what it does not need goes as ever.

use crate::host::{Host, SHORT_LOG_EVENTS};
use crate::subject::*;
use windlass_core::bounds::EVENT_TEXT_BYTES_MAX;
use windlass_core::event::{Cause, Cursor, EventType};
use windlass_core::job::State::{Cancelled, Completed, Dead};
use windlass_core::queue::{QueueSettings, Retention};
use windlass_core::store::{From, Reader, Settle};
use windlass_core::{JobId, NewJob, Rejection, Time};

cases![
    a_job_that_ended_when_a_reader_needs_it_or_later_is_not_pruned,
    a_job_that_a_reader_needs_is_kept_beyond_the_count_too,
    a_reader_that_only_reads_the_log_holds_back_no_job,
    the_slowest_reader_decides_and_a_forgotten_one_does_not,
    a_needed_job_can_be_deleted_and_retried,
    a_reader_without_a_place_in_the_log_holds_back_no_job,
    a_reader_beyond_the_bound_of_the_log_holds_back_no_job_until_it_goes_on,
    what_a_reader_needs_is_known_after_a_restart restarts,
];

/// How long retention may rest when all that it found is needed.
const REST_MS: u64 = 2_000;

fn kept_for(s: &Subject, ms: u64) {
    let retention = Retention { completed_ms: ms, cancelled_ms: ms, dead_ms: ms, ..Retention::default() };
    s.set_queue("q", QueueSettings { retention, ..QueueSettings::default() });
}

/// Where the log ends now.
fn latest(s: &Subject) -> Cursor {
    s.wait(s.store().events(From::Latest, 1, 0)).expect("a place").next
}

/// The archive stands there and needs what ended at that time or later.
fn needs(s: &Subject, name: &str, cursor: Cursor, from: Time) {
    s.wait(s.store().set_reader(Reader { keeps_from: Some(from), ..Reader::of_log(name, cursor) }));
}

/// One job of each kind of end, all at the same time.
fn three_ends(s: &Subject) -> [JobId; 3] {
    let ids = s.put_many("q", 3);
    s.complete(&s.take("q"));
    s.kill(&s.take("q"));
    s.cancel(ids[2]).unwrap();
    [ids[0], ids[1], ids[2]]
}

fn there(s: &Subject, ids: &[JobId]) -> Vec<JobId> {
    ids.iter().filter(|id| s.find(**id).is_some()).copied().collect()
}

fn a_job_that_ended_when_a_reader_needs_it_or_later_is_not_pruned(host: &dyn Host) {
    let s = Subject::new(host);
    kept_for(&s, 1_000);
    let before = three_ends(&s);
    s.pass(10);
    let (place, from) = (latest(&s), s.now());
    needs(&s, "archive", place, from);
    let at_that_time = three_ends(&s);
    s.pass(10);
    let later = three_ends(&s);
    s.advance(600_000);
    assert_eq!(there(&s, &before), [], "what it has read goes as ever");
    assert_eq!(there(&s, &at_that_time), at_that_time);
    assert_eq!(later.map(|id| s.state(id)), [Completed, Dead, Cancelled]);
    needs(&s, "archive", latest(&s), from.plus_ms(10));
    s.advance(REST_MS);
    assert_eq!(there(&s, &at_that_time), []);
    assert_eq!(there(&s, &later), later);
    needs(&s, "archive", latest(&s), from.plus_ms(11));
    s.advance(REST_MS);
    assert_eq!(there(&s, &later), []);
    for id in before.iter().chain(&at_that_time).chain(&later) {
        let event = s.last_event(*id);
        assert_eq!((event.event, event.cause), (EventType::Removed, Cause::Retention));
    }
    assert_eq!(s.counts("q").0, [0; 8]);
}

fn a_job_that_a_reader_needs_is_kept_beyond_the_count_too(host: &dyn Host) {
    let s = Subject::new(host);
    let retention = Retention { completed_count: 2, ..Retention::default() };
    s.set_queue("q", QueueSettings { retention, ..QueueSettings::default() });
    s.put_many("q", 5);
    let read = s.drain("q");
    s.pass(1);
    needs(&s, "archive", latest(&s), s.now());
    s.put_many("q", 5);
    let needed = s.drain("q");
    s.advance(REST_MS);
    assert_eq!(there(&s, &read), [], "the oldest beyond the count");
    assert_eq!(there(&s, &needed), needed);
    s.wait(s.store().delete_reader("archive".into()));
    s.advance(REST_MS);
    assert_eq!(there(&s, &needed), needed[3..]);
}

fn a_reader_that_only_reads_the_log_holds_back_no_job(host: &dyn Host) {
    let s = Subject::new(host);
    kept_for(&s, 1_000);
    s.put_many("other", 1);
    s.wait(s.store().set_reader(Reader::of_log("metrics", latest(&s))));
    let ids = three_ends(&s);
    s.advance(1_001);
    assert_eq!(there(&s, &ids), []);
}

fn the_slowest_reader_decides_and_a_forgotten_one_does_not(host: &dyn Host) {
    let s = Subject::new(host);
    kept_for(&s, 1_000);
    s.put_many("other", 1);
    let place = latest(&s);
    needs(&s, "slow", place, s.now());
    needs(&s, "fast", place, s.now().plus_ms(1));
    let ids = three_ends(&s);
    s.advance(5_000);
    assert_eq!(there(&s, &ids), ids);
    s.wait(s.store().delete_reader("slow".into()));
    s.advance(REST_MS);
    assert_eq!(there(&s, &ids), []);
    // One that needs no more jobs lets go of them, and still reads the log.
    let ids = three_ends(&s);
    needs(&s, "fast", latest(&s), s.now());
    s.advance(5_000);
    assert_eq!(there(&s, &ids), ids);
    s.wait(s.store().set_reader(Reader::of_log("fast", place)));
    s.advance(REST_MS);
    assert_eq!(there(&s, &ids), []);
}

fn a_needed_job_can_be_deleted_and_retried(host: &dyn Host) {
    let s = Subject::new(host);
    kept_for(&s, 1_000);
    s.put_many("other", 1);
    needs(&s, "archive", latest(&s), s.now());
    let [completed, dead, cancelled] = three_ends(&s);
    s.advance(5_000);
    assert_eq!(s.delete(completed), Ok(()));
    assert_eq!(s.retry(dead), Ok(()));
    assert_eq!(s.retry(cancelled), Ok(()));
    assert!(matches!(s.delete(completed), Err(Rejection::NotFound { .. })));
    assert_eq!(s.drain("q").len(), 2);
}

fn a_reader_without_a_place_in_the_log_holds_back_no_job(host: &dyn Host) {
    let s = Subject::new(host);
    kept_for(&s, 1_000);
    let ids = three_ends(&s);
    needs(&s, "archive", Cursor::default(), Time::ZERO);
    s.advance(1_001);
    assert_eq!(there(&s, &ids), []);
}

fn a_reader_beyond_the_bound_of_the_log_holds_back_no_job_until_it_goes_on(host: &dyn Host) {
    let s = Subject::at_place(host.place_with_short_log());
    kept_for(&s, 1_000);
    s.put_many("other", 1);
    needs(&s, "archive", latest(&s), s.now());
    let ids = three_ends(&s);
    s.advance(5_000);
    assert_eq!(there(&s, &ids), ids);
    fill_log(&s);
    s.advance(REST_MS);
    assert_eq!(there(&s, &ids), [], "a reader that is away for good does not fill the store");
    needs(&s, "archive", latest(&s), s.now());
    let ids = three_ends(&s);
    s.advance(5_000);
    assert_eq!(there(&s, &ids), ids);
}

/// Jobs of a queue that keeps everything, each with a result as long as an event takes.
fn fill_log(s: &Subject) {
    let result = vec![b'x'; EVENT_TEXT_BYTES_MAX];
    for id in 0..SHORT_LOG_EVENTS {
        s.put(NewJob { payload: id.to_string().into_bytes(), ..s.job("filler") });
        let job = s.take("filler");
        let done = Settle::Complete { lease: job.lease, result: Some(result.clone()), then: Vec::new() };
        s.end(done).expect("its lease is current");
    }
}

fn what_a_reader_needs_is_known_after_a_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    kept_for(&s, 1_000);
    s.put_many("other", 1);
    needs(&s, "archive", latest(&s), s.now());
    let ids = three_ends(&s);
    s.restart();
    s.advance(5_000);
    assert_eq!(there(&s, &ids), ids);
    s.restart();
    needs(&s, "archive", latest(&s), s.now());
    s.advance(REST_MS);
    assert_eq!(there(&s, &ids), []);
}
