//! kill -9 of the server, again and again, at full load.

use std::time::Duration;

use windlass_check::FaultKind;
use windlass_testkit::Dice;

use crate::history::History;

/// Kills in a test run; more by `WINDLASS_TORTURE_CYCLES`.
const CYCLES: u64 = 50;
/// Whoever works is at work again so long after the server is back.
pub const RESUMED_WITHIN: Duration = Duration::from_secs(5);
/// Completions that prove that everyone is at work.
const AT_WORK: u64 = 20;

/// Kills the server by `kill` and starts it by `run`, 50 times or as often as `WINDLASS_TORTURE_CYCLES` says, each time at
/// another moment. `run` returns when the server takes connections.
///
/// # Panics
/// When work does not go on within five seconds after the server is back.
pub async fn kills<S>(history: &History, server: &mut S, kill: fn(&mut S), run: fn(&mut S)) {
    let cycles = std::env::var("WINDLASS_TORTURE_CYCLES").map_or(CYCLES, |text| text.parse().unwrap());
    let mut dice = Dice::of_seed(history.seed());
    for _ in 0..cycles {
        history.progress(AT_WORK, RESUMED_WITHIN).await;
        tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
        history.fault(FaultKind::StoreKilled);
        tokio::task::block_in_place(|| {
            kill(server);
            run(server);
        });
    }
    history.progress(AT_WORK, RESUMED_WITHIN).await;
}
