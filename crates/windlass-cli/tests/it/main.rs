//! The built `windlass` command, used as a shell uses it: arguments in; stdout, stderr and an exit code out.
//!
//! Every test has a directory of its own. What the command line cannot bring about (a job that fails) is done through
//! the library, with the store closed again before the command looks.

mod bench;
mod directory;
mod enqueue;
mod jobs;
mod ndjson;
mod outbox;
mod output;
mod settings;
mod shell;
