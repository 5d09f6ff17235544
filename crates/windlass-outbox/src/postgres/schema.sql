-- The outbox of Windlass, version 1: docs/outbox.md. A committed row of windlass_outbox becomes exactly one job.

-- A new id: UUIDv7, so that ids sort by time.
CREATE OR REPLACE FUNCTION windlass_outbox_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid $$;

-- Rows that wait for the relay. Insert into it in your own transaction; options as in docs/outbox.md.
CREATE TABLE IF NOT EXISTS windlass_outbox (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id uuid NOT NULL DEFAULT windlass_outbox_id(),
  queue text NOT NULL,
  kind text NOT NULL,
  payload jsonb NOT NULL DEFAULT '{}',
  payload_bytes bytea, -- instead of payload, for what is not JSON or must stay as it is to the byte
  options jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Rows that the relay has set aside: refused by the queue for good, held behind a refused row of their ordered group,
-- or sent and kept.
CREATE TABLE IF NOT EXISTS windlass_outbox_aside (
  seq bigint PRIMARY KEY,
  id uuid NOT NULL,
  queue text NOT NULL,
  kind text NOT NULL,
  payload jsonb NOT NULL,
  payload_bytes bytea,
  options jsonb NOT NULL,
  created_at timestamptz NOT NULL,
  state text NOT NULL CHECK (state IN ('refused', 'held', 'sent')),
  code text,
  reason text,
  shuts boolean NOT NULL DEFAULT false,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS windlass_outbox_aside_state ON windlass_outbox_aside (state, seq);

-- Batches that the relay has begun to deliver.
CREATE TABLE IF NOT EXISTS windlass_outbox_batch (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  fence uuid NOT NULL,
  seqs bigint[] NOT NULL
);

-- Which outbox this is, and the version of its tables.
CREATE TABLE IF NOT EXISTS windlass_outbox_relay (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  version bigint NOT NULL,
  source uuid NOT NULL
);
INSERT INTO windlass_outbox_relay (version, source) VALUES (1, gen_random_uuid()) ON CONFLICT DO NOTHING;

-- Inserts one row and gives the job's id.
CREATE OR REPLACE FUNCTION windlass_outbox_enqueue(queue text, kind text, payload jsonb DEFAULT '{}', options jsonb DEFAULT '{}')
RETURNS uuid LANGUAGE sql VOLATILE AS $$
  INSERT INTO windlass_outbox (queue, kind, payload, options) VALUES ($1, $2, $3, $4) RETURNING id $$;
