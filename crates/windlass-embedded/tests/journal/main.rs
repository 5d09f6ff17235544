//! The journal against its rules: what was acknowledged is never lost silently, what was given back never returns.
//!
//! `support` holds the shadow history that every replay is compared with; the other modules each try one way of
//! losing something.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "seeds are printed")]
#![allow(clippy::disallowed_methods, reason = "the tests look at directories from outside")]

mod crash;
mod damage;
mod directory;
mod faults;
mod life;
mod repair;
mod support;
