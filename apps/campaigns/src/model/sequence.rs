//! Which step of one version of a sequence is which of another, and where a contact goes on who moves from one to another.
//!
//! A step's number is its place, and an edit may change that; its key is given when it is first written, is unique in its
//! campaign, and stays with it through every version. What a contact has had is known by keys, so nobody gets a step twice,
//! whatever is put before it. Both rules here are functions of what they are given; who writes what follows from them is
//! [`crate::drafts`] and [`crate::flow`].

use std::collections::BTreeSet;

use super::campaign::Step;

/// A step says a key that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No version of the campaign has one of that key.
    #[error(
        "step {0} has the key {1}, which no step of this campaign ever had: leave `key` out for a new step"
    )]
    Unknown(usize, u32),
    /// Two of them say the same.
    #[error("step {0} has the key {1}, as a step before it: leave `key` out for a copy")]
    Twice(usize, u32),
}

/// The first steps of a campaign: each gets its number as its key.
pub fn first(steps: &[Step]) -> Vec<Step> {
    (1..).zip(steps).map(|(key, step)| Step { key, ..step.clone() }).collect()
}

/// The same steps, each with its key. A step that says one keeps it. Of those that say none, one that is in `present`
/// word for word is that one; and where no step says one and as many steps as `present` has between two neighbours stand between the same
/// neighbours, they are those, changed. Every other is new, and gets a key that is not among `known`, the keys of all
/// versions.
///
/// # Errors
/// A key that is not known, or that two steps say.
pub fn keyed(steps: &[Step], present: &[Step], known: &BTreeSet<u32>) -> Result<Vec<Step>, KeyError> {
    let mut keys: Vec<u32> = steps.iter().map(|step| step.key).collect();
    for (at, key) in keys.iter().enumerate().filter(|(_, key)| **key != 0) {
        if !known.contains(key) {
            return Err(KeyError::Unknown(at + 1, *key));
        }
        if keys[..at].contains(key) {
            return Err(KeyError::Twice(at + 1, *key));
        }
    }
    for (at, step) in steps.iter().enumerate().filter(|(_, step)| step.key == 0) {
        let is_it = |one: &&Step| Step { key: 0, ..(*one).clone() } == *step && !keys.contains(&one.key);
        if let Some(same) = present.iter().find(is_it) {
            keys[at] = same.key;
        }
    }
    // Whoever says keys has said which steps are new.
    if steps.iter().all(|step| step.key == 0) {
        match_changed(&mut keys, present);
    }
    let next = known.last().copied().unwrap_or(0) + 1;
    for (key, new) in keys.iter_mut().filter(|key| **key == 0).zip(next..) {
        *key = new;
    }
    Ok(keys.into_iter().zip(steps).map(|(key, step)| Step { key, ..step.clone() }).collect())
}

/// Takes steps without a key for those that `present` has between the same neighbours, if they are as many.
fn match_changed(keys: &mut [u32], present: &[Step]) {
    let place = |key: u32| present.iter().position(|step| step.key == key);
    let mut at = 0;
    while at < keys.len() {
        let length = keys[at..].iter().take_while(|key| **key == 0).count();
        let (from, until) = (at, at + length);
        at = until.max(at + 1);
        if length == 0 {
            continue;
        }
        let before = if from == 0 { Some(0) } else { place(keys[from - 1]).map(|at| at + 1) };
        let behind = if until == keys.len() { Some(present.len()) } else { place(keys[until]) };
        let (Some(before), Some(behind)) = (before, behind) else { continue };
        let Some(theirs) = present.get(before..behind).filter(|theirs| theirs.len() == length) else {
            continue;
        };
        if theirs.iter().all(|step| !keys.contains(&step.key)) {
            for (key, step) in keys[from..until].iter_mut().zip(theirs) {
                *key = step.key;
            }
        }
    }
}

/// The number of the step of that key.
pub fn number_of(steps: &[Step], key: u32) -> Option<u32> {
    (1..).zip(steps).find(|(_, step)| step.key == key).map(|(number, _)| number)
}

/// Where a contact is on their way.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// The keys of the steps that they have had a message of, the first one first. One that was skipped counts: it was
    /// their turn.
    pub had: &'a [u32],
    /// The key of the step that is before them, where its message is made already.
    pub at: Option<u32>,
}

/// The number of the step at which that contact goes on by these steps; none where none is left for them.
///
/// Whose message is made stays with its step. Everybody else goes on with the first step that they have not had behind the
/// last one that they had: what is put before a place that they have reached is not made up for. One who has had nothing
/// that is still there begins.
pub fn goes_on(steps: &[Step], way: Way<'_>) -> Option<u32> {
    if let Some(number) = way.at.and_then(|key| number_of(steps, key)) {
        return Some(number);
    }
    let last = way.had.iter().rev().find_map(|key| number_of(steps, *key)).unwrap_or(0);
    behind(steps, last, way.had)
}

/// The number of the first step behind that one that is not among `had`.
pub fn behind(steps: &[Step], number: u32, had: &[u32]) -> Option<u32> {
    let is_left = |(nth, step): &(u32, &Step)| *nth > number && !had.contains(&step.key);
    (1..).zip(steps).find(is_left).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    /// A step that says that template.
    fn says(template: i64, key: u32) -> Step {
        let written = json!({"channel": "email", "template": template, "key": key});
        from_value(written).expect("a step")
    }

    fn keys_of(steps: &[Step]) -> Vec<u32> {
        steps.iter().map(|step| step.key).collect()
    }

    fn keys(steps: &[(i64, u32)], present: &[(i64, u32)]) -> Result<Vec<u32>, KeyError> {
        let steps: Vec<Step> = steps.iter().map(|(template, key)| says(*template, *key)).collect();
        let present: Vec<Step> = present.iter().map(|(template, key)| says(*template, *key)).collect();
        let known = (1..=9).collect();
        keyed(&steps, &present, &known).map(|steps| keys_of(&steps))
    }

    #[test]
    fn a_step_keeps_its_key_wherever_it_is_moved_and_whatever_it_says() {
        let present = [(11, 1), (12, 2), (13, 3)];
        assert_eq!(keys_of(&first(&[says(11, 7), says(11, 0)])), [1, 2]);
        assert_eq!(keys(&[(13, 3), (99, 1), (12, 2)], &present), Ok(vec![3, 1, 2]));
        assert_eq!(keys(&[(50, 0), (99, 1)], &present), Ok(vec![10, 1]));
        assert_eq!(keys(&[(50, 7)], &present), Ok(vec![7]), "one of an earlier version comes back");
        assert_eq!(keys(&[(11, 1), (50, 77)], &present), Err(KeyError::Unknown(2, 77)));
        assert_eq!(keys(&[(11, 1), (50, 1)], &present), Err(KeyError::Twice(2, 1)));
    }

    #[test]
    fn without_keys_what_is_unchanged_is_the_same_and_what_stands_between_the_same_neighbours() {
        let present = [(11, 1), (12, 2), (13, 3)];
        for (steps, wanted) in [
            (&[11, 12, 13][..], &[1, 2, 3][..]),
            (&[50, 11, 12, 13], &[10, 1, 2, 3]),
            (&[13, 11], &[3, 1]),
            (&[11, 50, 13], &[1, 2, 3]),
            (&[11, 50, 51, 13], &[1, 10, 11, 3]),
            (&[50, 51, 52], &[1, 2, 3]),
            (&[50, 51], &[10, 11]),
            (&[11, 11, 12, 13], &[1, 10, 2, 3]),
            (&[11, 13, 50], &[1, 3, 10]),
        ] {
            let steps: Vec<(i64, u32)> = steps.iter().map(|template| (*template, 0)).collect();
            assert_eq!(keys(&steps, &present).as_deref(), Ok(wanted), "{steps:?}");
        }
        let copies = [(11, 1), (11, 2)];
        assert_eq!(keys(&[(11, 0), (11, 0), (11, 0)], &copies), Ok(vec![1, 2, 10]));
    }

    #[test]
    fn nobody_gets_a_step_twice_and_nothing_before_a_place_that_was_reached_is_made_up_for() {
        // (the new order, what was had, where a message is made, where that leaves them)
        for (order, had, at, wanted) in [
            (&[9, 1, 2][..], &[1][..], None, Some(3)),
            (&[1, 2], &[9], None, Some(1)),
            (&[1, 2], &[1, 9], None, Some(2)),
            (&[9, 1, 2], &[], None, Some(1)),
            (&[9, 1, 2], &[], Some(1), Some(2)),
            (&[1, 3], &[1], Some(2), Some(2)),
            (&[2, 1, 3], &[1, 2], None, Some(3)),
            (&[3, 1, 2], &[1, 2], None, None),
            (&[1, 4, 2, 3], &[1, 2], None, Some(4)),
            (&[1, 4, 2], &[1], None, Some(2)),
            (&[1], &[1], None, None),
            (&[1, 2], &[1], Some(2), Some(2)),
        ] {
            let steps: Vec<Step> = order.iter().map(|key| says(1, *key)).collect();
            assert_eq!(goes_on(&steps, Way { had, at }), wanted, "{order:?} {had:?} {at:?}");
        }
    }
}
