//! Every bound of the contract, each with its reason. Nothing in Windlass is unbounded.

/// Items in one batch: large enough to amortise a sync, small enough that one step stays short.
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// Payload bytes of a batch together: keeps one atomic step within a few journal segments.
pub const BATCH_BYTES_MAX: usize = 256 << 20;
/// Payload of one job. Larger things belong in an object store, with their address in the payload.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Payload bytes of one answer to [`crate::store::Admin::bodies`]; one job's may go beyond it. Enough to spread a round
/// trip over thousands of small payloads, little enough to hold in memory.
pub const BODIES_BYTES_MAX: usize = 8 << 20;
/// Result kept with a completed job.
pub const RESULT_BYTES_MAX: usize = 64 << 10;
/// Checkpoint carried from one attempt to the next.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 10;
/// Log kept for one attempt; what comes after is dropped and counted in a last line.
pub const LOG_BYTES_MAX: usize = 256 << 10;
/// Jobs that a completion may enqueue in its own step.
pub const FOLLOW_UPS_MAX: usize = 1_000;
/// Attempts whose errors are kept, the newest first to stay.
pub const ERROR_HISTORY_MAX: usize = 25;
/// Text of one error, its source chain included.
pub const ERROR_BYTES_MAX: usize = 64 << 10;
/// Group keys and unique keys, in bytes of UTF-8.
pub const KEY_BYTES_MAX: usize = 255;
/// Names of queues, kinds, limits, schedules and workers' hosts.
pub const NAME_BYTES_MAX: usize = 128;
/// Tags of one job.
pub const TAGS_MAX: usize = 8;
/// Named limits that one job may take beside those of its queue and group.
pub const LIMITS_PER_JOB_MAX: usize = 4;
/// Parents of one job.
pub const PARENTS_MAX: usize = 1_000;
/// Children released in the parent's own step; the rest follow by upkeep.
pub const CHILDREN_PER_STEP: usize = 1_000;
/// Lowest and highest priority.
pub const PRIORITY_MIN: i8 = -9;
/// See [`PRIORITY_MIN`].
pub const PRIORITY_MAX: i8 = 9;
/// Weight of a group in its queue's fair order.
pub const WEIGHT_MAX: u16 = 1_000;
/// How far ahead of the store's clock a job's id may lie: more would break the memory of ended ids.
pub const ID_AHEAD_MS_MAX: u64 = 3_600_000;
/// Snoozes of one generation: a job that only ever postpones itself is a fault worth seeing.
pub const SNOOZES_MAX: u32 = 1_000;
/// Losses (leases that ran out) of one generation before the job is dead with cause `lost`.
pub const LOSSES_MAX: u32 = 3;
/// Lease when the queue sets none.
pub const LEASE_MS_DEFAULT: u64 = 30_000;
/// Shortest lease a queue may set: below it a slow sync looks like a dead worker.
pub const LEASE_MS_MIN: u64 = 1_000;
/// Longest lease a queue may set; a job may run for longer, its heartbeats renew the lease.
pub const LEASE_MS_MAX: u64 = 24 * 3_600_000;
/// How often a worker renews its leases, at most a third of the lease.
pub const HEARTBEAT_MS: u64 = 5_000;
/// A worker stops a handler this long before its lease can run out by the worker's own clock.
pub const LEASE_MARGIN_MS: u64 = 2_000;
/// How often a worker says again that it is there, so that a store which forgot it (a server that was restarted) knows it.
pub const HELLO_MS: u64 = 15_000;
/// A worker of which nothing was heard for so long, and that holds no lease, is gone: four times as long as between two
/// of its hellos, so that a short fault of the network takes nobody off the list.
pub const WORKER_SILENT_MS: u64 = 60_000;
/// After so long without a word a store forgets what a worker said of itself; a worker that comes back before, and only
/// claims, is known again.
pub const WORKER_FORGOTTEN_MS: u64 = 24 * 3_600_000;
/// How long a running job may ignore a cancellation before the store ends its lease.
pub const CANCEL_GRACE_MS: u64 = 30_000;
/// Retention of completed and cancelled jobs by default.
pub const RETENTION_ENDED_MS: u64 = 24 * 3_600_000;
/// Retention of dead jobs by default.
pub const RETENTION_DEAD_MS: u64 = 90 * 24 * 3_600_000;
/// Completed or cancelled jobs kept a queue by default.
pub const RETENTION_ENDED_COUNT: u64 = 1_000_000;
/// How long, and how many, ended ids are remembered after their jobs are gone.
pub const REMEMBERED_MS: u64 = 24 * 3_600_000;
/// See [`REMEMBERED_MS`].
pub const REMEMBERED_MAX: usize = 1_000_000;
/// Result and error bytes that ride in an event.
pub const EVENT_TEXT_BYTES_MAX: usize = 4 << 10;
/// A delay, snooze or `run_at` may lie at most this far ahead (ten years): farther is a unit mistake.
pub const DELAY_MS_MAX: u64 = 10 * 366 * 86_400_000;
/// Queues, and kinds, of one store: both stand in 16 bits of every slot.
pub const QUEUES_MAX: usize = 60_000;
/// See [`QUEUES_MAX`].
pub const KINDS_MAX: usize = 60_000;
/// Error fingerprints and kinds counted apart in a queue; the rest are counted under `other`.
pub const COUNTED_PER_QUEUE_MAX: usize = 1_000;
/// Jobs examined by one page of a list when no index answers it.
pub const LIST_BUDGET_DEFAULT: usize = 10_000;
/// The most jobs that one request over HTTP looks at: some tenths of a second of a store that holds them in memory.
pub const LIST_BUDGET_MAX: usize = 1_000_000;
/// Items of one page of a list.
pub const PAGE_MAX: usize = 1_000;
/// Delay of a job given back because no handler knows it: from 1 s, doubled, up to 1 min.
pub const NO_HANDLER_DELAY_MS_MIN: u64 = 1_000;
/// See [`NO_HANDLER_DELAY_MS_MIN`].
pub const NO_HANDLER_DELAY_MS_MAX: u64 = 60_000;
/// Bytes of an error's first line that lists show.
pub const ERROR_LINE_BYTES_MAX: usize = 200;
/// Bytes of one value in the store's `meta`.
pub const META_BYTES_MAX: usize = 1 << 20;
/// Schedules of one store; each keeps its payload in memory.
pub const SCHEDULES_MAX: usize = 10_000;
/// Named limits of one store.
pub const LIMITS_MAX: usize = 1_000_000;

/// The text cut at a character border, so that it has at most `most` bytes.
pub fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
