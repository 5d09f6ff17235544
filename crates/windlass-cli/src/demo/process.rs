//! A process of the day as its parent sees it: start, listen, kill, ask to stop.
//!
//! Whatever happens to the parent, the child ends: it is killed when this value is dropped, by the system when the
//! parent dies, and it leaves by itself when its stdin ends.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::beat::Beat;
use super::worker::Part;
use crate::fault::Fault;

/// How long an orderly end may take: the grace of the handlers, and a few syncs.
const STOP: Duration = Duration::from_secs(30);
/// How much of the worker's last words is repeated.
const LAST_WORDS_BYTES: u64 = 2_000;

/// A running process.
pub(super) struct WorkerProcess {
    /// Which part of the application it is.
    pub(super) part: Part,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

impl WorkerProcess {
    /// Starts one on that directory and that store.
    pub(super) fn start(dir: &Path, store: &str, part: Part) -> Result<Self, Fault> {
        let log = dir.join(format!("{}.log", part.name()));
        let stderr = OpenOptions::new().create(true).append(true).open(&log);
        let stderr = stderr.map_err(|error| Fault::file(log.display(), &error))?;
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        // A URL may hold a password, and everybody can read the arguments of a process.
        command.arg("demo-worker").arg(dir).args(["--part", part.name()]).env("WINDLASS_STORE", store);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        // Ctrl-C is for the parent, which then stops the child itself.
        #[cfg(unix)]
        command.process_group(0);
        let mut child =
            command.spawn().map_err(|error| Fault::file("starting a process of the day", &error))?;
        let stdin = child.stdin.take();
        let stdout =
            child.stdout.take().ok_or_else(|| Fault::failed("a process of the day has no stdout"))?;
        Ok(Self { part, child, stdin, lines: BufReader::new(stdout).lines(), log })
    }

    /// What it says next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When it has ended without being asked.
    pub(super) async fn beat(&mut self) -> Result<Beat, Fault> {
        match self.lines.next_line().await? {
            Some(line) => serde_json::from_str(&line).map_err(|error| {
                Fault::failed(format!("the {} process said {line:?}: {error}", self.part.name()))
            }),
            None => {
                let status = self.child.wait().await?;
                Err(Fault::failed(format!(
                    "the {} process ended by itself ({status}){}",
                    self.part.name(),
                    self.last_words()
                )))
            }
        }
    }

    /// SIGKILL, with no time for anything; returns when it is gone.
    pub(super) async fn kill(&mut self) -> Result<(), Fault> {
        self.child.kill().await.map_err(|error| Fault::file("killing a process of the day", &error))
    }

    /// Asks it to finish what it does and to close the store; returns when it is gone.
    pub(super) async fn stop(mut self) -> Result<(), Fault> {
        drop(self.stdin.take());
        // What it still says is read, or it would wait for room in the pipe.
        let left = async {
            while self.lines.next_line().await?.is_some() {}
            self.child.wait().await
        };
        match tokio::time::timeout(STOP, left).await {
            Ok(status) => {
                let status = status?;
                if status.success() {
                    return Ok(());
                }
                Err(Fault::failed(format!(
                    "the {} process failed at its end ({status}){}",
                    self.part.name(),
                    self.last_words()
                )))
            }
            Err(_) => {
                Err(Fault::failed(format!("the {} process did not stop within {STOP:?}", self.part.name())))
            }
        }
    }

    fn last_words(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = std::fs::File::open(&self.log)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(LAST_WORDS_BYTES).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        match read() {
            Ok(words) if !words.is_empty() => format!(": {words}"),
            _ => String::new(),
        }
    }
}
