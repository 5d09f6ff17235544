//! The end of a process that owns a store and the workers inside it. A store that lives elsewhere outlives them.

use crate::host::{End, Host};
use crate::subject::*;
use windlass_core::Rejection;
use windlass_core::WorkerId;
use windlass_core::event::{Cause, EventType};
use windlass_core::job::State::{Cancelled, Dead, Ready, Retrying, Running};

cases![
    leases_of_workers_that_lived_in_the_process_end_at_its_restart restarts,
    a_job_that_ends_its_process_each_time_becomes_a_dead_letter restarts,
    a_worker_of_before_is_not_shown_after_a_restart_as_if_it_held_jobs restarts,
];

fn leases_of_workers_that_lived_in_the_process_end_at_its_restart(host: &dyn Host) {
    let mut s = Subject::new(host);
    let ids = s.put_many("q", 3);
    let held = s.claim("q", 3);
    s.cancel(ids[2]).unwrap();
    s.reopen(End::WithWorkers);
    for (id, job) in ids.iter().zip(&held) {
        assert_ne!(s.state(*id), Running);
        assert_eq!(s.beat(&job.lease), Err(Rejection::Stale));
        assert_eq!(s.end(complete(&job.lease)), Err(Rejection::Stale));
    }
    let view = s.get(ids[0]).view;
    assert_eq!((view.failures, view.attempt), (0, 1));
    let lost = s.events().into_iter().find(|event| event.job == ids[0] && event.event == EventType::Lost);
    assert_eq!(lost.map(|event| event.cause), Some(Cause::Restart));
    assert_eq!(s.state(ids[2]), Cancelled, "asked to stop, it is not tried again");
    s.advance(3_600_000);
    let mut again = s.claim_ids("q", 9);
    again.sort();
    assert_eq!(again, ids[..2]);
}

fn a_job_that_ends_its_process_each_time_becomes_a_dead_letter(host: &dyn Host) {
    let mut s = Subject::new(host);
    let id = s.put(s.job("q"));
    for _ in 0..3 {
        assert_eq!(s.claim_ids("q", 1), [id]);
        s.reopen(End::WithWorkers);
        s.advance(3_600_000);
    }
    assert_eq!((s.state(id), s.get(id).view.cause), (Dead, Some(Cause::Lost)));
}

fn a_worker_of_before_is_not_shown_after_a_restart_as_if_it_held_jobs(host: &dyn Host) {
    let mut s = Subject::new(host);
    s.put(s.job("q"));
    let held = s.ask(WorkerId(4), vec![], &[("q", 1)]).jobs;
    s.reopen(End::WithWorkers);
    assert!(s.wait(s.store().workers(s.at())).iter().all(|worker| worker.running == 0));
    assert!(matches!(s.state(held[0].lease.job), Ready | Retrying));
}
