-- The tables of an archive in PostgreSQL, as version 1 had them; what version 2 adds is in postgres-2.sql.
-- Times are milliseconds since 1970; the views show timestamps.
-- `windlass_archive.` is replaced where the archive has another schema.

-- One row: what this archive is and how far it has read.
CREATE TABLE windlass_archive.archive (
  one smallint PRIMARY KEY CHECK (one = 1),
  schema_version bigint NOT NULL,
  name text NOT NULL,
  id text NOT NULL,             -- the store keeps it too, so that another store is told apart
  made_at bigint NOT NULL,
  cursor text,                  -- the place in the store's event log; null before the first batch
  events bigint NOT NULL,       -- events read in all
  last_event_at bigint          -- when the newest of them happened
);

CREATE TABLE windlass_archive.queue (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE windlass_archive.kind (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE);
-- The words behind the numbers.
CREATE TABLE windlass_archive.event_type (id smallint PRIMARY KEY, name text NOT NULL, state text);
CREATE TABLE windlass_archive.cause (id smallint PRIMARY KEY, name text NOT NULL);

-- Wide columns first, so that no byte goes into alignment. `removed_at` is in no index and half of each page is free, so
-- that removals, which come for whole pages at once, are updates in place that no index hears of.
CREATE TABLE windlass_archive.job (
  id uuid NOT NULL PRIMARY KEY,
  enqueued_at bigint,           -- null: before the archive began, or inside a gap
  last_at bigint,               -- when it came to stand where it stands
  ended_at bigint,              -- its end, or its deletion; null: live, or its end is inside a gap
  removed_at bigint,            -- when the store forgot it
  cancel_requested_at bigint,
  edited_at bigint,
  queue integer NOT NULL,
  kind integer NOT NULL,
  attempts integer NOT NULL,
  last_event smallint,          -- event_type: where it stands
  last_cause smallint,          -- cause: why
  removed_cause smallint,
  group_key text
) WITH (fillfactor = 50);
CREATE INDEX job_ended ON windlass_archive.job (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE windlass_archive.attempt (
  job uuid NOT NULL,
  started_at bigint,            -- null: before the archive began, or inside a gap
  ended_at bigint,              -- null: running, or its end is inside a gap
  worker bigint,
  fingerprint bigint,           -- failure_mode
  attempt integer NOT NULL,     -- from 1, over all generations
  outcome smallint,             -- event_type
  cause smallint,
  text text,                    -- error or reason, cut at 4 KiB
  result text,                  -- cut at 4 KiB
  result_bytes bytea,           -- a result that is no text
  PRIMARY KEY (job, attempt)
);
CREATE INDEX attempt_failed ON windlass_archive.attempt (fingerprint) WHERE fingerprint IS NOT NULL;

-- One row for each new generation, with what the one before came to.
CREATE TABLE windlass_archive.retry (
  job uuid NOT NULL,
  place bigint NOT NULL,        -- the event's place in the store's log
  place_index bigint NOT NULL,
  at bigint NOT NULL,
  was_at bigint,
  attempt integer NOT NULL,     -- attempts before it
  was_event smallint,
  was_cause smallint,
  PRIMARY KEY (job, place, place_index)
);

-- Errors with everything that varies replaced.
CREATE TABLE windlass_archive.failure_mode (
  fingerprint bigint PRIMARY KEY,
  title text NOT NULL,
  last_at bigint NOT NULL
);

-- Stretches of the event log that were gone before they were read.
CREATE TABLE windlass_archive.gap (
  after text NOT NULL,
  reason text NOT NULL,
  resumed text NOT NULL,
  last_at bigint,
  next_at bigint,
  found_at bigint NOT NULL,
  PRIMARY KEY (after, reason)
);

CREATE VIEW windlass_archive.attempts AS
SELECT a.job AS id, q.name AS queue, k.name AS kind, j.group_key, a.attempt,
       1 + (SELECT count(*) FROM windlass_archive.retry r WHERE r.job = a.job AND r.attempt < a.attempt) AS generation,
       'w-' || lpad(to_hex(a.worker), 16, '0') AS worker,
       to_timestamp(a.started_at / 1000.0) AS started_at,
       to_timestamp(a.ended_at / 1000.0) AS ended_at,
       a.ended_at - a.started_at AS ms,
       e.name AS outcome, nullif(c.name, 'none') AS cause, a.text, a.result, a.job
FROM windlass_archive.attempt a
JOIN windlass_archive.job j ON j.id = a.job
JOIN windlass_archive.queue q ON q.id = j.queue
JOIN windlass_archive.kind k ON k.id = j.kind
LEFT JOIN windlass_archive.event_type e ON e.id = a.outcome
LEFT JOIN windlass_archive.cause c ON c.id = a.cause;

CREATE VIEW windlass_archive.dead_by_day AS
SELECT (to_timestamp(j.ended_at / 1000.0) AT TIME ZONE 'UTC')::date AS day, q.name AS queue, k.name AS kind,
       lpad(to_hex(a.fingerprint), 16, '0') AS fingerprint,
       coalesce(m.title, c.name) AS title, count(*) AS jobs
FROM windlass_archive.job j
JOIN windlass_archive.queue q ON q.id = j.queue
JOIN windlass_archive.kind k ON k.id = j.kind
LEFT JOIN windlass_archive.cause c ON c.id = j.last_cause
LEFT JOIN windlass_archive.attempt a ON a.job = j.id AND a.attempt = j.attempts
LEFT JOIN windlass_archive.failure_mode m ON m.fingerprint = a.fingerprint
WHERE j.last_event = 5 AND j.ended_at IS NOT NULL
GROUP BY 1, 2, 3, 4, 5;

CREATE VIEW windlass_archive.attempt_durations AS
SELECT q.name AS queue, k.name AS kind, e.name AS outcome, count(*) AS attempts,
       percentile_disc(0.50) WITHIN GROUP (ORDER BY a.ended_at - a.started_at) AS p50_ms,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY a.ended_at - a.started_at) AS p95_ms,
       percentile_disc(0.99) WITHIN GROUP (ORDER BY a.ended_at - a.started_at) AS p99_ms,
       max(a.ended_at - a.started_at) AS max_ms
FROM windlass_archive.attempt a
JOIN windlass_archive.job j ON j.id = a.job
JOIN windlass_archive.queue q ON q.id = j.queue
JOIN windlass_archive.kind k ON k.id = j.kind
JOIN windlass_archive.event_type e ON e.id = a.outcome
WHERE a.started_at IS NOT NULL AND a.ended_at IS NOT NULL
GROUP BY q.name, k.name, e.name;

CREATE VIEW windlass_archive.throughput_by_hour AS
SELECT date_trunc('hour', to_timestamp(j.ended_at / 1000.0) AT TIME ZONE 'UTC') AS hour, q.name AS queue,
       count(*) FILTER (WHERE j.last_event = 3) AS completed,
       count(*) FILTER (WHERE j.last_event = 5) AS dead,
       count(*) FILTER (WHERE j.last_event = 9) AS cancelled
FROM windlass_archive.job j
JOIN windlass_archive.queue q ON q.id = j.queue
WHERE j.ended_at IS NOT NULL
GROUP BY 1, 2;

CREATE VIEW windlass_archive.gaps AS
SELECT reason, after, resumed,
       to_timestamp(last_at / 1000.0) AS last_event_before,
       to_timestamp(next_at / 1000.0) AS first_event_after,
       to_timestamp(found_at / 1000.0) AS found_at
FROM windlass_archive.gap;
