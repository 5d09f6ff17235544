-- What has to happen on a clock. `plan` is one look, without a lock, at what is due; each queue that has something is
-- then kept up under its own lock, in bounded steps. Anybody may do it at any time, and as many at once as like.

-- When retention may remove the oldest of each kind of end, if anything.
CREATE OR REPLACE FUNCTION windlass.retention_due(p_queue text) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT greatest(min(x.due), s.retention_rests_until) FROM windlass.queue q JOIN windlass.qstate s ON s.queue = q.name
  CROSS JOIN LATERAL (VALUES
    (5, coalesce(windlass.ms(q.settings#>'{retention,completed_ms}'), 86400000), coalesce(windlass.ms(q.settings#>'{retention,completed_count}'), 1000000)),
    (6, coalesce(windlass.ms(q.settings#>'{retention,dead_ms}'), 7776000000), coalesce(windlass.ms(q.settings#>'{retention,dead_count}'), 9223372036854775807)),
    (7, coalesce(windlass.ms(q.settings#>'{retention,cancelled_ms}'), 86400000), coalesce(windlass.ms(q.settings#>'{retention,cancelled_count}'), 1000000)))
    k(state, age, most)
  CROSS JOIN LATERAL (SELECT CASE WHEN s.counts[k.state + 1] > k.most THEN 1
      ELSE least(e.at::numeric + k.age, 9223372036854775807)::bigint END AS due
    FROM (SELECT at FROM ((SELECT at FROM windlass.ended WHERE k.state > 5 AND queue = p_queue AND state = k.state AND NOT shut ORDER BY seq LIMIT 1)
      UNION ALL (SELECT at FROM windlass.finished WHERE k.state = 5 AND queue = p_queue ORDER BY seq LIMIT 1)) o) e WHERE s.counts[k.state + 1] > 0) x
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
CREATE OR REPLACE FUNCTION windlass.prune(p_queue text, p_budget int, p_now bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE q record; k record; v_ids uuid[]; v_keep uuid[]; v_done int := 0; v_excess bigint; r record; v_rest boolean := false; v_rows jsonb[]; v_kept bigint := windlass.kept_from();
BEGIN
  SELECT c.settings, s.counts INTO q FROM windlass.queue c JOIN windlass.qstate s ON s.queue = c.name WHERE c.name = p_queue;
  FOR k IN SELECT * FROM (VALUES (5, 'completed', 86400000::bigint, 1000000::bigint), (6, 'dead', 7776000000, 9223372036854775807), (7, 'cancelled', 86400000, 1000000)) v(state, word, age, most) LOOP
    k.age := coalesce(windlass.ms(q.settings->'retention'->(k.word || '_ms')), k.age);
    k.most := coalesce(windlass.ms(q.settings->'retention'->(k.word || '_count')), k.most);
    EXIT WHEN v_done >= p_budget;
    v_excess := q.counts[k.state + 1] - k.most;
    SELECT array_agg(o.job) INTO v_ids FROM (
      SELECT e.job, e.at, row_number() OVER (ORDER BY e.seq) AS n FROM
        (SELECT job, at, seq FROM ((SELECT job, at, seq FROM windlass.ended WHERE k.state > 5 AND queue = p_queue AND state = k.state AND NOT shut ORDER BY seq LIMIT p_budget - v_done)
          UNION ALL (SELECT u.job, f.at, f.seq * 1024 + u.n FROM (SELECT * FROM windlass.finished WHERE k.state = 5 AND queue = p_queue ORDER BY seq LIMIT p_budget - v_done) f
            CROSS JOIN LATERAL unnest(f.jobs) WITH ORDINALITY u(job, n) LIMIT p_budget - v_done)) b) e) o
    WHERE (o.n <= v_excess OR o.at::numeric + k.age <= p_now) AND (v_kept IS NULL OR o.at < v_kept);
    CONTINUE WHEN v_ids IS NULL;
    SELECT array_agg(DISTINCT e.parent) INTO v_keep FROM windlass.edge e WHERE e.parent = ANY (v_ids) AND windlass.has_live_children(e.parent);
    IF v_keep IS NOT NULL THEN
      UPDATE windlass.ended SET seq = nextval('windlass.seq') WHERE job = ANY (v_keep);
      FOR r IN SELECT job, done_at, seq, nextval('windlass.seq') AS place FROM windlass.run WHERE job = ANY (v_keep) AND done_at > 0 ORDER BY job LOOP
        PERFORM windlass.strike(p_queue, r.seq, ARRAY[r.job]);
        INSERT INTO windlass.finished (queue, seq, at, jobs) VALUES (p_queue, r.place, r.done_at, ARRAY[r.job]);
        UPDATE windlass.run SET seq = r.place WHERE job = r.job;
      END LOOP;
      SELECT array_agg(u) INTO v_ids FROM unnest(v_ids) u WHERE NOT u = ANY (v_keep);
      v_rest := true;
      CONTINUE WHEN v_ids IS NULL;
    END IF;
    v_rest := false;
    v_done := v_done + cardinality(v_ids);
    INSERT INTO windlass.event (at, type, cause, queue, jobs, kinds, grps, attempts)
    SELECT p_now, 14, 11, p_queue, array_agg(j.id ORDER BY u.n), windlass.same(array_agg(j.kind ORDER BY u.n)), CASE WHEN bool_or(j.grp <> '') THEN windlass.same(array_agg(j.grp ORDER BY u.n)) END,
      array_agg(coalesce(h.attempt, e.attempt) ORDER BY u.n)
    FROM unnest(v_ids) WITH ORDINALITY u(id, n) JOIN windlass.job j ON j.id = u.id LEFT JOIN windlass.run h ON h.job = u.id LEFT JOIN windlass.ended e ON e.job = u.id;
    v_rows := ARRAY(SELECT jsonb_build_array(j.grp, x.fingerprint, count(*)) FROM unnest(v_ids) u(id) JOIN windlass.job j ON j.id = u.id
      LEFT JOIN windlass.extra x ON x.job = u.id GROUP BY j.grp, x.fingerprint);
    IF k.state = 5 THEN
      FOR r IN SELECT seq, array_agg(job) AS jobs FROM windlass.run WHERE job = ANY (v_ids) GROUP BY seq LOOP
        PERFORM windlass.strike(p_queue, r.seq, r.jobs);
      END LOOP;
      DELETE FROM windlass.run WHERE job = ANY (v_ids);
    ELSE
      DELETE FROM windlass.ended WHERE job = ANY (v_ids);
    END IF;
    DELETE FROM windlass.job WHERE id = ANY (v_ids);
    DELETE FROM windlass.extra WHERE job = ANY (v_ids);
    DELETE FROM windlass.attempt WHERE job = ANY (v_ids);
    DELETE FROM windlass.log WHERE job = ANY (v_ids);
    DELETE FROM windlass.edge WHERE child = ANY (v_ids);
    INSERT INTO windlass.gone (id, at, state) SELECT u, p_now, k.state FROM unnest(v_ids) u
    ON CONFLICT (id) DO UPDATE SET at = excluded.at, state = excluded.state, n = nextval('windlass.gone_n_seq');
    FOR r IN SELECT v->>0 AS grp, (v->>1)::bigint AS fingerprint, (v->>2)::bigint AS n FROM unnest(v_rows) v
    LOOP
      PERFORM windlass.count(p_queue, r.grp, windlass.moved(k.state, NULL, r.n));
      PERFORM windlass.forget_grp(p_queue, r.grp, p_now);
      IF k.state = 6 AND r.fingerprint IS NOT NULL THEN
        UPDATE windlass.mode SET dead = greatest(dead - r.n, 0) WHERE queue = p_queue AND fingerprint = r.fingerprint;
        IF NOT FOUND THEN UPDATE windlass.mode SET dead = greatest(dead - r.n, 0) WHERE queue = p_queue AND fingerprint = 0; END IF;
      END IF;
    END LOOP;
  END LOOP;
  IF (v_rest OR v_kept IS NOT NULL) AND v_done = 0 THEN
    UPDATE windlass.qstate SET retention_rests_until = p_now + 1000 WHERE queue = p_queue;
  END IF;
  RETURN v_done;
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
    IF windlass.retention_due(p_queue) <= v_now THEN
      v_done := v_done + windlass.prune(p_queue, greatest(p_budget - v_done, 1), v_now);
    END IF;
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
  RETURN jsonb_build_object('done', v_done) || windlass.owed(v_now);
END $$;

-- What nobody waits for: remembered ids beyond a day or a million, charts beyond their range, events beyond their bound.
CREATE OR REPLACE FUNCTION windlass.sweep(p_at bigint, p_budget int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_done bigint := 0; v_n bigint; v_last bigint; v_first bigint; v_upto xid8; v_slowest bigint;
BEGIN
  DELETE FROM windlass.gone WHERE n IN (SELECT n FROM windlass.gone WHERE at + 86400000 <= v_now
    OR n <= (SELECT n FROM windlass.gone ORDER BY n DESC LIMIT 1) - 1000000 ORDER BY n LIMIT p_budget);
  GET DIAGNOSTICS v_n = ROW_COUNT; v_done := v_done + v_n;
  DELETE FROM windlass.worker WHERE seen_at < v_now - 86400000;
  -- Limits that jobs have named and nobody has set come and go with their lanes.
  IF (SELECT count(*) FROM (SELECT FROM windlass.lim WHERE settings IS NULL LIMIT 1001) l) > 1000 THEN
    PERFORM windlass.lock('{}', false, v_now);
    PERFORM windlass.lock_limits();
    DELETE FROM windlass.lim WHERE settings IS NULL AND in_use = 0 AND hold_until <= v_now
      AND name NOT IN (SELECT u.name FROM windlass.lane a CROSS JOIN LATERAL windlass.uses(a.lset) u);
  END IF;
  DELETE FROM windlass.series WHERE (width = 1000 AND slot < v_now / 1000 - 300) OR (width = 60000 AND slot < v_now / 60000 - 1440) OR (width = 3600000 AND slot < v_now / 3600000 - 168);
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
