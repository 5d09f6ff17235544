-- The tables of an archive in SQLite, as version 1 had them; what version 2 adds is in sqlite-2.sql.
-- Times are milliseconds since 1970; the views show them as text.

-- One row: what this archive is and how far it has read.
CREATE TABLE archive (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  schema_version INTEGER NOT NULL,
  name TEXT NOT NULL,
  id TEXT NOT NULL,            -- the store keeps it too, so that another store is told apart
  made_at INTEGER NOT NULL,
  cursor TEXT,                 -- the place in the store's event log; null before the first batch
  events INTEGER NOT NULL,     -- events read in all
  last_event_at INTEGER        -- when the newest of them happened
);

CREATE TABLE queue (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE kind (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
-- The words behind the numbers.
CREATE TABLE event_type (id INTEGER PRIMARY KEY, name TEXT NOT NULL, state TEXT);
CREATE TABLE cause (id INTEGER PRIMARY KEY, name TEXT NOT NULL);

CREATE TABLE job (
  id BLOB NOT NULL PRIMARY KEY,  -- 16 bytes, big endian
  enqueued_at INTEGER,           -- null: before the archive began, or inside a gap
  last_at INTEGER,               -- when it came to stand where it stands
  ended_at INTEGER,              -- its end, or its deletion; null: live, or its end is inside a gap
  removed_at INTEGER,            -- when the store forgot it
  cancel_requested_at INTEGER,
  edited_at INTEGER,
  queue INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  last_event INTEGER,            -- event_type: where it stands
  last_cause INTEGER,            -- cause: why
  removed_cause INTEGER,
  group_key TEXT
) WITHOUT ROWID;
CREATE INDEX job_ended ON job (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE attempt (
  job BLOB NOT NULL,
  attempt INTEGER NOT NULL,      -- from 1, over all generations
  started_at INTEGER,            -- null: before the archive began, or inside a gap
  ended_at INTEGER,              -- null: running, or its end is inside a gap
  worker INTEGER,
  fingerprint INTEGER,           -- failure_mode
  outcome INTEGER,               -- event_type
  cause INTEGER,
  text TEXT,                     -- error or reason, cut at 4 KiB
  result TEXT,                   -- cut at 4 KiB
  result_bytes BLOB,             -- a result that is no text
  PRIMARY KEY (job, attempt)
) WITHOUT ROWID;
CREATE INDEX attempt_failed ON attempt (fingerprint) WHERE fingerprint IS NOT NULL;

-- One row for each new generation, with what the one before came to.
CREATE TABLE retry (
  job BLOB NOT NULL,
  place INTEGER NOT NULL,        -- the event's place in the store's log
  place_index INTEGER NOT NULL,
  at INTEGER NOT NULL,
  attempt INTEGER NOT NULL,      -- attempts before it
  was_at INTEGER,
  was_event INTEGER,
  was_cause INTEGER,
  PRIMARY KEY (job, place, place_index)
) WITHOUT ROWID;

-- Errors with everything that varies replaced.
CREATE TABLE failure_mode (
  fingerprint INTEGER PRIMARY KEY,
  title TEXT NOT NULL,
  last_at INTEGER NOT NULL
);

-- Stretches of the event log that were gone before they were read.
CREATE TABLE gap (
  after TEXT NOT NULL,
  reason TEXT NOT NULL,
  resumed TEXT NOT NULL,
  last_at INTEGER,
  next_at INTEGER,
  found_at INTEGER NOT NULL,
  PRIMARY KEY (after, reason)
) WITHOUT ROWID;

CREATE VIEW attempts AS
SELECT lower(substr(hex(a.job), 1, 8) || '-' || substr(hex(a.job), 9, 4) || '-' || substr(hex(a.job), 13, 4) || '-'
         || substr(hex(a.job), 17, 4) || '-' || substr(hex(a.job), 21)) AS id,
       q.name AS queue, k.name AS kind, j.group_key, a.attempt,
       1 + (SELECT count(*) FROM retry r WHERE r.job = a.job AND r.attempt < a.attempt) AS generation,
       printf('w-%016x', a.worker) AS worker,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.started_at / 1000.0, 'unixepoch') AS started_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.ended_at / 1000.0, 'unixepoch') AS ended_at,
       a.ended_at - a.started_at AS ms,
       e.name AS outcome, nullif(c.name, 'none') AS cause, a.text, a.result, a.job
FROM attempt a
JOIN job j ON j.id = a.job
JOIN queue q ON q.id = j.queue
JOIN kind k ON k.id = j.kind
LEFT JOIN event_type e ON e.id = a.outcome
LEFT JOIN cause c ON c.id = a.cause;

CREATE VIEW dead_by_day AS
SELECT date(j.ended_at / 1000, 'unixepoch') AS day, q.name AS queue, k.name AS kind,
       CASE WHEN a.fingerprint IS NOT NULL THEN printf('%016x', a.fingerprint) END AS fingerprint,
       coalesce(m.title, c.name) AS title, count(*) AS jobs
FROM job j
JOIN queue q ON q.id = j.queue
JOIN kind k ON k.id = j.kind
LEFT JOIN cause c ON c.id = j.last_cause
LEFT JOIN attempt a ON a.job = j.id AND a.attempt = j.attempts
LEFT JOIN failure_mode m ON m.fingerprint = a.fingerprint
WHERE j.last_event = 5 AND j.ended_at IS NOT NULL
GROUP BY 1, 2, 3, 4, 5;

CREATE VIEW attempt_durations AS
SELECT queue, kind, outcome, count(*) AS attempts,
       max(CASE WHEN nth <= (n * 50 + 99) / 100 THEN ms END) AS p50_ms,
       max(CASE WHEN nth <= (n * 95 + 99) / 100 THEN ms END) AS p95_ms,
       max(CASE WHEN nth <= (n * 99 + 99) / 100 THEN ms END) AS p99_ms,
       max(ms) AS max_ms
FROM (SELECT q.name AS queue, k.name AS kind, e.name AS outcome, a.ended_at - a.started_at AS ms,
             row_number() OVER (PARTITION BY j.queue, j.kind, a.outcome ORDER BY a.ended_at - a.started_at) AS nth,
             count(*) OVER (PARTITION BY j.queue, j.kind, a.outcome) AS n
      FROM attempt a
      JOIN job j ON j.id = a.job
      JOIN queue q ON q.id = j.queue
      JOIN kind k ON k.id = j.kind
      JOIN event_type e ON e.id = a.outcome
      WHERE a.started_at IS NOT NULL AND a.ended_at IS NOT NULL)
GROUP BY queue, kind, outcome;

CREATE VIEW throughput_by_hour AS
SELECT strftime('%Y-%m-%dT%H:00:00Z', j.ended_at / 1000, 'unixepoch') AS hour, q.name AS queue,
       sum(j.last_event = 3) AS completed, sum(j.last_event = 5) AS dead, sum(j.last_event = 9) AS cancelled
FROM job j
JOIN queue q ON q.id = j.queue
WHERE j.ended_at IS NOT NULL
GROUP BY 1, 2;

CREATE VIEW gaps AS
SELECT reason, after, resumed,
       strftime('%Y-%m-%dT%H:%M:%fZ', last_at / 1000.0, 'unixepoch') AS last_event_before,
       strftime('%Y-%m-%dT%H:%M:%fZ', next_at / 1000.0, 'unixepoch') AS first_event_after,
       strftime('%Y-%m-%dT%H:%M:%fZ', found_at / 1000.0, 'unixepoch') AS found_at
FROM gap;
