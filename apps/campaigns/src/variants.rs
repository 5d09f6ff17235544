//! Tests of what is said: a step that shares its contacts among variants, and which of them does better.
//!
//! [`choice`] says which contact gets which variant, from numbers alone; the flow writes it down with the message. What came
//! of them is counted by [`results`], and [`verdict`] says whether that means anything. What ends a test, a version of the
//! sequence with one variant, is a change like any other ([`crate::drafts::keep`]).

pub mod choice;
pub mod results;
pub mod verdict;
