//! The servers of the comparison, each in a temporary directory and on a free port, with settings that keep what they
//! acknowledge.
//!
//! Every measurement begins on an empty server: Redis is started anew, so that no log is rewritten for somebody else's
//! jobs; PostgreSQL gets a new database and a checkpoint. A server is asked to end by its own process id when it is
//! dropped. Ctrl-C in a terminal reaches it too, and it ends by itself.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Kind;
use crate::step::{Failure, Step};

/// Something that both sides can be measured on.
pub(crate) trait Server {
    /// The URL of an empty place; what the one before held is gone.
    fn fresh(&mut self) -> Result<String, Failure>;

    /// What the jobs of that place take: memory on Redis, disk on PostgreSQL.
    fn held_bytes(&self) -> Result<u64, Failure>;

    /// What was written to the log of changes so far; none where the server does not count it.
    fn log_bytes(&self) -> Result<Option<u64>, Failure>;
}

/// Starts the server of that kind with its files below `room`.
pub(crate) fn start(kind: Kind, room: &Path) -> Result<Box<dyn Server>, Failure> {
    Ok(match kind {
        Kind::Redis => Box::new(Redis { room: room.join("redis"), running: None }),
        Kind::Postgres => Box::new(Postgres::start(&room.join("postgres"))?),
    })
}

/// What has to be installed before the server of that kind can be started; none when everything is there.
pub(crate) fn missing(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Redis => {
            let there = Step::program("redis", "redis-server", ["--version"]).succeeds(Path::new("."));
            (!there).then_some("redis-server (Debian: apt-get install redis-server)")
        }
        Kind::Postgres => postgres_programs()
            .is_none()
            .then_some("PostgreSQL's server (Debian: apt-get install postgresql)"),
    }
}

/// Redis with the log that survives a killed process, and may lose the last second with the machine.
struct Redis {
    room: PathBuf,
    running: Option<(Process, u16)>,
}

impl Server for Redis {
    fn fresh(&mut self) -> Result<String, Failure> {
        // The one before ends first: two of them would share the machine, and the disk its log.
        self.running = None;
        if self.room.exists() {
            std::fs::remove_dir_all(&self.room).map_err(|error| cannot("remove", &self.room, &error))?;
        }
        make(&self.room)?;
        let port = free_port()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "everysec"]).arg("--dir").arg(&self.room);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let process = Process::start(command, "-TERM", "Ready to accept connections", |child| {
            child.stdout.take().map(|pipe| Box::new(pipe) as _)
        })?;
        self.running = Some((process, port));
        Ok(format!("redis://127.0.0.1:{port}"))
    }

    fn held_bytes(&self) -> Result<u64, Failure> {
        let failed = || Failure::plain("bench: redis-server did not say how much memory it uses");
        let port = self.running.as_ref().map(|(_, port)| *port).ok_or_else(failed)?;
        let answer = info(port).map_err(|error| Failure::plain(format!("bench: redis-server: {error}")))?;
        used_memory(&answer).ok_or_else(failed)
    }

    fn log_bytes(&self) -> Result<Option<u64>, Failure> {
        Ok(None)
    }
}

/// What `INFO memory` answers; the connection is closed by the server after `QUIT`, so that the answer has an end.
fn info(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"INFO memory\r\nQUIT\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn used_memory(info: &str) -> Option<u64> {
    info.lines().find_map(|line| line.strip_prefix("used_memory:"))?.trim().parse().ok()
}

/// PostgreSQL that syncs every commit.
struct Postgres {
    programs: PathBuf,
    port: u16,
    databases: u32,
    _process: Process,
}

/// Half a minute between checkpoints, so that a run of a minute has one: a run without leaves its writes to be paid for
/// later.
const POSTGRES_SETTINGS: [&str; 8] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "synchronous_commit=on",
    "shared_buffers=1GB",
    "max_wal_size=4GB",
    "checkpoint_timeout=30s",
    "max_connections=200",
    "client_min_messages=warning",
];

impl Postgres {
    fn start(room: &Path) -> Result<Self, Failure> {
        let programs =
            postgres_programs().ok_or_else(|| Failure::plain("bench: PostgreSQL is not installed"))?;
        make(room)?;
        let data = room.join("data");
        // PostgreSQL refuses to run as root.
        let user = if id(&["-u"]) == Some(0) { Some(user_postgres()?) } else { None };
        if let Some((uid, gid)) = user {
            chown(room, Some(uid), Some(gid)).map_err(|error| cannot("give away", room, &error))?;
        }
        let program = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.current_dir(room).env("LC_ALL", "C").arg("-D").arg(&data);
            if let Some((uid, gid)) = user {
                command.uid(uid).gid(gid);
            }
            command
        };
        let mut initdb = program("initdb");
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        let made = initdb.output().map_err(|error| Failure::plain(format!("bench: initdb: {error}")))?;
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(Failure::plain(format!("bench: initdb: {why}")));
        }
        let port = free_port()?;
        let mut server = program("postgres");
        server.args(["-p", &port.to_string()]);
        for setting in POSTGRES_SETTINGS {
            server.args(["-c", setting]);
        }
        server.stdout(Stdio::null()).stderr(Stdio::piped());
        // An interrupt ends the sessions and writes a checkpoint; a mere end would wait for the sessions.
        let process = Process::start(server, "-INT", "ready to accept connections", |child| {
            child.stderr.take().map(|pipe| Box::new(pipe) as _)
        })?;
        Ok(Self { programs, port, databases: 0, _process: process })
    }

    fn ask(&self, statement: &str) -> Result<String, Failure> {
        let psql = self.programs.join("psql").display().to_string();
        let port = self.port.to_string();
        let arguments =
            ["-X", "-q", "-At", "-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", statement];
        let answer = Step::program("psql", &psql, arguments).output(Path::new("."))?;
        Ok(answer.trim().to_owned())
    }

    fn number(&self, statement: &str) -> Result<u64, Failure> {
        let answer = self.ask(statement)?;
        answer.parse().map_err(|_| Failure::plain(format!("bench: `{statement}` answered `{answer}`")))
    }

    fn database(&self) -> String {
        format!("bench_{}", self.databases)
    }
}

impl Server for Postgres {
    fn fresh(&mut self) -> Result<String, Failure> {
        self.ask(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database()))?;
        self.databases += 1;
        self.ask(&format!("CREATE DATABASE {}", self.database()))?;
        self.ask("CHECKPOINT")?;
        Ok(format!("postgres://postgres@127.0.0.1:{}/{}", self.port, self.database()))
    }

    fn held_bytes(&self) -> Result<u64, Failure> {
        self.number(&format!("SELECT pg_database_size('{}')", self.database()))
    }

    fn log_bytes(&self) -> Result<Option<u64>, Failure> {
        self.number("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").map(Some)
    }
}

/// The folder with PostgreSQL's programs: the newest of Debian's, or the one in the path.
fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs): &(u32, PathBuf)| programs.join("initdb").exists())
        .collect();
    versions.sort();
    versions.pop().map(|(_, programs)| programs).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    })
}

fn user_postgres() -> Result<(u32, u32), Failure> {
    let ids = id(&["-u", "postgres"]).zip(id(&["-g", "postgres"]));
    ids.ok_or_else(|| Failure::plain("bench: root needs a user `postgres` to run PostgreSQL as"))
}

fn id(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// A server's process, asked to end when this goes.
struct Process {
    child: Child,
    signal: &'static str,
}

impl Process {
    /// Starts it and waits until it says `ready` in the log that `log` gives.
    fn start(
        mut command: Command,
        signal: &'static str,
        ready: &str,
        log: impl FnOnce(&mut Child) -> Option<Box<dyn Read + Send>>,
    ) -> Result<Self, Failure> {
        let name = Path::new(command.get_program()).display().to_string();
        let failed = |why: &str| Failure::plain(format!("bench: {name} does not start: {why}"));
        let mut child = command.stdin(Stdio::null()).spawn().map_err(|error| failed(&error.to_string()))?;
        let log = log(&mut child);
        // From here on a failure ends the process as well.
        let process = Self { child, signal };
        let mut log = BufReader::new(log.ok_or_else(|| failed("it has no log"))?);
        let mut said = String::new();
        loop {
            let before = said.len();
            match log.read_line(&mut said) {
                Ok(0) => return Err(failed(&said)),
                Ok(_) if said[before..].contains(ready) => break,
                Ok(_) => {}
                Err(error) => return Err(failed(&error.to_string())),
            }
        }
        // A log that nobody reads fills its pipe, and the server would wait for it.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let asked = Command::new("kill").args([self.signal, &self.child.id().to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            // It has ended by itself, or cannot be asked; then it is not asked.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// A folder that the server's own user may enter.
fn make(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| cannot("make", folder, &error))?;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, open).map_err(|error| cannot("open", folder, &error))
}

fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| Failure::plain(format!("bench: no port: {error}")))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::plain(format!("bench: cannot {verb} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_servers_own_words() {
        let info = "$80\r\n# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\n\r\n+OK\r\n";
        assert_eq!(used_memory(info), Some(1_048_576));
        assert_eq!(used_memory("-NOAUTH Authentication required.\r\n"), None);
    }

    #[test]
    fn a_server_that_ends_before_it_is_ready_is_a_failure_with_its_own_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'port in use'"]).stdout(Stdio::piped());
        let started = Process::start(command, "-TERM", "ready", |child| {
            child.stdout.take().map(|pipe| Box::new(pipe) as _)
        });
        let failure = started.err().expect("it never said that it is ready").to_string();
        assert!(failure.contains("sh does not start: port in use"), "{failure}");
    }

    #[test]
    fn a_server_that_is_ready_ends_when_it_is_dropped() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo ready; exec sleep 600"]).stdout(Stdio::piped());
        let started = Process::start(command, "-TERM", "ready", |child| {
            child.stdout.take().map(|pipe| Box::new(pipe) as _)
        });
        let process = started.expect("it says that it is ready");
        let pid = process.child.id().to_string();
        drop(process);
        let alive = Command::new("kill").args(["-0", &pid]).stderr(Stdio::null()).status();
        assert!(!alive.expect("kill runs").success(), "process {pid} is still there");
    }
}
