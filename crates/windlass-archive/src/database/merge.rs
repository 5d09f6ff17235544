//! How a row of a batch meets the row that the table holds: the one statement of it for both databases.
//!
//! What a batch does not mention stays; a job's standing is replaced as a whole; an attempt's first end stands. So a
//! stretch of the log that is written twice leaves the tables as they were after the first time.

/// Columns of `job` in the order in which they are written.
pub(in crate::database) const JOB_COLUMNS: &str = "id, queue, kind, group_key, enqueued_at, attempts, last_event, last_at, \
     last_cause, ended_at, cancel_requested_at, edited_at, removed_at, removed_cause";

/// A job that is there already.
pub(in crate::database) const JOB_MERGE: &str = "ON CONFLICT (id) DO UPDATE SET
  enqueued_at = coalesce(excluded.enqueued_at, job.enqueued_at),
  attempts = CASE WHEN excluded.attempts > job.attempts THEN excluded.attempts ELSE job.attempts END,
  last_event = coalesce(excluded.last_event, job.last_event),
  last_at = coalesce(excluded.last_at, job.last_at),
  last_cause = coalesce(excluded.last_cause, job.last_cause),
  ended_at = CASE WHEN excluded.last_event IS NULL THEN coalesce(job.ended_at, excluded.ended_at) ELSE excluded.ended_at END,
  cancel_requested_at = coalesce(excluded.cancel_requested_at, job.cancel_requested_at),
  edited_at = coalesce(excluded.edited_at, job.edited_at),
  removed_at = coalesce(excluded.removed_at, job.removed_at),
  removed_cause = coalesce(excluded.removed_cause, job.removed_cause)";

/// Columns of `attempt` in the order in which they are written.
pub(in crate::database) const ATTEMPT_COLUMNS: &str = "job, attempt, worker, started_at, ended_at, outcome, cause, fingerprint, \
     text, result, result_bytes";

/// An attempt that is there already.
pub(in crate::database) const ATTEMPT_MERGE: &str = "ON CONFLICT (job, attempt) DO UPDATE SET
  worker = coalesce(excluded.worker, attempt.worker),
  started_at = coalesce(excluded.started_at, attempt.started_at),
  ended_at = coalesce(attempt.ended_at, excluded.ended_at),
  outcome = coalesce(attempt.outcome, excluded.outcome),
  cause = coalesce(attempt.cause, excluded.cause),
  fingerprint = coalesce(attempt.fingerprint, excluded.fingerprint),
  text = coalesce(attempt.text, excluded.text),
  result = coalesce(attempt.result, excluded.result),
  result_bytes = coalesce(attempt.result_bytes, excluded.result_bytes)";

/// Columns of `payload` in the order in which they are written.
pub(in crate::database) const PAYLOAD_COLUMNS: &str =
    "job, gone, payload, payload_bytes, priority, tags, trace";

/// A payload that is there already: one that the store has no more does not take its place.
pub(in crate::database) const PAYLOAD_MERGE: &str = "ON CONFLICT (job) DO UPDATE SET
  gone = excluded.gone, payload = excluded.payload, payload_bytes = excluded.payload_bytes, priority = excluded.priority,
  tags = excluded.tags, trace = excluded.trace WHERE NOT excluded.gone";

/// A failure mode that is there already.
pub(in crate::database) const MODE_MERGE: &str = "ON CONFLICT (fingerprint) DO UPDATE SET
  last_at = CASE WHEN excluded.last_at > failure_mode.last_at THEN excluded.last_at ELSE failure_mode.last_at END";

/// A gap that was found before: reading may have come farther since.
pub(in crate::database) const GAP_MERGE: &str = "ON CONFLICT (after, reason) DO UPDATE SET
  resumed = excluded.resumed, next_at = coalesce(excluded.next_at, gap.next_at)";
