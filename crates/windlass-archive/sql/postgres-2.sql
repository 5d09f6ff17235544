-- What version 2 of an archive in PostgreSQL adds: what each job brought to its handler, where that is archived too.

-- No row: it was not asked for. `gone`: it was, and the store had it no more; then all else is null.
CREATE TABLE windlass_archive.payload (
  job uuid NOT NULL PRIMARY KEY,
  priority smallint,
  gone boolean NOT NULL,
  payload text,
  payload_bytes bytea,         -- a payload that is no text
  tags text,                   -- a JSON list; null without tags
  trace text
);
CREATE INDEX payload_gone ON windlass_archive.payload (job) WHERE gone;

CREATE OR REPLACE VIEW windlass_archive.jobs AS
SELECT j.id, q.name AS queue, k.name AS kind, j.group_key,
       CASE WHEN j.removed_at IS NULL OR e.state NOT IN ('waiting', 'running') THEN e.state
            WHEN j.removed_cause <> 11 THEN 'deleted' END AS state,
       nullif(c.name, 'none') AS cause, j.attempts,
       1 + (SELECT count(*) FROM windlass_archive.retry r WHERE r.job = j.id) AS generation,
       to_timestamp(j.enqueued_at / 1000.0) AS enqueued_at,
       to_timestamp(j.ended_at / 1000.0) AS ended_at,
       to_timestamp(j.removed_at / 1000.0) AS removed_at,
       j.ended_at - j.enqueued_at AS took_ms,
       a.text AS error, a.result, j.id AS job,
       p.payload, p.payload_bytes, p.priority, p.tags, p.trace, p.gone AS payload_gone
FROM windlass_archive.job j
JOIN windlass_archive.queue q ON q.id = j.queue
JOIN windlass_archive.kind k ON k.id = j.kind
LEFT JOIN windlass_archive.event_type e ON e.id = j.last_event
LEFT JOIN windlass_archive.cause c ON c.id = j.last_cause
LEFT JOIN windlass_archive.attempt a ON a.job = j.id AND a.attempt = j.attempts
LEFT JOIN windlass_archive.payload p ON p.job = j.id;
