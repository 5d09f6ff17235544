//! The certificate of the embedded engine: every rule of `docs/contract.md`, on a directory and in memory.
#![allow(clippy::disallowed_methods, reason = "tests reach directories as users do")]

#[path = "../place/mod.rs"]
mod place;

use std::process::ExitCode;
use std::sync::Arc;

use windlass_testkit::{Case, Host, Place, certify};

use crate::place::Spot;

/// `file:` stores, each in a directory of its own.
struct File;

/// `memory:` stores.
struct Memory;

impl Host for File {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(Spot::directory())
    }

    fn place_with_short_log(&self) -> Box<dyn Place> {
        Box::new(Spot::directory().short_log())
    }

    fn exempts(&self, _: &Case) -> Option<&'static str> {
        None
    }
}

impl Host for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(Spot::memory())
    }

    fn place_with_short_log(&self) -> Box<dyn Place> {
        Box::new(Spot::memory().short_log())
    }

    fn exempts(&self, case: &Case) -> Option<&'static str> {
        case.restarts.then_some("a memory: store ends with its process")
    }
}

fn main() -> ExitCode {
    certify([Arc::new(File) as Arc<dyn Host>, Arc::new(Memory)])
}
