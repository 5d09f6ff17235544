//! Section 7 of `docs/contract.md`, where the engine promises more than every store does: what a page of a list costs.
#![allow(clippy::unwrap_used, reason = "an answer that is not there is a failed test")]
#![allow(clippy::disallowed_methods, reason = "tests reach directories as users do")]

#[path = "../place/mod.rs"]
mod place;

use crate::place::Spot;
use windlass_core::bounds::LIST_BUDGET_DEFAULT;
use windlass_core::job::JobView;
use windlass_core::job::State::{Completed, Dead, Ready};
use windlass_core::store::{Filter, Page};
use windlass_core::{JobId, NewJob, State};
use windlass_testkit::Subject;
use windlass_testkit::subject::*;

/// As many jobs of others stand before those of the small queue and behind them, and one between every two.
const CROWD: usize = 30_000;
const FEW: usize = 40;

fn page(s: &Subject, filter: &Filter, cursor: Option<String>, limit: usize) -> Page<JobView> {
    s.wait(s.store().list(filter.clone(), cursor, limit, LIST_BUDGET_DEFAULT)).unwrap()
}

fn of_queue(name: &str, states: &[State]) -> Filter {
    Filter { queue: Some(queue(name)), states: states.to_vec(), ..Filter::default() }
}

fn ids(page: &Page<JobView>) -> Vec<JobId> {
    page.items.iter().map(|view| view.id).collect()
}

fn fill(s: &Subject) -> Vec<JobId> {
    let crowd = |count: usize| {
        for _ in 0..count / 1_000 {
            s.put_many("crowd", 1_000);
        }
    };
    crowd(CROWD);
    let mixed: Vec<NewJob> = (0..FEW).flat_map(|_| [s.job("small"), s.job("crowd")]).collect();
    let small = s.put_all(mixed).into_iter().step_by(2).collect();
    crowd(CROWD);
    small
}

#[test]
fn a_page_of_a_small_queue_examines_its_own_jobs_alone_however_many_others_there_are() {
    let mut s = Spot::directory().subject();
    let small = fill(&s);
    for turn in ["as it was filled", "after a restart"] {
        let all = page(&s, &of_queue("small", &[]), None, 100);
        assert_eq!((ids(&all), all.examined, all.next), (small.clone(), FEW, None), "{turn}");
        let ready = page(&s, &of_queue("small", &[Ready]), None, 100);
        assert_eq!((ready.items.len(), ready.examined, ready.next), (FEW, FEW, None), "{turn}");
        s.restart();
    }
    // Pages are what they were: each goes on where the one before ended.
    let (mut told, mut cursor) = (Vec::new(), None);
    loop {
        let next = page(&s, &of_queue("small", &[]), cursor, 7);
        assert!(next.examined <= 7, "{}", next.examined);
        told.extend(ids(&next));
        cursor = next.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(told, small);
    assert_eq!(page(&s, &of_queue("crowd", &[]), None, 50).examined, 50);
}

#[test]
fn a_page_by_state_examines_the_jobs_of_that_state_and_forgets_those_that_are_gone() {
    let s = Spot::directory().subject();
    let small = fill(&s);
    for _ in 0..10 {
        s.kill(&s.take("crowd"));
    }
    s.kill(&s.take("small"));
    s.complete(&s.take("small"));
    for (states, left) in [(&[Dead][..], 1), (&[Completed], 1), (&[Dead, Completed], 2), (&[Ready], FEW - 2)]
    {
        let told = page(&s, &of_queue("small", states), None, 100);
        assert_eq!((told.items.len(), told.examined, told.next), (left, left, None), "{states:?}");
    }
    for id in &small[2..] {
        s.call_off(*id);
        s.delete(*id).unwrap();
    }
    let told = page(&s, &of_queue("small", &[]), None, 100);
    assert_eq!((told.items.len(), told.examined, told.next), (2, 2, None));
    let others = page(&s, &of_queue("crowd", &[Dead]), None, 100);
    assert_eq!((others.items.len(), others.examined), (10, 10));
}

#[test]
fn a_page_passes_over_no_more_than_its_share_of_others_and_says_where_to_go_on() {
    let s = Spot::memory().subject();
    let small = fill(&s);
    let (mut told, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let next = s.wait(s.store().list(of_queue("small", &[]), cursor, 100, 1)).unwrap();
        assert!(next.examined <= 1);
        told.extend(ids(&next));
        (cursor, pages) = (next.next, pages + 1);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(told, small);
    // The chunks that the small queue shares are passed over sixteen jobs at a time; the others are not looked at.
    assert!((FEW..1_000).contains(&pages), "{pages}");
}
