//! Writes a history so that a kill at any moment leaves one that can be judged.
//!
//! Each line is one `write` to a file opened for appending, so that the threads of a process and the processes of a
//! machine share one file without a lock, and what was written before kill -9 is there after it. A line begins with the
//! newline that ends the one before: whatever a kill has torn stands on a line of its own.
//! Against power loss the file must be somewhere else than the store.

use crate::format::{
    Answer, Ask, Call, Fault, FaultKind, Handler, Header, Line, Phase, Process, Says, Told, Transaction,
    TransactionStep,
};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use windlass_core::{Lease, Time};

type Clock = Box<dyn Fn() -> Time + Send + Sync>;

/// The writing side of a history, for one process.
pub struct Recorder {
    file: File,
    by: String,
    began: Instant,
    clock: Clock,
    calls: AtomicU64,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("by", &self.by).finish_non_exhaustive()
    }
}

impl Recorder {
    /// A new history that begins with `header`.
    ///
    /// # Errors
    /// The file exists already, or cannot be made.
    pub fn create(path: &Path, header: &Header) -> io::Result<Self> {
        let mut file = File::options().append(true).create_new(true).open(path)?;
        file.write_all(&serde_json::to_vec(header)?)?;
        Self::on(file, "")
    }

    /// Another process of the same machine joins the history; `role` tells people what it is.
    ///
    /// # Errors
    /// There is no such file, or it cannot be written.
    pub fn append(path: &Path, role: &str) -> io::Result<Self> {
        Self::on(File::options().append(true).open(path)?, role)
    }

    fn on(file: File, role: &str) -> io::Result<Self> {
        let born = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let recorder = Self {
            file,
            by: format!("{}-{:x}", std::process::id(), born.as_nanos()),
            began: Instant::now(),
            clock: Box::new(wall),
            calls: AtomicU64::new(0),
        };
        recorder.say(None, Says::Process(Process { role: role.to_owned() }))?;
        Ok(recorder)
    }

    /// Takes the wall time from `clock`: for a store that runs on a test's own.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        Self { clock: Box::new(clock), ..self }
    }

    /// Writes one line. `at` is the time that a verb was given, where a test gives one.
    ///
    /// # Errors
    /// The file cannot be written; what was to be recorded must not happen then.
    pub fn say(&self, at: Option<Time>, says: Says) -> io::Result<()> {
        let line = Line {
            by: self.by.clone(),
            at: at.unwrap_or_else(&self.clock),
            us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            says,
        };
        self.write(&line)
    }

    fn write(&self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = vec![b'\n'];
        serde_json::to_writer(&mut bytes, line)?;
        (&self.file).write_all(&bytes)
    }

    /// Announces a call; its number is for [`Recorder::answer`].
    ///
    /// # Errors
    /// The file cannot be written: do not make the call.
    pub fn call(&self, at: Option<Time>, ask: Ask) -> io::Result<u64> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        self.say(at, Says::Call(Call { id, ask }))?;
        Ok(id)
    }

    /// Records the answer to a call, before anything is done because of it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn answer(&self, at: Option<Time>, id: u64, told: Told) -> io::Result<()> {
        self.say(at, Says::Answer(Answer { id, told }))
    }

    /// A handler begins or ends.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn handler(&self, lease: Lease, phase: Phase) -> io::Result<()> {
        self.say(None, Says::Handler(Handler { lease, phase }))
    }

    /// Something was broken: written before the store is asked anything again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn fault(&self, what: FaultKind) -> io::Result<()> {
        self.say(None, Says::Fault(Fault { what, covered: None }))
    }

    /// A step of a transaction of the caller.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn transaction(&self, name: &str, step: TransactionStep) -> io::Result<()> {
        self.say(None, Says::Transaction(Transaction { name: name.to_owned(), step }))
    }
}

fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
