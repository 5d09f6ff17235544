//! Jobs of one batch that wait for each other: in which order they come in.

use crate::job::{JobId, NewJob, Parent};
use std::collections::{HashMap, HashSet};

/// The order in which parents of the same batch come before their children; none if they form a
/// cycle.
pub fn parents_first(jobs: &[NewJob]) -> Option<Vec<usize>> {
    let (order, left) = sort(jobs);
    left.is_empty().then_some(order)
}

/// The jobs of a batch that wait for themselves through their parents, or for such a job.
pub fn cycle_members(jobs: &[NewJob]) -> HashSet<JobId> {
    sort(jobs).1.into_iter().map(|i| jobs[i].id).collect()
}

/// The order in which parents of a batch come before their children, and what a cycle leaves over (Kahn's algorithm).
pub fn sort(jobs: &[NewJob]) -> (Vec<usize>, Vec<usize>) {
    if jobs.iter().all(|job| job.parents.is_empty()) {
        return ((0..jobs.len()).collect(), Vec::new());
    }
    let place: HashMap<JobId, usize> = jobs.iter().enumerate().map(|(i, job)| (job.id, i)).collect();
    let inside = |parent: &Parent| place.get(&parent.id).copied();
    let mut waits: Vec<usize> =
        jobs.iter().map(|job| job.parents.iter().filter_map(inside).count()).collect();
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); jobs.len()];
    for (i, job) in jobs.iter().enumerate() {
        for parent in job.parents.iter().filter_map(inside) {
            children[parent].push(i);
        }
    }
    let mut order: Vec<usize> = (0..jobs.len()).filter(|i| waits[*i] == 0).collect();
    let mut done = 0;
    while done < order.len() {
        for child in &children[order[done]] {
            waits[*child] -= 1;
            if waits[*child] == 0 {
                order.push(*child);
            }
        }
        done += 1;
    }
    let left = (0..jobs.len()).filter(|i| waits[*i] > 0).collect();
    (order, left)
}
