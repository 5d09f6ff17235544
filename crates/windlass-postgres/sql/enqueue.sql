-- T1: jobs are taken in.
--
-- `enqueue_lots` is the way of most batches: it locks nothing, waits for nobody but an open transaction that takes the
-- same key or id, and only inserts, so that it may stand in a caller's own transaction. What needs to look at a queue as
-- a whole (its bound, parents, the holder of a key that is to be changed) goes one by one through `take_in`, under locks.
-- Both answer [status, state, id] (0 created, 1 known, 2 existing, 3 replaced, 4 rescheduled), or a refusal.

CREATE OR REPLACE FUNCTION windlass.scope(p_unique jsonb, OUT kind text, OUT ttl bigint) LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN jsonb_typeof(p_unique->'scope') = 'object' THEN 'for' ELSE coalesce(p_unique->>'scope', 'while_live') END,
    CASE WHEN jsonb_typeof(p_unique->'scope') = 'object' THEN least(windlass.ms(p_unique->'scope'->'for'->'ttl_ms'), 4000000000000) END $$;

-- A time or span out of JSON; none stays none, and what is no number is none: it may have been written past the checks.
CREATE OR REPLACE FUNCTION windlass.ms(p jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE jsonb_typeof(p) WHEN 'number' THEN least(greatest(p::numeric, 0), 9223372036854775807)::bigint
    WHEN 'string' THEN CASE WHEN p #>> '{}' ~ '^[0-9]{1,30}$' THEN least((p #>> '{}')::numeric, 9223372036854775807)::bigint END END $$;

CREATE OR REPLACE FUNCTION windlass.unique_conflict(p_holder uuid) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('err', jsonb_build_object('code', 'unique_conflict', 'holder', p_holder)) $$;

CREATE OR REPLACE FUNCTION windlass.taken(p_status int, p_state int, p_id uuid) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('ok', jsonb_build_array(p_status, p_state, p_id)) $$;

-- A limit that could never admit what the job would take.
CREATE OR REPLACE FUNCTION windlass.too_costly(p_lset text) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('code', 'cost_too_high', 'limit', u.name, 'cost', u.cost, 'most', windlass.most(l.concurrency, l.rate_burst))
  FROM windlass.uses(p_lset) u JOIN windlass.lim l ON l.name = u.name
  WHERE u.cost > windlass.most(l.concurrency, l.rate_burst) LIMIT 1 $$;

-- When a full queue may have room for one more, from its last minute of work.
CREATE OR REPLACE FUNCTION windlass.room_in_ms(p_queue text, p_now bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT greatest(least(60000 / greatest((SELECT coalesce(sum(n), 0) FROM windlass.series_now WHERE queue = p_queue AND what = 1 AND width = 1000
    AND slot > p_now / 1000 - 60), 1), 60000), 1)::bigint $$;

-- A waiting job gets a new payload, priority or time; its event tells why.
CREATE OR REPLACE FUNCTION windlass.rewrite(p_id uuid, p_cause int, p_payload bytea, p_prio int, p_due bigint, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE s windlass.spot := windlass.spot_of(p_id); v_state int; v_when bigint; v_moves boolean;
BEGIN
  v_state := CASE
    WHEN s.state = 4 OR p_due IS NULL THEN s.state
    WHEN s.state = 3 AND p_due > p_now THEN 3
    WHEN p_due > p_now THEN 0 ELSE 1 END;
  v_when := CASE WHEN s.state = 4 OR p_due IS NULL OR (v_state = 1 AND s.state = 1) THEN s.since WHEN p_due > p_now THEN p_due ELSE p_now END;
  v_moves := v_state <> s.state OR v_when <> s.since OR (p_prio IS NOT NULL AND p_prio <> s.prio);
  IF p_payload IS NOT NULL THEN UPDATE windlass.job SET payload = p_payload WHERE id = p_id; END IF;
  PERFORM windlass.tell(p_now, 13, p_cause, s.queue, s.id, s.kind, s.grp, s.attempt);
  IF s.state = 4 AND p_due IS NOT NULL THEN
    UPDATE windlass.blocked SET due = CASE WHEN p_due > p_now THEN p_due ELSE 0 END WHERE job = p_id;
    UPDATE windlass.job SET options = options || jsonb_build_object('due', p_due) WHERE id = p_id;
  END IF;
  IF NOT v_moves THEN RETURN; END IF;
  IF s.state = 4 THEN
    UPDATE windlass.job SET prio = coalesce(p_prio, prio) WHERE id = p_id;
    RETURN;
  END IF;
  PERFORM windlass.leave(s, v_state, p_now);
  IF p_prio IS NOT NULL AND p_prio <> s.prio THEN
    UPDATE windlass.job SET prio = p_prio WHERE id = p_id;
    s.prio := p_prio;
  END IF;
  IF v_state = 1 THEN PERFORM windlass.enter_ready(s, v_when); ELSE PERFORM windlass.enter_deferred(s, v_state, v_when, 0); END IF;
END $$;

-- Takes one job in, under the locks of its queue. Follow-ups and ticks are not held back by `max_waiting`.
CREATE OR REPLACE FUNCTION windlass.take_in(p jsonb, p_payload bytea, p_bounded boolean, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_id uuid := p->>'id'; v_queue text := p->>'queue'; v_grp text := coalesce(p->>'grp', ''); v_lset text := coalesce(p->>'lset', '');
  v_prio int := coalesce((p->>'prio')::int, 0); v_options jsonb := p->'options'; v_kind text := p->>'kind';
  v_state int; v_due bigint; v_unique jsonb; v_scope record; v_holder windlass.unique_key; v_on text; v_max bigint; v_ordered boolean;
  e jsonb; v_known int; s windlass.spot; v_err jsonb; v_waits boolean;
BEGIN
  v_state := windlass.state_of(v_id);
  IF v_state IS NOT NULL THEN RETURN windlass.taken(1, v_state, v_id); END IF;
  v_state := windlass.gone_as(v_id, p_now);
  IF v_state IS NOT NULL THEN RETURN windlass.taken(1, v_state, v_id); END IF;
  v_due := coalesce(windlass.ms(p->'run_at'), p_now + windlass.ms(p->'delay_ms'));
  IF v_due <= p_now THEN v_due := NULL; END IF;
  v_unique := v_options->'unique';
  IF v_unique IS NOT NULL THEN
    SELECT * INTO v_holder FROM windlass.unique_key WHERE key = v_unique->>'key' AND (until = 0 OR until > p_now);
    IF FOUND THEN
      v_on := coalesce(v_unique->>'on_conflict', 'existing');
      v_state := windlass.state_of(v_holder.job);
      IF v_on = 'existing' THEN
        RETURN windlass.taken(2, coalesce(v_state, windlass.gone_as(v_holder.job, p_now), 5), v_holder.job);
      END IF;
      IF v_state IS NULL OR v_on = 'refuse' OR v_state NOT IN (0, 1, 3, 4) THEN RETURN windlass.unique_conflict(v_holder.job); END IF;
      PERFORM windlass.need_wide();
      IF v_on = 'replace' THEN
        PERFORM windlass.rewrite(v_holder.job, 13, p_payload, NULL, NULL, p_now);
        RETURN windlass.taken(3, windlass.state_of(v_holder.job), v_holder.job);
      END IF;
      PERFORM windlass.rewrite(v_holder.job, 13, NULL, NULL, coalesce(v_due, p_now), p_now);
      RETURN windlass.taken(4, windlass.state_of(v_holder.job), v_holder.job);
    END IF;
  END IF;
  SELECT q.max_waiting, coalesce(g.ordered, q.g_ordered) INTO v_max, v_ordered
  FROM windlass.queue q LEFT JOIN windlass.grp g ON g.queue = q.name AND g.key = v_grp WHERE q.name = v_queue;
  IF p_bounded AND v_max IS NOT NULL AND
    (SELECT counts[1] + counts[2] + counts[4] + counts[5] FROM windlass.qstate WHERE queue = v_queue) >= v_max THEN
    RETURN jsonb_build_object('err', jsonb_build_object('code', 'queue_full', 'queue', v_queue, 'retry_after_ms', windlass.room_in_ms(v_queue, p_now)));
  END IF;
  IF v_ordered AND v_prio <> 0 THEN
    RETURN jsonb_build_object('err', windlass.invalid('priority', 'must be 0 in an ordered group: its order is that of becoming ready'));
  END IF;
  IF v_lset <> '' THEN
    v_err := windlass.too_costly(v_lset);
    IF v_err IS NOT NULL THEN RETURN jsonb_build_object('err', v_err); END IF;
  END IF;
  FOR e IN SELECT * FROM jsonb_array_elements(coalesce(v_options->'parents', '[]')) LOOP
    v_known := windlass.state_of((e->>'id')::uuid);
    IF v_known IS NULL THEN
      v_known := windlass.gone_as((e->>'id')::uuid, p_now);
      IF v_known IN (6, 7) AND coalesce(e->>'on', 'success') = 'success' THEN
        RETURN jsonb_build_object('err', jsonb_build_object('code', 'bad_parents', 'why', format('job %s has ended without completing and is gone', e->>'id')));
      END IF;
    END IF;
    IF v_known IS NULL OR e->>'id' = v_id::text THEN
      RETURN jsonb_build_object('err', jsonb_build_object('code', 'bad_parents', 'why', format('job %s is unknown; parents exist or are in the same batch', e->>'id')));
    END IF;
  END LOOP;

  INSERT INTO windlass.job (id, at, prio, queue, kind, grp, lset, payload, options)
  VALUES (v_id, p_now, v_prio, v_queue, v_kind, v_grp, v_lset, p_payload, v_options) ON CONFLICT DO NOTHING;
  IF NOT FOUND THEN RETURN windlass.taken(1, coalesce(windlass.state_of(v_id), 1), v_id); END IF;
  IF v_unique IS NOT NULL THEN
    SELECT * INTO v_scope FROM windlass.scope(v_unique);
    INSERT INTO windlass.unique_key (key, job, until) VALUES (v_unique->>'key', v_id, CASE WHEN v_scope.kind = 'for' THEN p_now + v_scope.ttl ELSE 0 END)
    ON CONFLICT (key) DO UPDATE SET job = excluded.job, until = excluded.until WHERE unique_key.until > 0 AND unique_key.until <= p_now;
    IF NOT FOUND THEN
      -- A transaction that was open until now has taken it.
      DELETE FROM windlass.job WHERE id = v_id;
      SELECT * INTO v_holder FROM windlass.unique_key WHERE key = v_unique->>'key';
      IF coalesce(v_unique->>'on_conflict', 'existing') = 'existing' THEN
        RETURN windlass.taken(2, coalesce(windlass.state_of(v_holder.job), 5), v_holder.job);
      END IF;
      RETURN windlass.unique_conflict(v_holder.job);
    END IF;
  END IF;
  IF v_options ? 'expires_at' THEN
    INSERT INTO windlass.expiry (queue, at, job) VALUES (v_queue, windlass.ms(v_options->'expires_at'), v_id);
  END IF;
  IF v_options ? 'parents' THEN
    -- One that waits for parents again waits for its own time too.
    IF v_due IS NOT NULL THEN UPDATE windlass.job SET options = options || jsonb_build_object('due', v_due) WHERE id = v_id; END IF;
    INSERT INTO windlass.edge (parent, child, always)
    SELECT (x.e->>'id')::uuid, v_id, coalesce(x.e->>'on', 'success') = 'always' FROM jsonb_array_elements(v_options->'parents') WITH ORDINALITY x(e, i) ORDER BY x.i;
    v_waits := windlass.must_wait(v_id);
  END IF;
  PERFORM windlass.ensure_queue(v_queue);
  PERFORM windlass.ensure_grp(v_queue, v_grp);
  s := (v_id, v_queue, v_grp, v_kind, v_prio, v_lset, NULL, p_now, 0, 0, 0);
  v_state := CASE WHEN v_waits THEN 4 WHEN v_due IS NOT NULL THEN 0 ELSE 1 END;
  PERFORM windlass.count(v_queue, v_grp, windlass.moved(NULL, v_state, 1));
  PERFORM windlass.total(v_queue, 1, 1);
  PERFORM windlass.chart(v_queue, 0, p_now, 1);
  PERFORM windlass.tell(p_now, 0, 0, v_queue, v_id, v_kind, v_grp, 0);
  IF v_state = 4 THEN
    PERFORM windlass.need_wide();
    INSERT INTO windlass.blocked (job, since, due, attempt, queue) VALUES (v_id, p_now, coalesce(v_due, 0), 0, v_queue);
    PERFORM windlass.judge(ARRAY[v_id], p_now);
  ELSIF v_state = 0 THEN
    PERFORM windlass.enter_deferred(s, 0, v_due, 0);
  ELSE
    PERFORM windlass.enter_ready(s, p_now);
  END IF;
  RETURN windlass.taken(0, windlass.state_of(v_id), v_id);
END $$;

-- A batch one by one, in the order given. With `p_whole`, one refusal refuses all.
CREATE OR REPLACE FUNCTION windlass.enqueue_each(p_at bigint, p_jobs jsonb, p_payloads bytea[], p_whole boolean, p_wide boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_answers jsonb := '[]'; v jsonb; v_bad boolean := false; j jsonb; v_keys text[] := '{}';
BEGIN
  PERFORM windlass.lock(ARRAY(SELECT DISTINCT x->>'queue' FROM jsonb_array_elements(p_jobs) x WHERE x ? 'queue'), p_wide, v_now);
  BEGIN
    FOR j IN SELECT * FROM jsonb_array_elements(p_jobs) LOOP
      IF j ? 'refuse' THEN
        v := jsonb_build_object('err', j->'refuse');
      ELSIF p_whole AND j->'options'->'unique'->>'key' = ANY (v_keys) THEN
        v := jsonb_build_object('err', windlass.invalid('unique key', format('%s stands twice in an all-or-nothing batch', j->'options'->'unique'->>'key')));
      ELSE
        v := windlass.take_in(j, p_payloads[(j->>'body')::int], true, v_now);
      END IF;
      v_keys := v_keys || (j->'options'->'unique'->>'key');
      v_bad := v_bad OR v ? 'err';
      v_answers := v_answers || jsonb_build_array(v);
    END LOOP;
    IF p_whole AND v_bad THEN RAISE EXCEPTION 'refused' USING ERRCODE = 'WL002'; END IF;
    PERFORM windlass.run_errands(1000, v_now);
  EXCEPTION WHEN SQLSTATE 'WL002' THEN
    SELECT jsonb_agg(CASE WHEN a ? 'err' THEN a ELSE '{"err":{"code":"batch_refused"}}'::jsonb END ORDER BY i) INTO v_answers
    FROM jsonb_array_elements(v_answers) WITH ORDINALITY x(a, i);
  END;
  RETURN jsonb_build_object('answers', v_answers) || windlass.owed(v_now);
END $$;

-- Of queues that so many jobs have come to, those in which one could be claimed: [queue, jobs].
CREATE OR REPLACE FUNCTION windlass.to_ring(p_queues text[], p_ns bigint[], p_now bigint) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_agg(jsonb_build_array(u.q, u.n)), '[]') FROM unnest(p_queues, p_ns) u(q, n)
  WHERE NOT EXISTS (SELECT FROM windlass.queue c CROSS JOIN LATERAL (SELECT * FROM windlass.qstate WHERE queue = c.name ORDER BY v DESC LIMIT 1) s WHERE c.name = u.q
    AND (c.paused OR s.counts[3] >= c.concurrency OR s.hold_until > p_now)));
END $$;

-- A batch at once, without a lock. NULL when it is not of the kind that this can take.
CREATE OR REPLACE FUNCTION windlass.enqueue_lots(p_at bigint, p_ids uuid[], p_queues text[], p_kinds text[], p_payloads bytea[], p_grps text[], p_prios smallint[],
  p_lsets text[], p_run_at bigint[], p_delays bigint[], p_options jsonb[], p_loose boolean DEFAULT false) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := windlass.now_ms(p_at); v_answers jsonb[]; v_take boolean[]; r record; v_new uuid[]; v_rings jsonb; i int; v_err jsonb; v_all boolean;
  v_simple boolean := cardinality(array_remove(p_options, NULL)) + cardinality(array_remove(p_run_at, NULL)) + cardinality(array_remove(p_delays, NULL)) = 0;
BEGIN
  v_all := v_simple AND NOT p_loose AND NOT EXISTS (SELECT FROM windlass.job WHERE id = ANY (p_ids)) AND NOT EXISTS (SELECT FROM windlass.gone WHERE id = ANY (p_ids));
  IF NOT v_all THEN
    v_answers := array_fill(NULL::jsonb, ARRAY[cardinality(p_ids)]); v_take := array_fill(true, ARRAY[cardinality(p_ids)]);
  END IF;
  IF p_loose THEN
    -- In a caller's transaction a bound is held against what is counted by now, and nobody waits for anybody.
    FOR r IN SELECT u.n, u.q, u.l, u.p, u.id, coalesce(h.ordered, c.g_ordered) AS ordered, s.counts[1] + s.counts[2] + s.counts[4] + s.counts[5] >= c.max_waiting AS full_
      FROM unnest(p_queues, p_grps, p_lsets, p_prios, p_ids) WITH ORDINALITY u(q, g, l, p, id, n)
      LEFT JOIN windlass.queue c ON c.name = u.q LEFT JOIN windlass.qstate s ON s.queue = u.q
      LEFT JOIN LATERAL (SELECT g.ordered FROM windlass.grp g WHERE g.queue = u.q AND g.key = u.g ORDER BY g.v DESC LIMIT 1) h ON true LOOP
      v_err := CASE WHEN r.full_ THEN jsonb_build_object('code', 'queue_full', 'queue', r.q, 'retry_after_ms', windlass.room_in_ms(r.q, v_now))
        WHEN r.ordered AND r.p <> 0 THEN windlass.invalid('priority', 'must be 0 in an ordered group: its order is that of becoming ready')
        WHEN r.l <> '' THEN windlass.too_costly(r.l) END;
      CONTINUE WHEN v_err IS NULL OR windlass.state_of(r.id) IS NOT NULL;
      v_take[r.n] := false;
      v_answers[r.n] := jsonb_build_object('err', v_err);
    END LOOP;
  ELSIF EXISTS (SELECT FROM (SELECT DISTINCT u.q, u.g FROM unnest(p_queues, p_grps) u(q, g)) x
    JOIN windlass.queue c ON c.name = x.q LEFT JOIN LATERAL (SELECT g.ordered FROM windlass.grp g WHERE g.queue = x.q AND g.key = x.g ORDER BY g.v DESC LIMIT 1) h ON true
    WHERE c.max_waiting IS NOT NULL OR coalesce(h.ordered, c.g_ordered)) THEN
    RETURN NULL;
  END IF;
  FOR r IN SELECT DISTINCT l FROM unnest(p_lsets) l WHERE l <> '' AND NOT p_loose LOOP
    IF windlass.too_costly(r.l) IS NOT NULL THEN RETURN NULL; END IF;
  END LOOP;
  IF v_all THEN
    -- Nothing of it is known: whoever brings the same at this moment makes this fail and be tried again.
    INSERT INTO windlass.job (id, at, prio, queue, kind, grp, lset, payload)
    SELECT u.id, v_now, u.prio, u.queue, u.kind, u.grp, u.lset, u.payload FROM unnest(p_ids, p_queues, p_kinds, p_payloads, p_grps, p_prios, p_lsets) u(id, queue, kind, payload, grp, prio, lset);
    IF EXISTS (SELECT FROM windlass.gone g WHERE g.id = ANY (p_ids)) THEN RAISE EXCEPTION 'an id has ended meanwhile' USING ERRCODE = 'serialization_failure'; END IF;
    WITH lots AS (INSERT INTO windlass.incoming (at, prio, state, flags, queue, grp, lset, jobs, kinds)
      SELECT v_now, u.prio, 1, 0, u.queue, u.grp, u.lset, array_agg(u.id ORDER BY u.n), windlass.same(array_agg(u.kind ORDER BY u.n))
      FROM unnest(p_ids, p_queues, p_kinds, p_grps, p_prios, p_lsets) WITH ORDINALITY u(id, queue, kind, grp, prio, lset, n)
      GROUP BY u.queue, u.grp, u.lset, u.prio ORDER BY min(u.n) RETURNING queue, cardinality(jobs) AS n)
    SELECT windlass.to_ring(array_agg(queue), array_agg(n), v_now) INTO v_rings FROM (SELECT queue, sum(n) AS n FROM lots GROUP BY queue) x;
    RETURN jsonb_build_object('now', v_now, 'rings', v_rings);
  END IF;
  -- Keys in their order, so that two batches wait for each other in one direction only.
  FOR r IN SELECT u.o->'unique' AS uniq, u.id, u.n FROM unnest(p_options, p_ids) WITH ORDINALITY u(o, id, n)
           WHERE u.o ? 'unique' AND v_take[u.n] ORDER BY u.o->'unique'->>'key' COLLATE "C", u.n LOOP
    CONTINUE WHEN EXISTS (SELECT FROM windlass.job WHERE id = r.id) OR windlass.gone_as(r.id, v_now) IS NOT NULL;
    DECLARE v_scope record; v_holder uuid; v_on text := coalesce(r.uniq->>'on_conflict', 'existing');
    BEGIN
      SELECT * INTO v_scope FROM windlass.scope(r.uniq);
      INSERT INTO windlass.unique_key (key, job, until) VALUES (r.uniq->>'key', r.id, CASE WHEN v_scope.kind = 'for' THEN v_now + v_scope.ttl ELSE 0 END)
      ON CONFLICT (key) DO UPDATE SET job = excluded.job, until = excluded.until WHERE unique_key.until > 0 AND unique_key.until <= v_now;
      IF NOT FOUND THEN
        SELECT job INTO v_holder FROM windlass.unique_key WHERE key = r.uniq->>'key';
        CONTINUE WHEN v_holder = r.id;
        v_take[r.n] := false;
        IF v_on = 'existing' THEN
          v_answers[r.n] := windlass.taken(2, coalesce(windlass.state_of(v_holder), windlass.gone_as(v_holder, v_now), -1), v_holder);
        ELSE
          v_answers[r.n] := windlass.unique_conflict(v_holder);
        END IF;
      END IF;
    END;
  END LOOP;
  WITH item AS MATERIALIZED (
    SELECT u.* FROM unnest(p_ids, p_queues, p_kinds, p_payloads, p_grps, p_prios, p_lsets, p_run_at, p_delays, p_options, v_take) WITH ORDINALITY
      u(id, queue, kind, payload, grp, prio, lset, run_at, delay, options, take, n) WHERE u.take),
  came AS (INSERT INTO windlass.job (id, at, prio, queue, kind, grp, lset, payload, options)
    SELECT id, v_now, prio, queue, kind, grp, lset, payload, options FROM item ORDER BY n ON CONFLICT DO NOTHING RETURNING id)
  SELECT array_agg(id) INTO v_new FROM came;
  -- An id that ended and was removed while we looked is known, and not made again.
  FOR r IN SELECT g.id, g.state FROM windlass.gone g WHERE g.id = ANY (v_new) AND g.at + 86400000 > v_now LOOP
    DELETE FROM windlass.job WHERE id = r.id;
    v_new := array_remove(v_new, r.id);
  END LOOP;
  v_all := coalesce(cardinality(v_new), 0) = cardinality(p_ids);
  WITH item AS MATERIALIZED (
    SELECT u.*, CASE WHEN coalesce(u.run_at, v_now + u.delay) > v_now THEN coalesce(u.run_at, v_now + u.delay) END AS due
    FROM unnest(p_ids, p_queues, p_kinds, p_grps, p_prios, p_lsets, p_run_at, p_delays, p_options) WITH ORDINALITY
      u(id, queue, kind, grp, prio, lset, run_at, delay, options, n) WHERE v_all OR u.id = ANY (v_new)),
  placed AS MATERIALIZED (SELECT * FROM item ORDER BY n),
  later AS (INSERT INTO windlass.deferred (job, due, seq, attempt, state, why, queue)
    SELECT id, due, nextval('windlass.seq'), 0, 0, 0, queue FROM placed WHERE due IS NOT NULL),
  expiring AS (INSERT INTO windlass.expiry (queue, at, job)
    SELECT queue, windlass.ms(options->'expires_at'), id FROM placed WHERE options ? 'expires_at'),
  lots AS (INSERT INTO windlass.incoming (at, prio, state, flags, queue, grp, lset, jobs, kinds)
    SELECT v_now, prio, CASE WHEN due IS NULL THEN 1 ELSE 0 END, CASE WHEN bool_or(options IS NOT NULL) THEN 2 ELSE 0 END, queue, grp, lset, array_agg(id ORDER BY n),
      windlass.same(array_agg(kind ORDER BY n)) FROM placed GROUP BY queue, grp, lset, prio, due IS NULL ORDER BY min(n))
  SELECT windlass.to_ring(array_agg(queue), array_agg(n), v_now) INTO v_rings FROM (SELECT queue, count(*) AS n FROM placed WHERE due IS NULL GROUP BY queue) x;
  IF NOT v_all THEN
    FOR i IN 1..cardinality(p_ids) LOOP
      IF v_answers[i] IS NULL AND NOT coalesce(p_ids[i] = ANY (v_new), false) THEN
        v_answers[i] := windlass.taken(1, coalesce(windlass.state_of(p_ids[i]), windlass.gone_as(p_ids[i], v_now), 1), p_ids[i]);
      ELSIF v_answers[i] #>> '{ok,1}' = '-1' THEN
        v_answers[i] := windlass.taken(2, coalesce(windlass.state_of((v_answers[i] #>> '{ok,2}')::uuid), 5), (v_answers[i] #>> '{ok,2}')::uuid);
      END IF;
    END LOOP;
    RETURN jsonb_build_object('answers', to_jsonb(v_answers), 'now', v_now, 'rings', v_rings);
  END IF;
  RETURN jsonb_build_object('now', v_now, 'rings', v_rings);
END $$;
