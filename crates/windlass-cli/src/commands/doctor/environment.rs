//! What a store depends on but does not own: its directory's rights, its disk, and the process's limits.
//!
//! Nothing here leaves a trace: the cost of a sync is measured on a file without a name.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::Instant;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::Resource;

use super::report::{Check, Status};

/// Enough of the lock file to name a process by.
const HOLDER_BYTES: u64 = 1_024;
/// Syncs measured; the slowest of so many says more than their mean.
const SYNCS: usize = 64;
/// Bytes of each: what a small commit writes.
const SYNC_BYTES: usize = 4_096;
/// A median below it means that the disk acknowledges before anything could be stored (volatile cache, or no disk).
const SYNC_TOO_FAST_US: u128 = 5;
/// A median above it makes every acknowledgement slow.
const SYNC_SLOW_US: u128 = 5_000;
/// Free space below it is gone in minutes of busy work: the store keeps 1 GiB in stock itself.
const FREE_BYTES_LOW: u64 = 2 << 30;
/// Segments, spares, sockets and the user's own files.
const OPEN_FILES_LOW: u64 = 1_024;

/// File systems on which `power` promises nothing, or on which a lock may not hold, by their magic number.
const FILE_SYSTEMS: [(i64, &str, &str); 6] = [
    (0x0102_1994, "tmpfs", "it is memory: everything is gone with the power"),
    (0x8584_58f6, "ramfs", "it is memory: everything is gone with the power"),
    (0x6969, "nfs", "locks and syncs of a network file system are not to be trusted with a store"),
    (
        0xff53_4d42_u32 as i64,
        "cifs",
        "locks and syncs of a network file system are not to be trusted with a store",
    ),
    (
        0xfe53_4d42_u32 as i64,
        "smb2",
        "locks and syncs of a network file system are not to be trusted with a store",
    ),
    (0x6573_5546, "fuse", "whether its syncs reach a disk depends on what is behind it"),
];

/// The process that holds the directory's lock, for people.
pub(super) fn holder(path: &Path) -> Option<String> {
    let file = File::open(path.join("lock")).ok()?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            // The text only helps people; who cannot read it still learns that somebody is there.
            let _ = file.take(HOLDER_BYTES).read_to_string(&mut text);
            let mut lines = text.lines();
            let pid = lines.next().filter(|pid| !pid.is_empty()).unwrap_or("unknown");
            Some(format!("process {pid}: {}", lines.next().unwrap_or("unknown command")))
        }
        _ => None,
    }
}

/// All checks that do not read the journal; `holder` is the process that has the directory open.
pub(super) fn checks(path: &Path, holder: Option<&str>) -> Vec<Check> {
    let mut checks = vec![rights(path), file_system(path), space(path)];
    checks.push(sync_cost(path));
    checks.push(open_files(holder));
    checks.push(socket(path, holder.is_some()));
    checks
}

/// Whether whoever has the directory can be reached by the other commands.
fn socket(path: &Path, held: bool) -> Check {
    let socket = path.join(crate::connect::SOCKET);
    let answers = std::os::unix::net::UnixStream::connect(&socket).is_ok();
    let there = socket.symlink_metadata().is_ok();
    match (held, there, answers) {
        (true, true, true) => Check::new("socket", Status::Ok, "a server answers there"),
        (true, true, false) => Check::new("socket", Status::Warn, "nobody answers there").advise(
            "the server ends, has no more files, or runs as another user: commands on this directory are refused",
        ),
        (true, false, _) => Check::new("socket", Status::Ok, "none: the program that has it is no server"),
        (false, true, _) => Check::new("socket", Status::Ok, "left by a server that was killed; the next one takes it away"),
        (false, false, _) => Check::new("socket", Status::Ok, "none: no server runs here"),
    }
}

fn rights(path: &Path) -> Check {
    match std::fs::metadata(path) {
        Err(error) => Check::new("rights", Status::Bad, error.to_string()),
        Ok(meta) => {
            let (mode, owner, own) = (meta.mode() & 0o777, meta.uid(), rustix::process::geteuid().as_raw());
            let found = format!("mode {mode:04o}, owner {owner}");
            if mode & 0o077 != 0 {
                let advice = format!("other users can look into the payloads: chmod 700 {}", path.display());
                Check::new("rights", Status::Warn, found).advise(advice)
            } else if owner != own {
                Check::new("rights", Status::Warn, format!("{found}, you are {own}"))
                    .advise("run the store as the user who owns its directory")
            } else {
                Check::new("rights", Status::Ok, found)
            }
        }
    }
}

fn file_system(path: &Path) -> Check {
    match rustix::fs::statfs(path) {
        Err(error) => Check::new("file system", Status::Skipped, error.to_string()),
        Ok(stat) => {
            let magic: i64 = stat.f_type;
            match FILE_SYSTEMS.iter().find(|(number, ..)| *number == magic) {
                Some((_, name, why)) => Check::new("file system", Status::Warn, *name).advise(*why),
                None => Check::new("file system", Status::Ok, format!("local (type {magic:#x})")),
            }
        }
    }
}

fn space(path: &Path) -> Check {
    match rustix::fs::statvfs(path) {
        Err(error) => Check::new("free space", Status::Skipped, error.to_string()),
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let found = format!("{}", indicatif::HumanBytes(free));
            if free < FREE_BYTES_LOW {
                Check::new("free space", Status::Warn, found)
                    .advise("enqueues are refused when it runs out; free some, or shorten retention")
            } else {
                Check::new("free space", Status::Ok, found)
            }
        }
    }
}

fn sync_cost(path: &Path) -> Check {
    match measure_syncs(path) {
        Err(error) => Check::new("sync", Status::Skipped, format!("cannot be measured here: {error}")),
        Ok(times) => {
            let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
            let found = format!("{median} µs for 4 KiB (slowest of {SYNCS}: {slowest} µs)");
            if median < SYNC_TOO_FAST_US {
                Check::new("sync", Status::Warn, found)
                    .advise("no disk is that fast: something in between acknowledges before it stores")
            } else if median > SYNC_SLOW_US {
                Check::new("sync", Status::Warn, found)
                    .advise("every acknowledgement waits for a sync: use a faster disk, or larger batches")
            } else {
                Check::new("sync", Status::Ok, found)
            }
        }
    }
}

/// The times of some small syncs in microseconds, the shortest first.
fn measure_syncs(path: &Path) -> std::io::Result<Vec<u128>> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    let block = [0x5a; SYNC_BYTES];
    file.write_all_at(&block, 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let start = Instant::now();
        file.write_all_at(&block, 0)?;
        file.sync_data()?;
        times.push(start.elapsed().as_micros());
    }
    times.sort_unstable();
    Ok(times)
}

/// The limit of the process that has the directory, where the system tells it; else our own, which a server started from
/// the same shell would have.
fn open_files(holder: Option<&str>) -> Check {
    let own = || rustix::process::getrlimit(Resource::Nofile).current;
    let limit = holder.and_then(limit_of).map_or_else(own, Some);
    match limit {
        Some(current) if current < OPEN_FILES_LOW => {
            Check::new("open files", Status::Warn, current.to_string()).advise(format!(
                "raise the limit to {OPEN_FILES_LOW} or more: ulimit -n, or LimitNOFILE= in its unit"
            ))
        }
        Some(current) => Check::new("open files", Status::Ok, current.to_string()),
        None => Check::new("open files", Status::Ok, "unlimited"),
    }
}

/// What `process 4711: …` may open.
fn limit_of(holder: &str) -> Option<u64> {
    let pid: u32 = holder.strip_prefix("process ")?.split(':').next()?.parse().ok()?;
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
