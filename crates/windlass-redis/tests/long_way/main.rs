//! The store without its short way for plain jobs answers as the reference model does: both ways are one.
#![allow(clippy::disallowed_methods, reason = "tests reach servers as users do")]

#[path = "../place/mod.rs"]
mod place;
#[path = "../server/mod.rs"]
mod server;

use windlass_testkit::{Case, Host, Place};

use crate::place::Spot;
use crate::server::Server;

/// A Redis server on which every job goes the long way.
struct LongWay;

impl Host for LongWay {
    fn name(&self) -> &'static str {
        "redis, the long way"
    }

    fn place(&self) -> Box<dyn Place> {
        Box::new(Spot::new(Server::start()).long_way())
    }

    fn place_with_short_log(&self) -> Box<dyn Place> {
        Box::new(Spot::new(Server::start()).short_log())
    }

    fn random_runs_divisor(&self) -> u32 {
        5
    }

    fn exempts(&self, _: &Case) -> Option<&'static str> {
        None
    }
}

#[test]
fn the_long_way_alone_answers_as_the_model() {
    windlass_testkit::compare_with_model(&LongWay);
}
