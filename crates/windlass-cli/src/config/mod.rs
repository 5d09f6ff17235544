//! The file that `windlass serve` is configured by: `--config windlass.toml`.
//!
//! **There is one table of options, and it is the command line.** A key of the file is the long name of an option of
//! `serve`; a key of a section is that of an option of `windlass queues set`, `limits set` or `schedules set`. So whoever
//! adds an option there has added it here, to the environment (`WINDLASS_…`), and to `docs/configuration.md`.
//!
//! [`file`] reads the file and knows each key's line; [`origin`] lays environment and file below the command line; and
//! [`sections`] brings queues, limits and schedules into the store.

pub(crate) mod file;
pub(crate) mod origin;
#[cfg(test)]
mod page;
pub(crate) mod sections;

pub(crate) use file::ConfigFile;
