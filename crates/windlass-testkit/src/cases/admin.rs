//! The verbs of people: edit, run now, pause, lists, counts, workers, values.

use crate::host::Host;
use crate::subject::*;
use std::collections::BTreeSet;
use windlass_core::bounds;
use windlass_core::event::EventType;
use windlass_core::job::State::{
    self, Blocked, Cancelled, Completed, Dead, Ready, Retrying, Running, Scheduled,
};
use windlass_core::job::{ErrorReport, JobBody, JobDetail};
use windlass_core::name::Tag;
use windlass_core::queue::QueueSettings;
use windlass_core::store::{Edit, Filter, Hello, Settle, Signal};
use windlass_core::why::Reason;
use windlass_core::{JobId, NewJob, Rejection, WorkerId};

cases![
    an_edit_changes_what_it_names_and_nothing_else,
    an_edited_retrying_job_keeps_its_history,
    a_dead_job_is_retried_with_another_payload_and_its_whole_history restarts,
    an_edited_blocked_job_still_waits_for_its_parents,
    an_edited_time_of_a_blocked_job_counts_once_its_parents_have_ended,
    an_edit_out_of_bounds_is_refused_and_changes_nothing,
    run_now_makes_a_waiting_job_due_and_rings,
    pause_and_resume_are_in_force_at_once_and_ring,
    a_new_job_rings_the_worker_that_waits_for_its_queue_and_no_other,
    a_watch_that_begins_while_work_is_there_is_answered_at_once,
    a_lost_lease_is_told_and_its_job_rings,
    a_lease_and_a_policy_set_live_are_in_force_for_the_next_claim,
    bodies_are_read_many_at_a_time_in_the_order_asked,
    bodies_that_do_not_fit_in_one_answer_are_for_the_next,
    lists_select_exactly_by_every_part_of_a_filter,
    a_view_in_a_list_is_the_one_of_the_job_itself,
    a_page_goes_on_where_it_was_though_jobs_come_and_go,
    a_cursor_that_is_none_is_refused,
    counts_equal_a_scan,
    a_queue_tells_what_it_did,
    the_age_of_the_oldest_ready_job_is_known,
    jobs_that_failed_alike_are_one_failure_mode,
    groups_and_limits_are_listed_in_pages_by_name,
    a_page_of_a_small_queue_examines_no_job_of_another,
    workers_say_hello_and_bye_and_show_what_they_run,
    a_worker_that_crashed_is_gone_a_minute_after_its_last_word_once_its_leases_have_run_out,
    a_silent_worker_that_claims_or_says_hello_again_is_there_again,
    a_cancelled_or_retried_selection_is_answered_one_by_one,
    a_value_is_replaced_only_by_who_knows_its_version restarts,
];

fn edit(id: JobId) -> Edit {
    Edit { id, payload: None, priority: None, run_at: None }
}

fn an_edit_changes_what_it_names_and_nothing_else(host: &dyn Host) {
    let s = Subject::new(host);
    let tags = vec![Tag::new("t").unwrap()];
    let job = NewJob {
        tags,
        retry: Some(fixed(7, 7)),
        timeout_ms: Some(5),
        limits: uses(&[("l", 2)]),
        ..s.job_of("q", "g")
    };
    let id = s.put(job);
    let before = s.get(id);
    s.pass(5);
    s.edit(Edit { payload: Some(b"new".to_vec()), ..edit(id) }).unwrap();
    let mut want = before.clone();
    want.payload = b"new".to_vec();
    assert_eq!(s.get(id), want);
    s.edit(Edit { priority: Some(-9), ..edit(id) }).unwrap();
    want.view.priority = -9;
    let mut now = s.get(id);
    now.view.since = want.view.since;
    assert_eq!(now, want);
    let due = s.now().plus_ms(500);
    s.edit(Edit { run_at: Some(due), ..edit(id) }).unwrap();
    assert_eq!((s.state(id), s.get(id).view.since), (Scheduled, due));
    s.edit(Edit { run_at: Some(due.plus_ms(500)), ..edit(id) }).unwrap();
    s.advance(500);
    assert_eq!(s.state(id), Scheduled, "the old time is forgotten");
    s.advance(500);
    let held = s.take("q");
    assert_eq!((held.payload.as_slice(), held.priority, held.timeout_ms), (&b"new"[..], -9, Some(5)));
    assert_eq!(s.limit_info("l").in_use, 2);
}

fn an_edited_retrying_job_keeps_its_history(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    s.fail(&s.take("q"));
    let due = s.now().plus_ms(77);
    s.edit(Edit { payload: Some(b"new".to_vec()), run_at: Some(due), ..edit(id) }).unwrap();
    let job = s.get(id);
    assert_eq!(
        (job.view.state, job.view.since, job.view.failures, job.attempts.len()),
        (Retrying, due, 1, 1)
    );
    s.advance(77);
    let held = s.take("q");
    assert_eq!((held.lease.attempt, held.failures, held.payload.as_slice()), (2, 1, &b"new"[..]));
}

fn a_dead_job_is_retried_with_another_payload_and_its_whole_history(host: &dyn Host) {
    let mut s = Subject::new(host);
    let id = s.put(s.job("q"));
    s.kill(&s.take("q"));
    let dead = s.get(id);
    s.edit(Edit { payload: Some(b"new".to_vec()), ..edit(id) }).unwrap();
    let edited = s.get(id);
    assert_eq!(edited, JobDetail { payload: b"new".to_vec(), ..dead.clone() }, "it is as dead as before");
    assert_eq!(s.claim("q", 1).len(), 0);
    s.restart();
    assert_eq!(s.get(id), edited);
    s.retry(id).unwrap();
    let held = s.take("q");
    assert_eq!((held.lease.job, held.lease.attempt, held.payload.as_slice()), (id, 2, &b"new"[..]));
    s.complete(&held);
    let done = s.get(id);
    assert_eq!((done.view.state, done.attempts.len()), (Completed, 2));
    assert_eq!(done.attempts[0], dead.attempts[0], "the first attempt and its error are still told");
}

fn an_edited_blocked_job_still_waits_for_its_parents(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let id = s.put(NewJob { parents: after(&[parent]), ..s.job("q") });
    s.edit(Edit { payload: Some(b"new".to_vec()), priority: Some(3), ..edit(id) }).unwrap();
    assert_eq!(s.state(id), Blocked);
    s.complete(&s.take("parents"));
    let held = s.take("q");
    assert_eq!((held.lease.job, held.payload.as_slice(), held.priority), (id, &b"new"[..], 3));
}

fn an_edited_time_of_a_blocked_job_counts_once_its_parents_have_ended(host: &dyn Host) {
    let s = Subject::new(host);
    let parent = s.put(s.job("parents"));
    let id = s.put(NewJob { parents: after(&[parent]), ..s.job("q") });
    let due = s.now().plus_ms(5_000);
    s.edit(Edit { run_at: Some(due), ..edit(id) }).unwrap();
    s.complete(&s.take("parents"));
    assert_eq!((s.state(id), s.get(id).view.since), (Scheduled, due));
}

fn an_edit_out_of_bounds_is_refused_and_changes_nothing(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let before = s.get(id);
    for bad in [
        Edit { payload: Some(vec![0; bounds::PAYLOAD_BYTES_MAX + 1]), ..edit(id) },
        Edit { priority: Some(10), payload: Some(b"new".to_vec()), ..edit(id) },
        Edit { run_at: Some(s.now().plus_ms(bounds::DELAY_MS_MAX + 1)), ..edit(id) },
    ] {
        let answer = s.edit(bad);
        assert!(matches!(answer, Err(Rejection::Invalid { .. })), "{answer:?}");
    }
    assert_eq!(s.get(id), before);
}

fn run_now_makes_a_waiting_job_due_and_rings(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = [s.put(NewJob { delay_ms: Some(60_000), ..s.job("q") }), s.put(s.job("q"))];
    s.fail(&s.take("q"));
    let mut waiting = s.watch(WorkerId(3), "q", 1);
    assert!(!waiting.has_answered());
    assert_eq!(s.wait(s.store().run_now(ids.to_vec(), s.at())), vec![Ok(()), Ok(())]);
    assert_eq!(waiting.answer(), Signal::Work);
    assert_eq!(s.drain("q"), ids);
    s.advance(3_600_000);
    for id in ids {
        let promoted = s.story(id).into_iter().filter(|event| *event == EventType::Promoted).count();
        assert_eq!((s.state(id), promoted), (Completed, 1), "the old time is forgotten");
    }
}

fn pause_and_resume_are_in_force_at_once_and_ring(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 2);
    s.pause("q", true);
    assert!(s.queue_info("q").settings.paused);
    let mut waiting = s.watch(WorkerId(3), "q", 1);
    assert!(!waiting.has_answered());
    s.put(s.job("q"));
    assert!(!waiting.has_answered(), "a paused queue rings nobody");
    s.pause("q", false);
    assert_eq!(waiting.answer(), Signal::Work);
    assert_eq!(s.claim("q", 9).len(), 3);
    s.pause("never-seen", true);
    s.put(s.job("never-seen"));
    assert!(s.claim("never-seen", 1).is_empty(), "a queue can be paused before its first job");
}

fn a_new_job_rings_the_worker_that_waits_for_its_queue_and_no_other(host: &dyn Host) {
    let s = Subject::new(host);
    let mut here = s.watch(WorkerId(1), "q", 1);
    let mut there = s.watch(WorkerId(2), "other", 1);
    assert!(!here.has_answered() && !there.has_answered());
    s.put(s.job("q"));
    assert_eq!(here.answer(), Signal::Work);
    assert!(!there.has_answered());
    s.put(NewJob { delay_ms: Some(100), ..s.job("other") });
    assert!(!there.has_answered(), "not before it is due");
    s.advance(100);
    assert_eq!(there.answer(), Signal::Work);
}

fn a_watch_that_begins_while_work_is_there_is_answered_at_once(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    assert_eq!(s.watch(WORKER, "q", 1).answer(), Signal::Work);
}

fn a_lost_lease_is_told_and_its_job_rings(host: &dyn Host) {
    let s = Subject::new(host);
    let id = s.put(s.job("q"));
    let held = s.take("q");
    let mut other = s.watch(WorkerId(1), "q", 1);
    assert!(!other.has_answered());
    s.advance(30_001);
    s.advance(3_600_000);
    assert_eq!(other.answer(), Signal::Work);
    assert_eq!(s.state(id), Ready);
    let Signal::Cancel(lease) = s.watch(WORKER, "q", 0).answer() else { panic!("its holder is told") };
    assert_eq!(lease.token, held.lease.token);
}

fn a_lease_and_a_policy_set_live_are_in_force_for_the_next_claim(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 2);
    let first = s.take("q");
    s.set_queue("q", QueueSettings { lease_ms: 5_000, ..QueueSettings::default() });
    let second = s.take("q");
    assert_eq!((first.lease_ms, second.lease_ms), (30_000, 5_000));
    s.advance(5_001);
    assert!(s.beat(&first.lease).is_ok());
    assert!(s.beat(&second.lease).is_err());
}

/// Jobs of every state in two queues, with groups, kinds, tags and errors.
fn filled(s: &Subject) -> Vec<JobId> {
    let mut ids = Vec::new();
    let parent = s.put(s.job("parents"));
    ids.push(parent);
    for (n, name) in ["a", "b"].into_iter().enumerate() {
        for i in 0..30u64 {
            s.pass(1);
            let job = NewJob {
                kind: kind(["mail", "sms", "call"][(i % 3) as usize]),
                group: (i % 4 > 0).then(|| group(&format!("g{}", i % 4))),
                tags: (i % 5 == 0).then(|| Tag::new("fifth").unwrap()).into_iter().collect(),
                payload: format!("payload {n} {i}").into_bytes(),
                ..s.job(name)
            };
            ids.push(match i % 7 {
                5 => s.put(NewJob { delay_ms: Some(1_000_000), ..job }),
                6 => s.put(NewJob { parents: after(&[parent]), ..job }),
                _ => s.put(job),
            });
        }
        for (i, held) in s.claim(name, 16).iter().enumerate() {
            match i % 5 {
                0 => s.complete(held),
                1 => {
                    let error = ErrorReport { detail: Some("deep".into()), ..error("connection refused") };
                    s.end(Settle::Fail {
                        lease: held.lease,
                        error,
                        retry_in_ms: Some(500_000),
                        fatal: false,
                    })
                    .unwrap();
                }
                2 => s.kill(held),
                3 => {
                    s.cancel(held.lease.job).unwrap();
                    s.fail(held);
                }
                _ => {}
            }
        }
    }
    ids
}

fn bodies_are_read_many_at_a_time_in_the_order_asked(host: &dyn Host) {
    let s = Subject::new(host);
    let tags = vec![Tag::new("a").expect("a tag"), Tag::new("b:c").expect("a tag")];
    let trace = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let full = NewJob {
        payload: vec![0, 159, 146, 150],
        priority: -3,
        tags: tags.clone(),
        trace: trace.clone(),
        ..s.job("q")
    };
    let full = s.put(full);
    let empty = s.put(NewJob { payload: Vec::new(), ..s.job_of("q", "g") });
    let edited = s.put(s.job("q"));
    let edit = Edit { id: edited, payload: Some(b"new".to_vec()), priority: Some(9), run_at: None };
    s.edit(edit).expect("it waits");
    let ended = s.put(s.job("other"));
    s.complete(&s.take("other"));
    let gone = s.put(s.job("other"));
    s.delete(gone).expect("it is not running");
    let body = |payload: &[u8], priority| JobBody {
        payload: payload.to_vec(),
        priority,
        tags: Vec::new(),
        trace: None,
    };
    let want = [
        Some(body(&s.get(ended).payload, 0)),
        None,
        Some(JobBody { tags, trace, ..body(&[0, 159, 146, 150], -3) }),
        None,
        Some(body(b"", 0)),
        Some(body(b"new", 9)),
        Some(body(b"", 0)),
    ];
    let asked = vec![ended, gone, full, s.id(), empty, edited, empty];
    assert_eq!(s.wait(s.store().bodies(asked)), want);
    assert_eq!(s.wait(s.store().bodies(Vec::new())), []);
}

fn bodies_that_do_not_fit_in_one_answer_are_for_the_next(host: &dyn Host) {
    let s = Subject::new(host);
    let large = |n: u8| NewJob { payload: vec![n; bounds::PAYLOAD_BYTES_MAX], ..s.job("q") };
    let count = bounds::BODIES_BYTES_MAX / bounds::PAYLOAD_BYTES_MAX + 3;
    let ids = s.put_all((0..count).map(|n| large(n as u8)).collect());
    let (mut read, mut answers) = (Vec::new(), 0);
    while read.len() < ids.len() {
        let answer = s.wait(s.store().bodies(ids[read.len()..].to_vec()));
        assert!(!answer.is_empty(), "one at least");
        let bytes: usize = answer.iter().flatten().map(|body| body.payload.len()).sum();
        assert!(bytes <= bounds::BODIES_BYTES_MAX, "{bytes} bytes");
        read.extend(answer);
        answers += 1;
    }
    assert!(answers > 1);
    let firsts: Vec<usize> = read.iter().flatten().map(|body| usize::from(body.payload[0])).collect();
    assert_eq!(firsts, (0..count).collect::<Vec<_>>());
    let known = s.put_many("small", bounds::BATCH_ITEMS_MAX);
    let asked: Vec<JobId> = known.iter().chain(&ids[..1]).copied().collect();
    assert_eq!(s.wait(s.store().bodies(asked)).len(), bounds::BATCH_ITEMS_MAX);
}

fn lists_select_exactly_by_every_part_of_a_filter(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = filled(&s);
    let all: Vec<_> = ids.iter().map(|id| s.get(*id)).collect();
    let fatal_print = error("fatal").fingerprint;
    let middle = all[30].view.enqueued_at;
    let mut filters = vec![
        Filter::default(),
        Filter { queue: Some(queue("a")), ..Filter::default() },
        Filter { queue: Some(queue("unknown")), ..Filter::default() },
        Filter { group: Some(group("g1")), ..Filter::default() },
        Filter { queue: Some(queue("b")), group: Some(group("g2")), ..Filter::default() },
        Filter { kind: Some(kind("sms")), ..Filter::default() },
        Filter { kind: Some(kind("unknown")), ..Filter::default() },
        Filter { fingerprint: Some(fatal_print), ..Filter::default() },
        Filter { tag: Some(Tag::new("fifth").unwrap()), ..Filter::default() },
        Filter { after: Some(middle), ..Filter::default() },
        Filter { before: Some(middle), queue: Some(queue("a")), ..Filter::default() },
        Filter { error_contains: Some("refused".into()), ..Filter::default() },
        Filter { payload_contains: Some("payload 1 2".into()), ..Filter::default() },
        Filter { ids: vec![ids[3], ids[9], s.id()], ..Filter::default() },
        Filter { ids: ids[..20].to_vec(), states: vec![Ready], ..Filter::default() },
    ];
    for state in State::ALL {
        filters.push(Filter { states: vec![state], ..Filter::default() });
        filters.push(Filter { states: vec![state], queue: Some(queue("a")), ..Filter::default() });
    }
    filters.push(Filter {
        states: vec![Dead, Completed, Cancelled],
        queue: Some(queue("b")),
        ..Filter::default()
    });
    for filter in filters {
        let want: BTreeSet<JobId> = all
            .iter()
            .filter(|job| {
                let view = &job.view;
                (filter.ids.is_empty() || filter.ids.contains(&view.id))
                    && filter.queue.as_ref().is_none_or(|q| *q == view.queue)
                    && (filter.states.is_empty() || filter.states.contains(&view.state))
                    && filter.group.as_ref().is_none_or(|g| view.group.as_ref() == Some(g))
                    && filter.kind.as_ref().is_none_or(|k| *k == view.kind)
                    && (filter.fingerprint.is_none() || view.fingerprint == filter.fingerprint)
                    && filter.tag.as_ref().is_none_or(|t| view.tags.contains(t))
                    && filter.after.is_none_or(|at| view.enqueued_at >= at)
                    && filter.before.is_none_or(|at| view.enqueued_at < at)
                    && filter.error_contains.as_ref().is_none_or(|text| {
                        view.last_error.as_ref().is_some_and(|error| error.contains(text.as_str()))
                    })
                    && filter
                        .payload_contains
                        .as_ref()
                        .is_none_or(|text| String::from_utf8_lossy(&job.payload).contains(text.as_str()))
            })
            .map(|job| job.view.id)
            .collect();
        for (limit, budget) in [(1, 1), (3, 1_000), (1_000, 7), (1_000, 10_000)] {
            let (mut got, mut cursor) = (Vec::new(), None);
            loop {
                let page = s.wait(s.store().list(filter.clone(), cursor, limit, budget)).expect("a page");
                assert!(page.items.len() <= limit && page.items.len() <= page.examined.max(1), "{filter:?}");
                if filter.ids.is_empty() {
                    assert!(page.examined <= budget, "{} of {budget} for {filter:?}", page.examined);
                }
                got.extend(page.items.iter().map(|view| view.id));
                match page.next {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            assert_eq!(got.len(), want.len(), "no job twice: {filter:?} by {limit}, {budget}");
            assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), want, "{filter:?} by {limit}, {budget}");
        }
    }
}

fn a_view_in_a_list_is_the_one_of_the_job_itself(host: &dyn Host) {
    let s = Subject::new(host);
    filled(&s);
    let page = s.wait(s.store().list(Filter::default(), None, 1_000, 10_000)).expect("a page");
    for view in page.items {
        assert_eq!(s.get(view.id).view, view);
    }
}

fn a_page_goes_on_where_it_was_though_jobs_come_and_go(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 40);
    s.drain("q");
    let filter = Filter { queue: Some(queue("q")), states: vec![Completed], ..Filter::default() };
    let (mut got, mut cursor, mut round) = (Vec::new(), None, 0);
    loop {
        let page = s.wait(s.store().list(filter.clone(), cursor, 5, 100)).expect("a page");
        got.extend(page.items.iter().map(|view| view.id));
        let Some(next) = page.next else { break };
        cursor = Some(next);
        // One that was shown goes, and a new one comes.
        s.delete(got[round]).unwrap();
        s.put(s.job("q"));
        s.drain("q");
        round += 1;
    }
    let unique: BTreeSet<JobId> = got.iter().copied().collect();
    assert_eq!(unique.len(), got.len(), "none twice");
    assert!(ids.iter().all(|id| unique.contains(id)), "none of those that stayed is left out");
}

fn a_cursor_that_is_none_is_refused(host: &dyn Host) {
    let s = Subject::new(host);
    s.put(s.job("q"));
    let answer = s.wait(s.store().list(Filter::default(), Some("not a cursor".into()), 10, 10));
    assert_eq!(answer.map(|page| page.items.len()), Err(Rejection::BadCursor));
}

fn counts_equal_a_scan(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = filled(&s);
    for name in ["a", "b", "parents"] {
        let counts = s.counts(name);
        for state in State::ALL {
            let scanned =
                s.list(&Filter { queue: Some(queue(name)), states: vec![state], ..Filter::default() });
            assert_eq!(counts.of(state), scanned.len() as u64, "{name} {state}");
        }
        let mut sum = windlass_core::store::Counts::default();
        let groups = s.wait(s.store().groups(queue(name), None, 1_000)).items;
        for info in &groups {
            for state in State::ALL {
                sum.0[state as usize] += info.counts.of(state);
            }
        }
        assert_eq!(sum, counts, "the groups of {name} together");
    }
    assert_eq!(s.wait(s.store().info()).jobs, ids.len() as u64);
}

fn a_queue_tells_what_it_did(host: &dyn Host) {
    let s = Subject::new(host);
    let ids = s.put_many("q", 8);
    s.advance(40);
    let held = s.claim("q", 6);
    s.advance(25);
    s.complete(&held[0]);
    s.fail(&held[1]);
    s.kill(&held[2]);
    s.snooze(&held[3], 1_000);
    s.release(&held[4]);
    s.advance(30_000);
    s.cancel(ids[7]).unwrap();
    let info = s.queue_info("q");
    let t = info.totals;
    assert_eq!((t.enqueued, t.claimed, t.completed, t.failed, t.died), (8, 6, 1, 2, 1));
    assert_eq!((t.lost, t.snoozed, t.released, t.no_handler, t.cancelled), (1, 1, 1, 0, 1));
    assert_eq!((info.wait_ms.count(), info.run_ms.count()), (6, 6));
    assert!((38..=42).contains(&info.wait_ms.max()), "{}", info.wait_ms.max());
    assert_eq!(info.completed_last_minute, 1);
    let series = s.wait(s.store().series(queue("q"), s.at())).expect("known");
    let sums = |all: &[windlass_core::store::Series]| -> Vec<u64> {
        all.iter().map(|series| series.points.iter().map(|(_, n)| n).sum()).collect()
    };
    assert_eq!(sums(&series.enqueued), [8, 8, 8]);
    assert_eq!(sums(&series.completed), [1, 1, 1]);
    assert_eq!(sums(&series.failed), [2, 2, 2]);
}

fn the_age_of_the_oldest_ready_job_is_known(host: &dyn Host) {
    let s = Subject::new(host);
    assert!(s.wait(s.store().queues(None, s.at())).is_empty());
    let first = s.now();
    let ids = s.put_many("q", 2);
    s.advance(100);
    let second = s.now();
    let late = s.put(s.job_of("q", "g"));
    assert_eq!(s.queue_info("q").oldest_ready, Some(first));
    s.cancel(ids[0]).unwrap();
    s.delete(ids[1]).unwrap();
    assert_eq!(s.queue_info("q").oldest_ready, Some(second));
    s.take("q");
    assert_eq!(s.queue_info("q").oldest_ready, None);
    assert_eq!(s.state(late), Running);
}

fn jobs_that_failed_alike_are_one_failure_mode(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("q", 6);
    s.put_many("other", 1);
    for (i, held) in s.claim("q", 6).iter().enumerate() {
        let error = error(if i < 4 { "timeout after 31 ms" } else { "no such address" });
        s.end(Settle::Fail { lease: held.lease, error, retry_in_ms: None, fatal: i != 0 }).unwrap();
    }
    s.kill(&s.take("other"));
    let modes = s.wait(s.store().errors(Some(queue("q")), 10));
    let told: Vec<(u64, u64)> = modes.iter().map(|mode| (mode.dead, mode.failures)).collect();
    assert_eq!(told, [(3, 4), (2, 2)], "most dead first");
    assert_eq!(modes[0].fingerprint, error("timeout after 31 ms").fingerprint);
    assert_eq!((modes[0].first_seen, modes[0].last_seen, &modes[0].kind), (s.now(), s.now(), &kind("kind")));
    assert_eq!(s.wait(s.store().errors(None, 10)).len(), 3);
    assert_eq!(s.wait(s.store().errors(None, 1)).len(), 1);
    let filter = Filter { fingerprint: Some(modes[0].fingerprint), states: vec![Dead], ..Filter::default() };
    let dead = s.list(&filter);
    assert_eq!(dead.len(), 3);
    s.wait(s.store().retry(dead, s.at()));
    assert_eq!(s.wait(s.store().errors(Some(queue("q")), 10)).iter().map(|m| m.dead).max(), Some(2));
}

fn groups_and_limits_are_listed_in_pages_by_name(host: &dyn Host) {
    let s = Subject::new(host);
    for i in 0..25 {
        let limits = format!("l{i:02}");
        s.put(NewJob { limits: uses(&[(&limits, 1)]), ..s.job_of("q", &format!("g{i:02}")) });
    }
    s.set_group("q", "g03", weight(7));
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let page = s.wait(s.store().groups(queue("q"), after, 10));
        for info in &page.items {
            assert_eq!(info.counts.of(Ready), 1);
            assert_eq!(info.own_settings, info.key == Some(group("g03")));
        }
        keys.extend(page.items.iter().map(|info| info.key.clone().expect("a key").to_string()));
        match page.next {
            Some(_) => after = page.items.last().and_then(|info| info.key.clone()),
            None => break,
        }
    }
    assert_eq!(keys, (0..25).map(|i| format!("g{i:02}")).collect::<Vec<_>>());
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = s.wait(s.store().limits(after, 10));
        names.extend(page.items.iter().map(|info| info.name.to_string()));
        match page.next {
            Some(_) => after = page.items.last().map(|info| info.name.clone()),
            None => break,
        }
    }
    assert_eq!(names, (0..25).map(|i| format!("l{i:02}")).collect::<Vec<_>>());
}

fn a_page_of_a_small_queue_examines_no_job_of_another(host: &dyn Host) {
    let s = Subject::new(host);
    s.put_many("crowd", 1_000);
    // One that waits, is held, comes later, has failed, is done, is dead and is cancelled.
    let small: Vec<JobId> = (0..7).map(|_| s.put(s.job("small"))).collect();
    s.put_many("crowd", 1_000);
    s.call_off(small[6]);
    s.kill(&s.take("small"));
    s.complete(&s.take("small"));
    s.fail(&s.take("small"));
    s.snooze(&s.take("small"), 60_000);
    s.take("small");
    for states in [vec![], vec![Ready], vec![Ready, Running, Scheduled, Retrying], vec![Dead]] {
        let filter = Filter { queue: Some(queue("small")), states: states.clone(), ..Filter::default() };
        // Fewer than there are of the other queue.
        let page = s.wait(s.store().list(filter, None, 50, 1_000)).unwrap();
        let wanted = |id: &&JobId| states.is_empty() || states.contains(&s.state(**id));
        let told: BTreeSet<JobId> = page.items.iter().map(|view| view.id).collect();
        assert_eq!(told, small.iter().filter(wanted).copied().collect(), "{states:?}");
        assert!(page.examined <= small.len(), "{} examined for {states:?}", page.examined);
        assert_eq!(page.next, None, "{states:?}");
    }
}

fn workers_say_hello_and_bye_and_show_what_they_run(host: &dyn Host) {
    let s = Subject::new(host);
    let hello = |n: u64| Hello {
        worker: WorkerId(n),
        host: format!("host-{n}"),
        version: "1.2.3".into(),
        queues: vec![(queue("q"), 4)],
    };
    s.wait(s.store().hello(hello(1), s.at()));
    s.wait(s.store().hello(hello(2), s.at()));
    s.put_many("q", 3);
    let held = s.ask(WorkerId(1), vec![], &[("q", 2)]).jobs;
    let workers = s.wait(s.store().workers(s.at()));
    let told: Vec<_> = workers.iter().map(|w| (w.hello.clone(), w.running)).collect();
    assert_eq!(told, [(hello(1), 2), (hello(2), 0)]);
    s.wait(s.store().bye(WorkerId(1), s.at()));
    assert_eq!(s.wait(s.store().workers(s.at())).len(), 1);
    assert!(s.beat(&held[0].lease).is_ok(), "its leases stay until they are settled or run out");
    s.complete(&held[0]);
    s.advance(30_001);
    assert_ne!(s.state(held[1].lease.job), Running);
}

/// The workers that are there, by the number of their id.
fn there(s: &Subject) -> Vec<u64> {
    s.wait(s.store().workers(s.at())).iter().map(|worker| worker.hello.worker.0).collect()
}

fn of_queue(n: u64) -> Hello {
    Hello {
        worker: WorkerId(n),
        host: "here".into(),
        version: "1".into(),
        queues: vec![(queue("q"), 4), (queue("long"), 4)],
    }
}

fn a_worker_that_crashed_is_gone_a_minute_after_its_last_word_once_its_leases_have_run_out(host: &dyn Host) {
    let s = Subject::new(host);
    let lease_ms = 2 * bounds::WORKER_SILENT_MS;
    s.set_queue("long", QueueSettings { lease_ms, ..QueueSettings::default() });
    s.wait(s.store().hello(of_queue(1), s.at()));
    s.wait(s.store().hello(of_queue(2), s.at()));
    s.put(s.job("long"));
    let waiting = s.put(s.job("q"));
    let held = s.ask(WorkerId(2), vec![], &[("long", 1)]).jobs;
    s.advance(bounds::WORKER_SILENT_MS);
    assert_eq!(there(&s), [1, 2]);
    assert_eq!(s.reason(waiting), Reason::FairShare);
    s.advance(1);
    assert_eq!(there(&s), [2], "what holds a lease is shown until that has run out");
    assert_eq!(s.reason(waiting), Reason::FairShare);
    assert!(s.beat(&held[0].lease).is_ok());
    s.advance(lease_ms - 1);
    assert_eq!(there(&s), [2], "a heartbeat is a word");
    s.advance(2);
    assert_eq!(there(&s), [] as [u64; 0]);
    assert_eq!(s.reason(waiting), Reason::NoWorker);
}

fn a_silent_worker_that_claims_or_says_hello_again_is_there_again(host: &dyn Host) {
    let s = Subject::new(host);
    s.wait(s.store().hello(of_queue(1), s.at()));
    s.wait(s.store().hello(of_queue(2), s.at()));
    s.advance(bounds::WORKER_SILENT_MS + 1);
    assert_eq!(there(&s), [] as [u64; 0]);
    s.ask(WorkerId(1), vec![], &[("q", 1)]);
    assert_eq!(there(&s), [1]);
    s.wait(s.store().hello(of_queue(2), s.at()));
    assert_eq!(there(&s), [1, 2]);
}

fn a_value_is_replaced_only_by_who_knows_its_version(host: &dyn Host) {
    let mut s = Subject::new(host);
    let get = |s: &Subject, key: &str| s.wait(s.store().meta(key.into()));
    let set = |s: &Subject, key: &str, value: &[u8], version| {
        s.wait(s.store().set_meta(key.into(), value.to_vec(), version))
    };
    assert_eq!(get(&s, "k"), (vec![], 0));
    let first = set(&s, "k", b"one", 0).expect("there is none");
    assert!(first > 0);
    assert_eq!(set(&s, "k", b"two", 0), Err(Rejection::VersionConflict { given: 0, current: first }));
    assert_eq!(get(&s, "k"), (b"one".to_vec(), first));
    let second = set(&s, "k", b"two", first).expect("current");
    assert!(second > first);
    assert!(set(&s, "k", b"three", first).is_err());
    assert!(set(&s, "other", b"x", second).is_err());
    s.restart();
    assert_eq!(get(&s, "k"), (b"two".to_vec(), second));
    assert!(set(&s, "k", &vec![0; bounds::META_BYTES_MAX + 1], second).is_err());
    assert!(set(&s, "k", b"four", second).is_ok());
}

fn a_cancelled_or_retried_selection_is_answered_one_by_one(host: &dyn Host) {
    let s = Subject::new(host);
    filled(&s);
    let live: Vec<JobId> = s.list(&Filter {
        queue: Some(queue("a")),
        states: vec![Ready, Scheduled, Retrying, Blocked, Running],
        ..Filter::default()
    });
    let answers = s.wait(s.store().cancel(live.clone(), s.at()));
    assert!(answers.iter().all(Result::is_ok));
    s.advance(bounds::CANCEL_GRACE_MS + 1);
    assert!(live.iter().all(|id| s.state(*id) == Cancelled));
}
