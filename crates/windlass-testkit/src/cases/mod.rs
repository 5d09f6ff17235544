//! The rules of `docs/contract.md`, each as a case against a store's own verbs.
//!
//! Nothing here knows how a store works: the cases speak only the traits of `windlass_core::store`, on a clock that
//! stands still until a case moves it. A module is a section or a verb of the contract, a case is one rule; the list
//! at the top of each module is its table of contents, and the compiler refuses a case that is not in it.

/// A module's list of cases; `restarts` marks those that open their place more than once.
macro_rules! cases {
    ($($name:ident $($restarts:ident)?),* $(,)?) => {
        pub(super) const CASES: &[$crate::host::Case] = &[$($crate::host::Case {
            name: concat!(module_path!(), "::", stringify!($name)),
            restarts: cases!(@ $($restarts)?),
            run: $name,
        }),*];
    };
    (@ restarts) => { true };
    (@) => { false };
}

use crate::host::{Case, Host};

mod admin;
mod bounds;
mod cancel;
mod claim;
mod enqueue;
mod events;
mod fairness;
mod flow;
mod keepers;
mod limits;
mod ordered;
mod owner;
mod real_bugs;
mod restart;
mod retention;
mod retry;
mod schedules;
mod settle;
mod traffic;
mod unique;
mod why;

/// Every case, by section.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    let sections = [
        admin::CASES,
        bounds::CASES,
        cancel::CASES,
        claim::CASES,
        enqueue::CASES,
        events::CASES,
        fairness::CASES,
        flow::CASES,
        keepers::CASES,
        limits::CASES,
        ordered::CASES,
        owner::CASES,
        real_bugs::CASES,
        restart::CASES,
        retention::CASES,
        retry::CASES,
        schedules::CASES,
        settle::CASES,
        traffic::CASES,
        unique::CASES,
        why::CASES,
    ];
    sections.into_iter().flatten()
}

/// Gives the same random commands, restarts among them, to a store and to the model, whose answers must agree.
///
/// # Panics
/// When they do not.
pub fn compare_with_model(host: &dyn Host) {
    traffic::random_commands_with_restarts_are_answered_as_by_the_model(host);
}
