-- What has to happen on a clock. `plan` is one look, without a lock, at what is due; each queue that has something is
-- then kept up under its own lock, in bounded steps. Anybody may do it at any time, and as many at once as like.

-- How long a queue keeps what has ended so, and how many of them.
CREATE OR REPLACE FUNCTION windlass.keeps(p_settings jsonb, p_state int) RETURNS TABLE (age bigint, most bigint) LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(windlass.ms(p_settings#>ARRAY['retention', k.word || '_ms']), k.age), coalesce(windlass.ms(p_settings#>ARRAY['retention', k.word || '_count']), k.most)
  FROM (VALUES (5, 'completed', 86400000::bigint, 1000000::bigint), (6, 'dead', 7776000000, 9223372036854775807), (7, 'cancelled', 86400000, 1000000)) k(state, word, age, most)
  WHERE k.state = p_state $$;

-- When retention may remove the oldest of each kind of end, if anything.
CREATE OR REPLACE FUNCTION windlass.retention_due(p_queue text) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT greatest(min(x.due), s.retention_rests_until) FROM windlass.queue q JOIN windlass.qstate s ON s.queue = q.name
  CROSS JOIN (VALUES (5), (6), (7)) w(state) CROSS JOIN LATERAL windlass.keeps(q.settings, w.state) k
  CROSS JOIN LATERAL (SELECT CASE WHEN s.counts[w.state + 1] > k.most THEN 1
      ELSE least(e.at::numeric + k.age, 9223372036854775807)::bigint END AS due
    FROM (SELECT at FROM ((SELECT at FROM windlass.ended WHERE w.state > 5 AND queue = p_queue AND state = w.state AND NOT shut ORDER BY seq LIMIT 1)
      UNION ALL (SELECT at FROM windlass.finished WHERE w.state = 5 AND queue = p_queue ORDER BY seq LIMIT 1)) o) e WHERE s.counts[w.state + 1] > 0) x
  WHERE q.name = p_queue GROUP BY s.retention_rests_until $$;

-- Rows of the event log that are kept for readers that are behind. A row is a batch of events.
CREATE OR REPLACE FUNCTION windlass.held_rows() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT 4000000::bigint $$;

-- From which end on readers need jobs, if any does. One that has yet to read more than the bound, or has no place in the
-- log that is kept, needs none.
CREATE OR REPLACE FUNCTION windlass.kept_from() RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT min(r.keeps_from) FROM windlass.reader r WHERE r.keeps_from IS NOT NULL AND r.place > (SELECT trimmed::text::bigint FROM windlass.schema)
    AND coalesce((SELECT id FROM windlass.event ORDER BY xid DESC, id DESC LIMIT 1)
      - (SELECT id FROM windlass.event WHERE xid >= r.place::text::xid8 ORDER BY xid, id LIMIT 1), 0) <= windlass.held_rows() $$;

-- T13: removes what retention no longer keeps. A job with live children goes to the end of its line instead, and none
-- that a reader needs goes.
--
-- Most of the work is with rows of the jobs alone, and nobody changes a job that has ended while its retention is held (a
-- person's verbs: `hold_retention`; parents and children: the namespace's lock). It is done before the queue's lock is taken,
-- so that claims go on beside it. Under the lock it is looked whether what was decided before still holds; if not, all of this
-- is undone and done anew. Nothing is taken up under it: this transaction may have its place in the log from before others
-- that have told of the same jobs meanwhile.
CREATE OR REPLACE FUNCTION windlass.retain(p_at bigint, p_queue text, p_budget int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := windlass.now_ms(p_at); q record; k record; r record; w int; v_excess bigint; v_rest boolean := false; v_kept bigint; v_keep uuid[]; v_n int; v_key text;
  v_ids uuid[]; v_jobs uuid[] := '{}'; v_runs uuid[] := '{}'; v_states smallint[] := '{}'; v_kinds text[] := '{}'; v_grps text[] := '{}'; v_attempts int[] := '{}';
  v_modes jsonb; v_moved bigint[];
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('windlass.all', 1));
  -- Whoever is at it already finds the same jobs.
  IF NOT pg_try_advisory_xact_lock(hashtextextended('windlass.retention ' || p_queue, 4)) THEN RETURN 0; END IF;
  -- A family's completion waits for the whole namespace, and everybody behind it.
  IF EXISTS (SELECT FROM windlass.edge) THEN p_budget := least(p_budget, 500); END IF;
  v_kept := windlass.kept_from();
  SELECT c.settings, s.counts INTO q FROM windlass.queue c CROSS JOIN LATERAL (SELECT * FROM windlass.qstate WHERE queue = c.name ORDER BY v DESC LIMIT 1) s WHERE c.name = p_queue;
  FOR w IN 5..7 LOOP
    EXIT WHEN cardinality(v_jobs) >= p_budget;
    SELECT * INTO k FROM windlass.keeps(q.settings, w);
    v_excess := q.counts[w + 1] - k.most;
    SELECT array_agg(o.job ORDER BY o.n) INTO v_ids FROM (
      SELECT e.job, e.at, row_number() OVER (ORDER BY e.seq) AS n FROM
        (SELECT job, at, seq FROM ((SELECT job, at, seq FROM windlass.ended WHERE w > 5 AND queue = p_queue AND state = w AND NOT shut ORDER BY seq LIMIT p_budget - cardinality(v_jobs))
          UNION ALL (SELECT u.job, f.at, f.seq * 1024 + u.n FROM (SELECT * FROM windlass.finished WHERE w = 5 AND queue = p_queue ORDER BY seq LIMIT p_budget) f
            CROSS JOIN LATERAL unnest(f.jobs) WITH ORDINALITY u(job, n) LIMIT p_budget)) b) e) o
    WHERE (o.n <= v_excess OR o.at::numeric + k.age <= v_now) AND (v_kept IS NULL OR o.at < v_kept);
    CONTINUE WHEN v_ids IS NULL;
    SELECT array_agg(DISTINCT e.parent) INTO v_keep FROM windlass.edge e WHERE e.parent = ANY (v_ids) AND windlass.has_live_children(e.parent);
    IF v_keep IS NOT NULL THEN
      PERFORM windlass.hold_queue(p_queue);
      UPDATE windlass.ended SET seq = nextval('windlass.seq') WHERE job = ANY (v_keep);
      FOR r IN SELECT job, done_at, seq, nextval('windlass.seq') AS place FROM windlass.run WHERE job = ANY (v_keep) AND done_at > 0 ORDER BY job LOOP
        PERFORM windlass.strike(p_queue, r.seq, ARRAY[r.job]);
        INSERT INTO windlass.finished (queue, seq, at, jobs) VALUES (p_queue, r.place, r.done_at, ARRAY[r.job]);
        UPDATE windlass.run SET seq = r.place WHERE job = r.job;
      END LOOP;
      SELECT array_agg(u ORDER BY n) INTO v_ids FROM unnest(v_ids) WITH ORDINALITY x(u, n) WHERE NOT u = ANY (v_keep);
      v_rest := true;
      CONTINUE WHEN v_ids IS NULL;
    END IF;
    IF w = 5 THEN
      v_runs := v_ids;
      SELECT array_agg(h.kind ORDER BY u.n) AS kinds, array_agg(h.grp ORDER BY u.n) AS grps, array_agg(h.attempt ORDER BY u.n) AS attempts INTO r
      FROM unnest(v_ids) WITH ORDINALITY u(id, n) JOIN windlass.run h ON h.job = u.id;
    ELSE
      SELECT array_agg(j.kind ORDER BY u.n) AS kinds, array_agg(j.grp ORDER BY u.n) AS grps, array_agg(e.attempt ORDER BY u.n) AS attempts INTO r
      FROM unnest(v_ids) WITH ORDINALITY u(id, n) JOIN windlass.job j ON j.id = u.id JOIN windlass.ended e ON e.job = u.id;
    END IF;
    IF w = 6 THEN
      SELECT jsonb_agg(jsonb_build_array(m.fingerprint, m.n)) INTO v_modes
      FROM (SELECT fingerprint, count(*) AS n FROM windlass.extra WHERE job = ANY (v_ids) AND fingerprint IS NOT NULL GROUP BY fingerprint) m;
    END IF;
    v_jobs := v_jobs || v_ids; v_states := v_states || array_fill(w::smallint, ARRAY[cardinality(v_ids)]);
    v_kinds := v_kinds || r.kinds; v_grps := v_grps || r.grps; v_attempts := v_attempts || r.attempts;
  END LOOP;
  IF v_jobs = '{}' THEN
    IF v_rest OR v_kept IS NOT NULL THEN
      PERFORM windlass.hold_queue(p_queue);
      UPDATE windlass.qstate SET retention_rests_until = v_now + 1000 WHERE queue = p_queue;
    END IF;
    RETURN 0;
  END IF;
  DELETE FROM windlass.job WHERE id = ANY (v_jobs);
  DELETE FROM windlass.extra WHERE job = ANY (v_jobs);
  DELETE FROM windlass.attempt WHERE job = ANY (v_jobs);
  DELETE FROM windlass.log WHERE job = ANY (v_jobs);
  DELETE FROM windlass.edge WHERE child = ANY (v_jobs);
  DELETE FROM windlass.gone WHERE id = ANY (v_jobs);
  INSERT INTO windlass.gone (id, at, state) SELECT u.id, v_now, u.state FROM unnest(v_jobs, v_states) u(id, state);

  PERFORM windlass.hold_queue(p_queue);
  IF windlass.kept_from() < coalesce(v_kept, 9223372036854775807) OR (SELECT settings FROM windlass.queue WHERE name = p_queue) IS DISTINCT FROM q.settings
    OR EXISTS (SELECT FROM windlass.edge e WHERE e.parent = ANY (v_jobs) AND windlass.has_live_children(e.parent)) THEN
    RAISE EXCEPTION 'more is to be kept meanwhile' USING ERRCODE = 'serialization_failure';
  END IF;
  WITH over AS (DELETE FROM windlass.ended WHERE job = ANY (v_jobs[cardinality(v_runs) + 1:]) AND NOT shut RETURNING 1) SELECT count(*) INTO v_n FROM over;
  FOR r IN
    WITH over AS MATERIALIZED (DELETE FROM windlass.run WHERE job = ANY (v_runs) AND done_at > 0 RETURNING job, seq),
    lots AS MATERIALIZED (SELECT seq, count(*)::int AS n FROM over GROUP BY seq),
    places AS MATERIALIZED (SELECT l.seq, l.n, f.at, f.size FROM lots l CROSS JOIN LATERAL
      (SELECT o.ctid AS at, cardinality(o.jobs) AS size FROM windlass.finished o WHERE o.queue = p_queue AND o.seq = l.seq LIMIT 1) f),
    whole AS (DELETE FROM windlass.finished f USING places p WHERE f.ctid = p.at AND p.n = p.size)
    SELECT seq, n, n < size AS cut FROM places LOOP
    v_n := v_n + r.n;
    CONTINUE WHEN NOT r.cut;
    -- Those that go stand first in it, unless some of them stay for their children.
    IF v_rest THEN
      PERFORM windlass.strike(p_queue, r.seq, v_runs);
    ELSE
      UPDATE windlass.finished SET jobs = jobs[r.n + 1:] WHERE queue = p_queue AND seq = r.seq;
    END IF;
  END LOOP;
  IF v_n <> cardinality(v_jobs) THEN RAISE EXCEPTION 'a job has moved meanwhile' USING ERRCODE = 'serialization_failure'; END IF;
  INSERT INTO windlass.event (at, type, cause, queue, jobs, kinds, grps, attempts)
  SELECT v_now, 14, 11, p_queue, array_agg(u.id ORDER BY u.n), windlass.same(array_agg(u.kind ORDER BY u.n)), nullif(windlass.same(array_agg(u.grp ORDER BY u.n)), '{""}'),
    CASE WHEN max(u.attempt) = 1 AND min(u.attempt) = 1 THEN '{1}' ELSE array_agg(u.attempt ORDER BY u.n) END
  FROM unnest(v_jobs, v_states, v_kinds, v_grps, v_attempts) WITH ORDINALITY u(id, state, kind, grp, attempt, n) GROUP BY u.state ORDER BY u.state;
  -- By the place of each group's row, as for settlements.
  FOR v_key IN
    WITH x AS MATERIALIZED (SELECT y.*, (SELECT o.ctid FROM windlass.grp o WHERE o.queue = p_queue AND o.key = y.k ORDER BY o.v DESC LIMIT 1) AS at
      FROM (SELECT u.k, count(*) FILTER (WHERE u.s = 5) AS completed, count(*) FILTER (WHERE u.s = 6) AS dead, count(*) FILTER (WHERE u.s = 7) AS cancelled
        FROM unnest(v_grps, v_states) u(k, s) GROUP BY u.k) y),
    up AS (UPDATE windlass.grp g SET counts = windlass.add(g.counts, ARRAY[0, 0, 0, 0, 0, -x.completed, -x.dead, -x.cancelled]) FROM x WHERE g.ctid = x.at RETURNING g.key, g.counts)
    SELECT key FROM up WHERE counts = '{0,0,0,0,0,0,0,0}' LOOP
    PERFORM windlass.forget_grp(p_queue, v_key, v_now);
  END LOOP;
  SELECT ARRAY[0, 0, 0, 0, 0, -count(*) FILTER (WHERE s = 5), -count(*) FILTER (WHERE s = 6), -count(*) FILTER (WHERE s = 7)] INTO v_moved FROM unnest(v_states) s;
  UPDATE windlass.qstate SET counts = windlass.add(counts, v_moved) WHERE queue = p_queue AND v = (SELECT v FROM windlass.qstate WHERE queue = p_queue ORDER BY v DESC LIMIT 1);
  FOR r IN SELECT (m->>0)::bigint AS fingerprint, (m->>1)::bigint AS n FROM jsonb_array_elements(v_modes) m LOOP
    UPDATE windlass.mode SET dead = greatest(dead - r.n, 0) WHERE queue = p_queue AND fingerprint = r.fingerprint;
    IF NOT FOUND THEN UPDATE windlass.mode SET dead = greatest(dead - r.n, 0) WHERE queue = p_queue AND fingerprint = 0; END IF;
  END LOOP;
  RETURN cardinality(v_jobs);
END $$;

-- What is due: the queues with something to do, whether errands wait, the schedules, and when to look again.
CREATE OR REPLACE FUNCTION windlass.plan(p_at bigint, p_watched text[]) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_due text[]; v_next bigint; v_ticks jsonb; v_work text[];
BEGIN
  SELECT array_agg(x.name) FILTER (WHERE x.due <= v_now), min(x.due) INTO v_due, v_next FROM (
    SELECT q.name, least(
      (SELECT due FROM windlass.deferred WHERE queue = q.name ORDER BY due, seq LIMIT 1),
      (SELECT check_at FROM windlass.term WHERE queue = q.name AND check_at >= s.term_floor ORDER BY check_at LIMIT 1),
      (SELECT at FROM windlass.expiry WHERE queue = q.name ORDER BY at LIMIT 1),
      (SELECT timer_at FROM windlass.grp WHERE queue = q.name AND timer_at IS NOT NULL ORDER BY timer_at LIMIT 1),
      s.timer_at,
      (SELECT 0 FROM windlass.incoming WHERE queue = q.name AND xid >= s.seen LIMIT 1),
      (SELECT 0 FROM windlass.done WHERE queue = q.name LIMIT 1),
      (SELECT 0 FROM windlass.wake WHERE queue = q.name LIMIT 1),
      windlass.retention_due(q.name)) AS due
    FROM windlass.queue q CROSS JOIN LATERAL (SELECT * FROM windlass.qstate WHERE queue = q.name ORDER BY v DESC LIMIT 1) s
    UNION ALL SELECT DISTINCT i.queue, 0 FROM windlass.incoming i WHERE NOT EXISTS (SELECT FROM windlass.queue WHERE name = i.queue)) x;
  v_next := least(v_next,
    (SELECT min(timer_at) FROM windlass.lim WHERE timer_at IS NOT NULL),
    (SELECT min(until) FROM windlass.unique_key WHERE until > 0),
    (SELECT 0 FROM windlass.errand LIMIT 1),
    (SELECT min(next) FROM windlass.schedule WHERE next IS NOT NULL));
  SELECT jsonb_agg(jsonb_build_array(name, spec, through)) INTO v_ticks FROM (SELECT * FROM windlass.schedule WHERE next <= v_now ORDER BY next, name LIMIT 1000) c;
  SELECT array_agg(q.name) INTO v_work FROM windlass.queue q JOIN windlass.qstate s ON s.queue = q.name
  WHERE q.name = ANY (p_watched) AND NOT q.paused AND EXISTS (SELECT FROM windlass.in_order(q.name, s.front_entry, s.front_vt, s.front_key, 1))
    AND (windlass.queue_open(q.concurrency, s.counts[3], s.hold_until, q.rate_count, q.rate_period, q.rate_burst, s.tat_ms, s.tat_frac, v_now)).ok;
  RETURN jsonb_build_object('now', v_now, 'due', coalesce(to_jsonb(v_due), '[]'), 'next', v_next, 'ticks', coalesce(v_ticks, '[]'), 'work', coalesce(to_jsonb(v_work), '[]'),
    'errands', EXISTS (SELECT FROM windlass.errand), 'limits', EXISTS (SELECT FROM windlass.lim WHERE timer_at <= v_now),
    'keys', EXISTS (SELECT FROM windlass.unique_key WHERE until > 0 AND until <= v_now));
END $$;

-- One queue, or (none) what belongs to none: errands, limits that time has opened, keys and ids whose time is over.
CREATE OR REPLACE FUNCTION windlass.upkeep(p_at bigint, p_queue text, p_budget int, p_wide boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_done int := 0; v_limit text; v_first record; v_last bigint; v_n bigint;
BEGIN
  PERFORM windlass.lock(CASE WHEN p_queue IS NULL THEN '{}' ELSE ARRAY[p_queue] END, p_wide, v_now);
  v_done := v_done + windlass.run_errands(p_budget, v_now);
  IF p_queue IS NOT NULL THEN
    v_done := v_done + windlass.catch_up(p_queue, greatest(p_budget - v_done, 1), v_now);
  ELSE
    IF EXISTS (SELECT FROM windlass.lim WHERE timer_at <= v_now) THEN
      PERFORM windlass.lock_limits();
      FOR v_limit IN UPDATE windlass.lim SET timer_at = NULL WHERE timer_at <= v_now RETURNING name LOOP
        PERFORM windlass.wake_limit(v_limit);
        v_done := v_done + 1;
      END LOOP;
    END IF;
    DELETE FROM windlass.unique_key WHERE key IN (SELECT key FROM windlass.unique_key WHERE until > 0 AND until <= v_now ORDER BY until LIMIT p_budget);
    GET DIAGNOSTICS v_n = ROW_COUNT;
    v_done := v_done + v_n;
  END IF;
  PERFORM windlass.run_errands(1000, v_now);
  RETURN jsonb_build_object('done', v_done, 'retain', p_queue IS NOT NULL AND coalesce(windlass.retention_due(p_queue) <= v_now, false)) || windlass.owed(v_now);
END $$;

-- What nobody waits for: remembered ids beyond a day or a million, charts beyond their range, events beyond their bound.
CREATE OR REPLACE FUNCTION windlass.sweep(p_at bigint, p_budget int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_done bigint := 0; v_n bigint; v_last bigint; v_first bigint; v_upto xid8; v_slowest bigint;
BEGIN
  -- The oldest come first, so that no more are read than may go.
  DELETE FROM windlass.gone WHERE n IN (SELECT g.n FROM (SELECT n, at FROM windlass.gone ORDER BY n LIMIT p_budget) g
    WHERE g.at + 86400000 <= v_now OR g.n <= (SELECT n FROM windlass.gone ORDER BY n DESC LIMIT 1) - 1000000);
  GET DIAGNOSTICS v_n = ROW_COUNT; v_done := v_done + v_n;
  -- The small tables are read whole, once in a sweep: with its last step.
  IF v_done < p_budget THEN
    DELETE FROM windlass.worker WHERE seen_at < v_now - 86400000;
    -- Limits that jobs have named and nobody has set come and go with their lanes.
    IF (SELECT count(*) FROM (SELECT FROM windlass.lim WHERE settings IS NULL LIMIT 1001) l) > 1000 THEN
      PERFORM windlass.lock('{}', false, v_now);
      PERFORM windlass.lock_limits();
      DELETE FROM windlass.lim WHERE settings IS NULL AND in_use = 0 AND hold_until <= v_now
        AND name NOT IN (SELECT u.name FROM windlass.lane a CROSS JOIN LATERAL windlass.uses(a.lset) u);
    END IF;
    DELETE FROM windlass.series WHERE (width = 1000 AND slot < v_now / 1000 - 300) OR (width = 60000 AND slot < v_now / 60000 - 1440) OR (width = 3600000 AND slot < v_now / 3600000 - 168);
  END IF;
  SELECT id INTO v_first FROM windlass.event ORDER BY xid, id LIMIT 1;
  SELECT id INTO v_last FROM windlass.event ORDER BY xid DESC, id DESC LIMIT 1;
  IF v_last - v_first > 1000000 THEN
    SELECT min(place) INTO v_slowest FROM windlass.reader;
    SELECT max(xid) INTO v_upto FROM (SELECT xid FROM windlass.event ORDER BY xid, id LIMIT p_budget) e;
    IF v_slowest IS NULL OR v_upto::text::bigint < v_slowest OR v_last - v_first > windlass.held_rows() THEN
      DELETE FROM windlass.event WHERE xid <= v_upto;
      GET DIAGNOSTICS v_n = ROW_COUNT; v_done := v_done + v_n;
      UPDATE windlass.schema SET trimmed = v_upto;
    END IF;
  END IF;
  RETURN v_done;
END $$;

-- Takes up all that producers have brought: before anybody reads counts or events.
CREATE OR REPLACE FUNCTION windlass.take_up_all(p_at bigint, p_wide boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at);
BEGIN
  IF NOT EXISTS (SELECT FROM windlass.incoming) AND NOT EXISTS (SELECT FROM windlass.done) THEN RETURN '{"rings":[],"notices":[]}'; END IF;
  PERFORM windlass.lock(ARRAY(SELECT queue FROM windlass.incoming UNION SELECT queue FROM windlass.done), p_wide, v_now);
  PERFORM windlass.run_errands(1000, v_now);
  RETURN windlass.owed(v_now);
END $$;

-- The server started anew since somebody was here: nobody could beat meanwhile, so every lease gets its full time again.
CREATE OR REPLACE FUNCTION windlass.greet(p_at bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_started text := pg_postmaster_start_time()::text;
BEGIN
  IF (SELECT server_started FROM windlass.schema) = v_started THEN RETURN false; END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('windlass.all', 1));
  UPDATE windlass.schema SET server_started = v_started WHERE server_started <> v_started;
  IF NOT FOUND THEN RETURN false; END IF;
  UPDATE windlass.run h SET deadline = v_now + h.lease_ms FROM windlass.term t CROSS JOIN LATERAL unnest(t.jobs) u(job) WHERE h.job = u.job AND h.term = t.id AND h.done_at = 0;
  -- And a schema that was restored here counts transactions anew.
  UPDATE windlass.qstate SET seen = '0';
  RETURN true;
END $$;
