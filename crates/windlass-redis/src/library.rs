//! The library of functions that runs inside Redis: one per verb, over a shared prelude.
//!
//! It is loaded once and named after its own content, so that two versions of this crate can work on
//! one server side by side, and a server that has lost it (a flush, a failover to an empty replica) is
//! given it again. `docs/decisions/0007` says why functions and not scripts.

use std::sync::LazyLock;

use windlass_core::fingerprint::fingerprint;
use windlass_core::queue::QueueSettings;

/// What every verb stands on, in the order in which each part needs the ones before it.
const PRELUDE: &[&str] = &[
    include_str!("lua/prelude/call.lua"),
    include_str!("lua/prelude/record.lua"),
    include_str!("lua/prelude/events.lua"),
    include_str!("lua/prelude/rules.lua"),
    include_str!("lua/prelude/queues.lua"),
    include_str!("lua/prelude/groups.lua"),
    include_str!("lua/prelude/sorted.lua"),
    include_str!("lua/prelude/lanes.lua"),
    include_str!("lua/prelude/turns.lua"),
    include_str!("lua/prelude/limits.lua"),
    include_str!("lua/prelude/moves.lua"),
    include_str!("lua/prelude/flow.lua"),
    include_str!("lua/prelude/plain.lua"),
    include_str!("lua/prelude/enqueue.lua"),
    include_str!("lua/prelude/settle.lua"),
    include_str!("lua/prelude/claim.lua"),
    include_str!("lua/prelude/workers.lua"),
    include_str!("lua/prelude/finish.lua"),
    include_str!("lua/prelude/verb.lua"),
];

/// The verbs, a file for each family.
const VERBS: &[&str] = &[
    include_str!("lua/verbs/enqueue.lua"),
    include_str!("lua/verbs/claim.lua"),
    include_str!("lua/verbs/holder.lua"),
    include_str!("lua/verbs/people.lua"),
    include_str!("lua/verbs/settings.lua"),
    include_str!("lua/verbs/store.lua"),
    include_str!("lua/verbs/jobs.lua"),
    include_str!("lua/verbs/schedules.lua"),
    include_str!("lua/verbs/upkeep.lua"),
    include_str!("lua/verbs/sweep.lua"),
];

/// The library as it is loaded.
pub(crate) struct Library {
    /// Its name, and what every function's name begins with.
    pub(crate) name: String,
    /// Its whole text.
    pub(crate) text: String,
}

/// The library of this version.
pub(crate) static LIBRARY: LazyLock<Library> = LazyLock::new(|| library(false, false));

/// The same without its short way for plain jobs, for a test of the long one.
pub(crate) static LONG_WAY: LazyLock<Library> = LazyLock::new(|| library(true, false));

/// The same with a short event log, for a test of its bound.
pub(crate) static SHORT_LOG: LazyLock<Library> = LazyLock::new(|| library(false, true));

fn library(long_way: bool, short_log: bool) -> Library {
    let mut body = constants();
    body.push_str(&format!("local LONG_WAY, SHORT_LOG = {long_way}, {short_log}\n"));
    for part in PRELUDE {
        body.push_str(part);
        body.push('\n');
    }
    for part in VERBS {
        body.push_str("do\n");
        body.push_str(part);
        body.push_str("\nend\n");
    }
    let name = format!("windlass_{:016x}", content_hash(body.as_bytes()));
    let text = format!("#!lua name={name}\nlocal LIBRARY = '{name}'\n{body}");
    Library { name, text }
}

/// What the Lua side takes from the Rust side, so that each is said once.
fn constants() -> String {
    let settings = serde_json::to_string(&QueueSettings::default()).expect("plain settings always serialise");
    let lost = fingerprint("", Some("lost"), "lease ran out").0.to_be_bytes();
    let lost: String = lost.iter().map(|byte| format!("\\{byte:03}")).collect();
    format!("local DEFAULT_QUEUE = '{settings}'\nlocal LOST_PRINT = '{lost}'\n")
}

/// FNV-1a (Fowler, Noll, Vo; public domain): names a text, guards nothing.
fn content_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
