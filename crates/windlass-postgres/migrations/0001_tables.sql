-- The tables of one namespace. A schema is a namespace.
--
-- A job's body stands in `job` and is never rewritten but by an edit. Where the job stands is told by the one place
-- that it has in `ready`, `deferred`, `run`, `blocked` or `ended`: a transition takes it out of one and puts it into another.
-- A producer's transaction only inserts (job, its key, a line in `incoming`); everything that two transactions could
-- quarrel about (the ready order, counts, fair order, events) is written under the queue's lock by whoever comes next.
--
-- What comes and goes in batches is kept in batches: one row for up to 50 ready jobs of a lane, for the leases of one
-- claim, for the completions of one call. And what is read in an order is read from a floor that is kept with the queue or
-- its group, so that rows which a long transaction keeps vacuum from removing are never walked over.
--
-- States have the numbers of the contract: 0 scheduled, 1 ready, 2 running, 3 retrying, 4 blocked, 5 completed,
-- 6 dead, 7 cancelled. Times are milliseconds since the Unix epoch. 64-bit numbers without a sign (tokens, workers,
-- fingerprints) stand in `bigint` by their bits.

CREATE SEQUENCE windlass.seq;
CREATE SEQUENCE windlass.counter;

-- What the schema is and which server it lives on: a server that started anew owes every lease its full time.
CREATE TABLE windlass.schema (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  version int NOT NULL,
  server_started text NOT NULL,
  trimmed xid8 NOT NULL DEFAULT '0'
);

CREATE TABLE windlass.queue (
  name text COLLATE "C" PRIMARY KEY,
  settings jsonb NOT NULL DEFAULT '{}',
  paused boolean NOT NULL DEFAULT false,
  concurrency bigint,
  rate_count bigint,
  rate_period bigint,
  rate_burst bigint,
  lease_ms bigint NOT NULL DEFAULT 30000,
  max_waiting bigint,
  g_weight bigint NOT NULL DEFAULT 1,
  g_concurrency bigint,
  g_rate_count bigint,
  g_rate_period bigint,
  g_rate_burst bigint,
  g_ordered boolean NOT NULL DEFAULT false,
  g_block boolean NOT NULL DEFAULT true
);

-- What changes with every batch of a queue; one row, rewritten under the queue's lock. Its number `v` grows now and then,
-- so that the newest version is the first in the index however many dead ones a long transaction keeps.
--
-- `seen`: no transaction before it can still bring anything into `incoming`. `term_floor`: no lease is due before it.
-- `front_*`: no group stands in the order before that priority, virtual time and key. `folded`: up to there `pulse` is in
-- `series` and `hist`.
CREATE TABLE windlass.qstate (
  queue text COLLATE "C" NOT NULL,
  v bigint NOT NULL DEFAULT 0,
  seen xid8 NOT NULL DEFAULT '0',
  term_floor bigint NOT NULL DEFAULT 0,
  front_entry smallint NOT NULL DEFAULT 99,
  front_vt bigint NOT NULL DEFAULT 0,
  front_key text COLLATE "C" NOT NULL DEFAULT '',
  folded bigint NOT NULL DEFAULT 0,
  folded_at bigint NOT NULL DEFAULT 0,
  counts bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0}',
  totals bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0,0}',
  floor bigint NOT NULL DEFAULT 0,
  tat_ms bigint NOT NULL DEFAULT 0,
  tat_frac bigint NOT NULL DEFAULT 0,
  hold_until bigint NOT NULL DEFAULT 0,
  timer_at bigint,
  retention_rests_until bigint NOT NULL DEFAULT 0,
  wait_sum numeric NOT NULL DEFAULT 0,
  wait_max bigint NOT NULL DEFAULT 0,
  run_sum numeric NOT NULL DEFAULT 0,
  run_max bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (queue, v)
) WITH (fillfactor = 40);
CREATE INDEX qstate_timer ON windlass.qstate (timer_at) WHERE timer_at IS NOT NULL;

-- Groups of a queue. `entry` is the best priority of what it could run, and none while nothing of it can: the index
-- over it is the fair order. `v` is as in `qstate`; in the lane of priority `floor_prio` nothing stands before `floor_seq`.
CREATE TABLE windlass.grp (
  queue text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  v bigint NOT NULL DEFAULT 0,
  floor_prio smallint NOT NULL DEFAULT 99,
  floor_seq bigint NOT NULL DEFAULT 0,
  own jsonb,
  weight bigint,
  concurrency bigint,
  rate_count bigint,
  rate_period bigint,
  rate_burst bigint,
  block boolean,
  ordered boolean NOT NULL DEFAULT false,
  vt bigint NOT NULL DEFAULT 0,
  entry smallint,
  parked boolean NOT NULL DEFAULT false,
  timer_at bigint,
  claimed bigint NOT NULL DEFAULT 0,
  counts bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0}',
  tat_ms bigint NOT NULL DEFAULT 0,
  tat_frac bigint NOT NULL DEFAULT 0,
  hold_until bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (queue, key, v)
) WITH (fillfactor = 50);
CREATE INDEX grp_order ON windlass.grp (queue, entry DESC, vt, key) WHERE entry IS NOT NULL;
CREATE INDEX grp_timer ON windlass.grp (queue, timer_at) WHERE timer_at IS NOT NULL;

CREATE TABLE windlass.job (
  id uuid PRIMARY KEY,
  at bigint NOT NULL,
  prio smallint NOT NULL,
  queue text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  grp text COLLATE "C" NOT NULL,
  lset text COLLATE "C" NOT NULL,
  payload bytea NOT NULL,
  options jsonb
);

-- The ready order. A row is one job (`job`), or up to 50 of one enqueue that have no limits and no order (`jobs`); what
-- is known of a job in such a row is its time of enqueue, by which it is found. `flags`: see `run`.
CREATE TABLE windlass.ready (
  seq bigint NOT NULL,
  since bigint NOT NULL,
  attempt int NOT NULL,
  prio smallint NOT NULL,
  flags smallint NOT NULL,
  queue text COLLATE "C" NOT NULL,
  grp text COLLATE "C" NOT NULL,
  lset text COLLATE "C" NOT NULL,
  job uuid,
  jobs uuid[],
  kinds text[] NOT NULL
);
CREATE INDEX ready_lane ON windlass.ready (queue, grp, lset, prio DESC, seq);
CREATE UNIQUE INDEX ready_job ON windlass.ready (job) WHERE job IS NOT NULL;
CREATE INDEX ready_lot ON windlass.ready (queue, grp, prio, since) WHERE jobs IS NOT NULL;

-- Scheduled (0) and retrying (3). `why`: 1 snoozed, 2 no handler.
CREATE TABLE windlass.deferred (
  job uuid PRIMARY KEY,
  due bigint NOT NULL,
  seq bigint NOT NULL,
  attempt int NOT NULL,
  state smallint NOT NULL,
  why smallint NOT NULL,
  queue text COLLATE "C" NOT NULL
);
CREATE INDEX deferred_due ON windlass.deferred (queue, due, seq);

-- The last attempt of a job: its lease while `done_at` is 0, its acknowledged completion from then on. The row is written
-- twice in place, so half of each page is left free and no index covers what changes.
--
-- `flags`: 1 its end concerns more than itself (limits, an ordered group), 2 it has options (a unique key, for one).
-- `term` is the batch of leases that it was claimed in, `seq` the row of `finished` that it ended in.
CREATE TABLE windlass.run (
  job uuid PRIMARY KEY,
  counter bigint NOT NULL,
  nonce bigint NOT NULL,
  worker bigint NOT NULL,
  started_at bigint NOT NULL,
  since bigint NOT NULL,
  lease_ms bigint NOT NULL,
  term bigint NOT NULL,
  deadline bigint NOT NULL,
  grace_until bigint NOT NULL DEFAULT 0,
  done_at bigint NOT NULL DEFAULT 0,
  seq bigint NOT NULL DEFAULT 0,
  attempt int NOT NULL,
  flags smallint NOT NULL,
  queue text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  grp text COLLATE "C" NOT NULL,
  lset text COLLATE "C" NOT NULL,
  result bytea
) WITH (fillfactor = 50);
CREATE VIEW windlass.lease AS SELECT * FROM windlass.run WHERE done_at = 0;

-- The leases of one claim, as long as one of them is held (`held` of them are). `check_at` is when upkeep looks: a
-- heartbeat moves only a deadline.
CREATE TABLE windlass.term (
  id bigint PRIMARY KEY,
  queue text COLLATE "C" NOT NULL,
  check_at bigint NOT NULL,
  worker bigint NOT NULL,
  held int NOT NULL,
  jobs uuid[] NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX term_check ON windlass.term (queue, check_at);

CREATE TABLE windlass.blocked (
  job uuid PRIMARY KEY,
  since bigint NOT NULL,
  due bigint NOT NULL,
  attempt int NOT NULL,
  queue text COLLATE "C" NOT NULL
);

-- The completions of one call, in the order of their ends; what is known of each is in `run`.
CREATE TABLE windlass.finished (
  queue text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  at bigint NOT NULL,
  jobs uuid[] NOT NULL,
  PRIMARY KEY (queue, seq)
);

-- Dead and cancelled jobs.
CREATE TABLE windlass.ended (
  job uuid PRIMARY KEY,
  seq bigint NOT NULL,
  at bigint NOT NULL,
  attempt int NOT NULL,
  state smallint NOT NULL,
  cause smallint NOT NULL,
  shut boolean NOT NULL DEFAULT false,
  queue text COLLATE "C" NOT NULL
);
-- A dead head that shuts its ordered group stands apart: retention leaves it alone.
CREATE INDEX ended_order ON windlass.ended (queue, state, shut, seq);

-- What only some jobs have. `ack_*` is the last settlement: 1 failed, 2 snoozed, 3 released, 4 cancelled.
CREATE TABLE windlass.extra (
  job uuid PRIMARY KEY,
  failures int NOT NULL DEFAULT 0,
  losses int NOT NULL DEFAULT 0,
  snoozes int NOT NULL DEFAULT 0,
  no_handler int NOT NULL DEFAULT 0,
  generation int NOT NULL DEFAULT 0,
  cause smallint NOT NULL DEFAULT 0,
  key_given_up boolean NOT NULL DEFAULT false,
  fingerprint bigint,
  last_error text,
  reason text,
  ack_counter bigint,
  ack_nonce bigint,
  ack_outcome smallint,
  percent smallint,
  message text,
  checkpoint bytea
) WITH (fillfactor = 80);

CREATE TABLE windlass.attempt (
  job uuid NOT NULL,
  attempt int NOT NULL,
  worker bigint NOT NULL,
  started_at bigint NOT NULL,
  ended_at bigint NOT NULL,
  outcome text NOT NULL,
  error json,
  PRIMARY KEY (job, attempt)
);
CREATE TABLE windlass.log (
  job uuid NOT NULL,
  attempt int NOT NULL,
  n bigserial,
  bytes int NOT NULL,
  text text NOT NULL,
  PRIMARY KEY (job, attempt, n)
);

-- The line of each ordered group.
CREATE TABLE windlass.place (
  queue text COLLATE "C" NOT NULL,
  grp text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  job uuid NOT NULL UNIQUE,
  PRIMARY KEY (queue, grp, seq)
);

CREATE TABLE windlass.edge (
  parent uuid NOT NULL,
  child uuid NOT NULL,
  n bigserial,
  always boolean NOT NULL,
  PRIMARY KEY (parent, n)
);
CREATE INDEX edge_child ON windlass.edge (child, n);
-- What a parent's end or retry still owes its children: 0 release, 1 revive.
CREATE TABLE windlass.errand (
  id bigserial PRIMARY KEY,
  parent uuid NOT NULL,
  after bigint NOT NULL DEFAULT 0,
  what smallint NOT NULL
);

CREATE TABLE windlass.expiry (
  queue text COLLATE "C" NOT NULL,
  at bigint NOT NULL,
  job uuid NOT NULL,
  PRIMARY KEY (queue, at, job)
);

-- `until` is 0 as long as the job decides.
CREATE TABLE windlass.unique_key (
  key text COLLATE "C" PRIMARY KEY,
  job uuid NOT NULL,
  until bigint NOT NULL
);
CREATE INDEX unique_key_job ON windlass.unique_key (job);
CREATE INDEX unique_key_until ON windlass.unique_key (until) WHERE until > 0;

CREATE TABLE windlass.gone (
  id uuid PRIMARY KEY,
  n bigserial UNIQUE,
  at bigint NOT NULL,
  state smallint NOT NULL
);

CREATE TABLE windlass.lim (
  name text COLLATE "C" PRIMARY KEY,
  settings jsonb,
  concurrency bigint,
  rate_count bigint,
  rate_period bigint,
  rate_burst bigint,
  in_use bigint NOT NULL DEFAULT 0,
  tat_ms bigint NOT NULL DEFAULT 0,
  tat_frac bigint NOT NULL DEFAULT 0,
  hold_until bigint NOT NULL DEFAULT 0,
  timer_at bigint
) WITH (fillfactor = 50);
CREATE INDEX lim_timer ON windlass.lim (timer_at) WHERE timer_at IS NOT NULL;

-- Lanes of jobs that take named limits. `standing`: 0 idle, 1 in its group's order, 2 in the line of `at_limit`.
CREATE TABLE windlass.lane (
  queue text COLLATE "C" NOT NULL,
  grp text COLLATE "C" NOT NULL,
  prio smallint NOT NULL,
  lset text COLLATE "C" NOT NULL,
  head bigint,
  standing smallint NOT NULL DEFAULT 0,
  at_limit text COLLATE "C",
  line_seq bigint,
  line_vt bigint,
  woken_by text COLLATE "C",
  PRIMARY KEY (queue, grp, prio, lset)
) WITH (fillfactor = 50);
CREATE INDEX lane_standing ON windlass.lane (queue, grp, prio DESC, head) WHERE standing = 1;
CREATE INDEX lane_line ON windlass.lane (at_limit, queue, prio DESC, line_vt, grp, line_seq) WHERE standing = 2;
-- A queue in which something of a limit may go on: made by whoever freed it, used by the queue's next verb.
CREATE TABLE windlass.wake (
  queue text COLLATE "C" NOT NULL,
  lim text COLLATE "C" NOT NULL,
  PRIMARY KEY (queue, lim)
);

-- What producers have brought and nobody has taken up yet: one row for each lane of a batch. Here and in `event`, one
-- kind stands for all when all are the same.
CREATE TABLE windlass.incoming (
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  id bigserial,
  at bigint NOT NULL,
  prio smallint NOT NULL,
  state smallint NOT NULL,
  queue text COLLATE "C" NOT NULL,
  grp text COLLATE "C" NOT NULL,
  lset text COLLATE "C" NOT NULL,
  flags smallint NOT NULL,
  jobs uuid[] NOT NULL,
  kinds text[] NOT NULL,
  PRIMARY KEY (queue, xid, id)
);

-- Completions that stood in a holder's own transaction: written there beside its effects, taken up by whoever comes next.
CREATE TABLE windlass.done (
  id bigserial PRIMARY KEY,
  queue text COLLATE "C" NOT NULL,
  job uuid NOT NULL,
  at bigint NOT NULL,
  counter bigint NOT NULL,
  nonce bigint NOT NULL,
  result bytea
);
CREATE INDEX done_queue ON windlass.done (queue, id);

-- The event log: one row for a batch of one type. A place in it is (transaction, how many events of it were read):
-- transactions below the snapshot's horizon never get another event.
CREATE TABLE windlass.event (
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  id bigserial,
  at bigint NOT NULL,
  worker bigint,
  type smallint NOT NULL,
  cause smallint NOT NULL,
  queue text COLLATE "C" NOT NULL,
  jobs uuid[] NOT NULL,
  kinds text[] NOT NULL,
  grps text[],
  attempts int[],
  texts text[],
  results bytea[],
  PRIMARY KEY (xid, id)
);
CREATE TABLE windlass.reader (
  name text COLLATE "C" PRIMARY KEY,
  place bigint NOT NULL,
  idx bigint NOT NULL
);

CREATE TABLE windlass.series (
  queue text COLLATE "C" NOT NULL,
  what smallint NOT NULL,
  width bigint NOT NULL,
  slot bigint NOT NULL,
  n bigint NOT NULL,
  PRIMARY KEY (queue, what, width, slot)
) WITH (fillfactor = 80);
CREATE TABLE windlass.hist (
  queue text COLLATE "C" NOT NULL,
  what smallint NOT NULL,
  bucket smallint NOT NULL,
  n bigint NOT NULL,
  PRIMARY KEY (queue, what, bucket)
) WITH (fillfactor = 50);
-- What batches add to `series` and `hist`, folded into them once a second: `what` as in `series`, `hist` as in `hist`.
CREATE TABLE windlass.pulse (
  queue text COLLATE "C" NOT NULL,
  id bigserial,
  at bigint NOT NULL,
  what smallint,
  n bigint NOT NULL,
  hist smallint,
  buckets smallint[],
  ns bigint[],
  PRIMARY KEY (queue, id)
);
CREATE VIEW windlass.series_now AS SELECT queue, what, width, slot, n FROM windlass.series
  UNION ALL SELECT p.queue, p.what, w.width, p.at / w.width, p.n FROM windlass.pulse p CROSS JOIN (VALUES (1000::bigint), (60000), (3600000)) w(width) WHERE p.what IS NOT NULL;
CREATE VIEW windlass.hist_now AS SELECT queue, what, bucket, n FROM windlass.hist
  UNION ALL SELECT p.queue, p.hist, u.bucket, u.n FROM windlass.pulse p CROSS JOIN LATERAL unnest(p.buckets, p.ns) u(bucket, n);
CREATE TABLE windlass.mode (
  queue text COLLATE "C" NOT NULL,
  fingerprint bigint NOT NULL,
  title text NOT NULL,
  kind text NOT NULL,
  dead bigint NOT NULL DEFAULT 0,
  failures bigint NOT NULL DEFAULT 0,
  first_seen bigint NOT NULL,
  last_seen bigint NOT NULL,
  sample uuid NOT NULL,
  PRIMARY KEY (queue, fingerprint)
) WITH (fillfactor = 80);

-- Ids do not compress: trying costs more than it saves.
ALTER TABLE windlass.ready ALTER jobs SET STORAGE EXTERNAL;
ALTER TABLE windlass.incoming ALTER jobs SET STORAGE EXTERNAL;
ALTER TABLE windlass.term ALTER jobs SET STORAGE EXTERNAL;
ALTER TABLE windlass.finished ALTER jobs SET STORAGE EXTERNAL;
ALTER TABLE windlass.event ALTER jobs SET STORAGE EXTERNAL;

CREATE TABLE windlass.schedule (
  name text COLLATE "C" PRIMARY KEY,
  spec jsonb NOT NULL,
  through bigint NOT NULL,
  last_tick bigint,
  last_job uuid,
  next bigint,
  ticks bigint NOT NULL DEFAULT 0,
  skipped bigint NOT NULL DEFAULT 0
);
CREATE INDEX schedule_next ON windlass.schedule (next) WHERE next IS NOT NULL;
CREATE TABLE windlass.meta (
  key text COLLATE "C" PRIMARY KEY,
  version bigint NOT NULL,
  value bytea NOT NULL
);
CREATE TABLE windlass.worker (
  id bigint PRIMARY KEY,
  hello jsonb NOT NULL,
  seen_at bigint NOT NULL
);
