//! The comparison with other queues: `cargo xtask bench --peers`.
//!
//! The peers run as small programs of ours in `bench/`, one measurement each; Windlass runs as its users' own
//! `windlass bench`. [`server`] starts the server that both work on, [`programs`] runs the two sides on it,
//! [`compare`] decides what is run when, [`figures`] makes medians, ratios and verdicts of it, [`table`] shows them.
//! What the peers and their settings are stands here, so that a newcomer to the comparison is one more entry.

pub(crate) mod compare;
pub(crate) mod figures;
pub(crate) mod programs;
pub(crate) mod server;
pub(crate) mod table;

/// A server that peers and Windlass both can work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Redis,
    Postgres,
}

impl Kind {
    /// Its name in options and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }

    /// Who is compared on it.
    pub(crate) fn peers(self) -> &'static [Peer] {
        match self {
            Self::Redis => &ON_REDIS,
            Self::Postgres => &ON_POSTGRES,
        }
    }
}

/// Another queue, with the settings of which its best is looked for.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its package, and the name of its program in `bench/`.
    pub(crate) name: &'static str,
    /// Options of `drain` that may be its fastest.
    pub(crate) drains: &'static [&'static str],
    /// Options of `latency` that may be its quickest.
    pub(crate) listens: &'static [&'static str],
}

/// Enqueues in flight at once, tried with every size of batch.
pub(crate) const CALLERS: [&str; 3] = ["--callers 1", "--callers 2", "--callers 4"];

const ON_REDIS: [Peer; 1] = [Peer {
    name: "bullmq",
    drains: &["--concurrency 50", "--concurrency 100", "--concurrency 200", "--concurrency 500"],
    listens: &["--concurrency 100"],
}];

const ON_POSTGRES: [Peer; 2] = [
    Peer {
        name: "pg-boss",
        drains: &[
            "--way fetch --concurrency 1 --fetch 100",
            "--way fetch --concurrency 2 --fetch 100",
            "--way fetch --concurrency 1 --fetch 1000",
            "--way fetch --concurrency 2 --fetch 1000",
            "--way fetch --concurrency 4 --fetch 1000",
            "--way work --concurrency 10 --fetch 100",
        ],
        listens: &["--concurrency 10 --fetch 1", "--concurrency 4 --fetch 10", "--concurrency 1 --fetch 100"],
    },
    // What it fetches at once goes into its local queue; without one it drains at a fifteenth of this.
    Peer {
        name: "graphile-worker",
        drains: &[
            "--concurrency 10 --fetch 500",
            "--concurrency 100 --fetch 500",
            "--concurrency 100 --fetch 1000",
        ],
        listens: &["--concurrency 10", "--concurrency 2"],
    },
];
