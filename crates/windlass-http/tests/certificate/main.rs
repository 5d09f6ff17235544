//! The certificate of the remote store: every rule of `docs/contract.md`, over HTTP, on a server whose store runs on the
//! clock of the test.
#![allow(clippy::disallowed_methods, reason = "tests reach servers as users do")]

#[path = "../../../windlass-server/tests/home/mod.rs"]
mod home;
#[path = "../../../windlass-embedded/tests/place/mod.rs"]
#[allow(dead_code, reason = "the embedded engine's own tests use the rest")]
mod place;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use windlass::Client;
use windlass_core::Time;
use windlass_core::store::Store;
use windlass_http::{HttpOptions, HttpStore};
use windlass_testkit::{Case, End, Host, Place, certify};

use crate::home::Home;
use crate::place::Spot;

/// A server before an embedded engine, and the remote store in front of both.
struct Http;

/// The engine's place, and the server that stands before it while it is open.
struct Behind {
    spot: Spot,
    home: Option<Home>,
}

impl Behind {
    fn place(spot: Spot) -> Box<dyn Place> {
        Box::new(Self { spot, home: None })
    }
}

impl Host for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn place(&self) -> Box<dyn Place> {
        Behind::place(Spot::directory())
    }

    fn place_with_short_log(&self) -> Box<dyn Place> {
        Behind::place(Spot::directory().short_log())
    }

    fn random_runs_divisor(&self) -> u32 {
        4
    }

    fn exempts(&self, case: &Case) -> Option<&'static str> {
        case.name
            .ends_with("the_time_of_a_claim_is_the_one_that_its_caller_names")
            .then_some("a remote store runs on its server's clock, and says so to whoever names a time")
    }
}

impl Place for Behind {
    fn open(&mut self) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + '_>> {
        Box::pin(async {
            // One server at a time: the engine's directory has one owner.
            self.home = None;
            let engine = self.spot.open().await;
            let home = Home::of(&Client::new(engine));
            let store =
                HttpStore::open(&home.url(), HttpOptions::default()).await.expect("the server answers");
            self.home = Some(home);
            Arc::new(store) as Arc<dyn Store>
        })
    }

    fn end(&mut self, how: End) {
        self.spot.end(how);
        self.home = None;
    }

    fn now(&self) -> Time {
        self.spot.now()
    }

    fn advance_ms(&self, ms: u64) {
        self.spot.advance_ms(ms);
    }

    fn at(&self) -> Option<Time> {
        None
    }
}

fn main() -> ExitCode {
    certify([Arc::new(Http) as Arc<dyn Host>])
}
