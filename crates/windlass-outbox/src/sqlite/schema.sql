-- The outbox of Windlass, version 1: docs/outbox.md. A committed row of windlass_outbox becomes exactly one job.

-- Rows that wait for the relay. Insert into it in your own transaction; options as in docs/outbox.md. The id is a
-- UUIDv7, so that ids sort by time; a payload may be text or a blob.
CREATE TABLE IF NOT EXISTS windlass_outbox (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL DEFAULT (lower(
    substr(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)), 1, 8) || '-' ||
    substr(printf('%012x', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)), 9, 4) || '-7' ||
    substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' ||
    hex(randomblob(6)))),
  queue TEXT NOT NULL,
  kind TEXT NOT NULL,
  payload NOT NULL DEFAULT '{}',
  options TEXT NOT NULL DEFAULT '{}',
  created_at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
);

-- Rows that the relay has set aside: refused by the queue for good, held behind a refused row of their ordered group,
-- or sent and kept.
CREATE TABLE IF NOT EXISTS windlass_outbox_aside (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  queue TEXT NOT NULL,
  kind TEXT NOT NULL,
  payload NOT NULL,
  options TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('refused', 'held', 'sent')),
  code TEXT,
  reason TEXT,
  shuts INTEGER NOT NULL DEFAULT 0,
  at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))
);
CREATE INDEX IF NOT EXISTS windlass_outbox_aside_state ON windlass_outbox_aside (state, seq);

-- Batches that the relay has begun to deliver; seqs is a JSON array.
CREATE TABLE IF NOT EXISTS windlass_outbox_batch (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  fence TEXT NOT NULL,
  seqs TEXT NOT NULL
);

-- Which outbox this is, and the version of its tables.
CREATE TABLE IF NOT EXISTS windlass_outbox_relay (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  version INTEGER NOT NULL,
  source TEXT NOT NULL
);
INSERT OR IGNORE INTO windlass_outbox_relay (only_one, version, source) VALUES (1, 1, lower(hex(randomblob(16))));
