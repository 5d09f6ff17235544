-- What version 2 of an archive in SQLite adds: what each job brought to its handler, where that is archived too.

-- No row: it was not asked for. `gone`: it was, and the store had it no more; then all else is null.
CREATE TABLE payload (
  job BLOB NOT NULL PRIMARY KEY,
  priority INTEGER,
  gone INTEGER NOT NULL,
  payload TEXT,
  payload_bytes BLOB,          -- a payload that is no text
  tags TEXT,                   -- a JSON list; null without tags
  trace TEXT
) WITHOUT ROWID;
CREATE INDEX payload_gone ON payload (job) WHERE gone;

DROP VIEW IF EXISTS jobs;
CREATE VIEW jobs AS
SELECT lower(substr(hex(j.id), 1, 8) || '-' || substr(hex(j.id), 9, 4) || '-' || substr(hex(j.id), 13, 4) || '-'
         || substr(hex(j.id), 17, 4) || '-' || substr(hex(j.id), 21)) AS id,
       q.name AS queue, k.name AS kind, j.group_key,
       CASE WHEN j.removed_at IS NULL OR e.state NOT IN ('waiting', 'running') THEN e.state
            WHEN j.removed_cause <> 11 THEN 'deleted' END AS state,
       nullif(c.name, 'none') AS cause, j.attempts,
       1 + (SELECT count(*) FROM retry r WHERE r.job = j.id) AS generation,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.enqueued_at / 1000.0, 'unixepoch') AS enqueued_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.ended_at / 1000.0, 'unixepoch') AS ended_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', j.removed_at / 1000.0, 'unixepoch') AS removed_at,
       j.ended_at - j.enqueued_at AS took_ms,
       a.text AS error, a.result, j.id AS job,
       p.payload, p.payload_bytes, p.priority, p.tags, p.trace, p.gone AS payload_gone
FROM job j
JOIN queue q ON q.id = j.queue
JOIN kind k ON k.id = j.kind
LEFT JOIN event_type e ON e.id = j.last_event
LEFT JOIN cause c ON c.id = j.last_cause
LEFT JOIN attempt a ON a.job = j.id AND a.attempt = j.attempts
LEFT JOIN payload p ON p.job = j.id;
