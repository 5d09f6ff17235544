//! The monitor as a whole: a real store on a clock that only the test moves, and a receiver of webhooks that verifies
//! every signature.

mod course;
mod delivery;
mod place;
mod receiver;
mod rules;
