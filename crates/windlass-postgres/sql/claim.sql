-- T3: jobs are taken in the order of priority, fairness and arrival, as far as limits admit.

-- Claims where some lane takes named limits: one job at a time.
CREATE OR REPLACE FUNCTION windlass.claim_each(p_queue text, p_n int, p_worker bigint, p_nonce bigint, p_now bigint, OUT jobs uuid[], OUT again bigint)
LANGUAGE plpgsql AS $$
DECLARE
  g windlass.grp; q record; v_open record; v_moves int := 0; r windlass.ready; a windlass.lane; v_has boolean; v_limit text; v_refuses record;
  v_weight bigint; v_rate bigint[]; v_conc bigint; s windlass.spot; v_kinds text[] := '{}'; v_grps text[] := '{}'; v_attempts int[] := '{}'; v_waits bigint[] := '{}';
  v_woken text; v_term bigint := nextval('windlass.seq'); v_check bigint;
BEGIN
  jobs := '{}';
  WHILE cardinality(jobs) < p_n LOOP
    SELECT * INTO g FROM windlass.grp WHERE queue = p_queue AND entry IS NOT NULL ORDER BY entry DESC, vt, key LIMIT 1;
    IF NOT FOUND THEN again := windlass.later(p_queue, p_now); EXIT; END IF;
    SELECT * INTO q FROM windlass.queue c JOIN windlass.qstate t ON t.queue = c.name WHERE c.name = p_queue;
    SELECT * INTO v_open FROM windlass.queue_open(q.concurrency, q.counts[3], q.hold_until, q.rate_count, q.rate_period, q.rate_burst, q.tat_ms, q.tat_frac, p_now);
    IF NOT v_open.ok THEN
      again := v_open.at;
      IF v_open.at IS NOT NULL THEN UPDATE windlass.qstate SET timer_at = v_open.at WHERE queue = p_queue; END IF;
      EXIT;
    END IF;
    IF v_moves >= 1000 THEN again := p_now; EXIT; END IF;
    IF g.own IS NULL THEN
      v_conc := q.g_concurrency; v_rate := ARRAY[q.g_rate_count, q.g_rate_period, q.g_rate_burst]; v_weight := q.g_weight;
    ELSE
      v_conc := g.concurrency; v_rate := ARRAY[g.rate_count, g.rate_period, g.rate_burst]; v_weight := g.weight;
    END IF;
    SELECT * INTO v_open FROM windlass.queue_open(v_conc, g.counts[3], g.hold_until, v_rate[1], v_rate[2], v_rate[3], g.tat_ms, g.tat_frac, p_now);
    IF NOT v_open.ok THEN
      PERFORM windlass.park(p_queue, g.key, v_open.at, p_now);
      v_moves := v_moves + 1;
      CONTINUE;
    END IF;
    a := NULL;
    IF g.ordered THEN
      SELECT * INTO r FROM windlass.ready WHERE job = windlass.head(p_queue, g.key);
      IF r.lset <> '' THEN
        SELECT * INTO a FROM windlass.lane WHERE queue = p_queue AND grp = g.key AND prio = r.prio AND lset = r.lset;
      END IF;
    ELSE
      SELECT * INTO r FROM windlass.ready WHERE queue = p_queue AND grp = g.key AND lset = '' ORDER BY prio DESC, seq LIMIT 1;
      v_has := FOUND; r.job := coalesce(r.job, r.jobs[1]);
      SELECT * INTO a FROM windlass.lane WHERE standing = 1 AND queue = p_queue AND grp = g.key ORDER BY prio DESC, head LIMIT 1;
      IF FOUND AND (NOT v_has OR (-a.prio, a.head) < (-r.prio, r.seq)) THEN
        SELECT * INTO r FROM windlass.ready WHERE queue = p_queue AND grp = g.key AND lset = a.lset AND prio = a.prio ORDER BY seq LIMIT 1;
      END IF;
    END IF;
    IF r.job IS NULL THEN RAISE EXCEPTION 'group % of queue % stands in the order with nothing to run', g.key, p_queue; END IF;
    IF r.lset <> '' THEN
      v_limit := windlass.stands_behind(p_queue, r.prio, r.lset, a.woken_by);
      IF v_limit IS NOT NULL THEN
        PERFORM windlass.lane_wait(p_queue, g.key, r.prio, r.lset, v_limit, NULL, p_now);
        v_moves := v_moves + 1;
        CONTINUE;
      END IF;
      SELECT * INTO v_refuses FROM windlass.limits_open(r.lset, p_now);
      IF v_refuses.refuses IS NOT NULL THEN
        PERFORM windlass.lane_wait(p_queue, g.key, r.prio, r.lset, v_refuses.refuses, v_refuses.at, p_now);
        v_moves := v_moves + 1;
        CONTINUE;
      END IF;
      PERFORM windlass.take_limits(r.lset, p_now);
    END IF;
    s := windlass.spot_of(r.job);
    v_check := least(v_check, p_now + q.lease_ms);
    INSERT INTO windlass.run (job, counter, nonce, worker, started_at, deadline, term, since, lease_ms, attempt, flags, queue, kind, grp, lset)
    VALUES (r.job, nextval('windlass.counter'), p_nonce, p_worker, p_now, p_now + q.lease_ms, v_term, r.since, q.lease_ms, r.attempt + 1, r.flags, p_queue, s.kind, s.grp, s.lset);
    PERFORM windlass.leave(s, 2, p_now);
    UPDATE windlass.grp SET claimed = claimed + 1, vt = windlass.charge(g.vt, v_weight, 1),
      (tat_ms, tat_frac) = (SELECT coalesce(m.tat_ms, g.tat_ms), coalesce(m.tat_frac, g.tat_frac)
        FROM windlass.admit(v_rate[1], v_rate[2], v_rate[3], g.tat_ms, g.tat_frac, p_now, 1) m)
    WHERE queue = p_queue AND key = g.key;
    UPDATE windlass.qstate SET floor = greatest(floor, g.vt), totals[2] = totals[2] + 1,
      (tat_ms, tat_frac) = (SELECT coalesce(m.tat_ms, q.tat_ms), coalesce(m.tat_frac, q.tat_frac)
        FROM windlass.admit(q.rate_count, q.rate_period, q.rate_burst, q.tat_ms, q.tat_frac, p_now, 1) m)
    WHERE queue = p_queue;
    IF r.lset <> '' THEN
      UPDATE windlass.lane l SET woken_by = NULL FROM windlass.lane o WHERE l.queue = p_queue AND l.grp = g.key AND l.prio = r.prio AND l.lset = r.lset
        AND o.queue = l.queue AND o.grp = l.grp AND o.prio = l.prio AND o.lset = l.lset AND l.woken_by IS NOT NULL RETURNING o.woken_by INTO v_woken;
      IF v_woken IS NOT NULL THEN PERFORM windlass.wake_one(v_woken, p_queue, p_now); END IF;
    END IF;
    IF r.attempt = 0 THEN PERFORM windlass.give_up_keys(ARRAY[r.job]); END IF;
    jobs := jobs || r.job; v_kinds := v_kinds || s.kind; v_grps := v_grps || s.grp; v_attempts := v_attempts || (r.attempt + 1); v_waits := v_waits || (p_now - r.since);
  END LOOP;
  IF cardinality(jobs) > 0 THEN
    PERFORM windlass.hold(v_term, p_queue, v_check, p_worker, jobs);
    INSERT INTO windlass.event (at, worker, type, cause, queue, jobs, kinds, grps, attempts)
    VALUES (p_now, p_worker, 2, 0, p_queue, jobs, windlass.same(v_kinds), windlass.same(v_grps), v_attempts);
    PERFORM windlass.measured(p_queue, 0, v_waits);
  END IF;
END $$;

-- T3 of jobs whose key is unique until they start: given up for good. True, so that a statement may ask for it.
CREATE OR REPLACE FUNCTION windlass.give_up_keys(p_ids uuid[]) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE v_id uuid;
BEGIN
  FOR v_id IN SELECT id FROM windlass.job WHERE id = ANY (p_ids) AND options->'unique'->>'scope' = 'until_start' LOOP
    DELETE FROM windlass.unique_key WHERE job = v_id;
    INSERT INTO windlass.extra (job, key_given_up) VALUES (v_id, true) ON CONFLICT (job) DO UPDATE SET key_given_up = true;
  END LOOP;
  RETURN true;
END $$;

-- The first groups of the order, read from where the last claim found its front. A function of its own, so that nothing in it
-- is ever sorted: statistics of a time when there was one group make all groups look like few.
CREATE OR REPLACE FUNCTION windlass.in_order(p_queue text, p_entry smallint, p_vt bigint, p_key text, p_n int) RETURNS SETOF windlass.grp LANGUAGE plpgsql STABLE ROWS 100 AS $$
BEGIN
  RETURN QUERY (SELECT * FROM windlass.grp WHERE queue = p_queue AND entry = p_entry AND (vt, key) >= (p_vt, p_key) ORDER BY vt, key LIMIT p_n)
    UNION ALL (SELECT * FROM windlass.grp WHERE queue = p_queue AND entry < p_entry ORDER BY entry DESC, vt, key LIMIT p_n) LIMIT p_n;
END $$;

-- Claims of a queue without limited lanes: all at once. The k-th job of a group would be taken at its group's virtual time
-- after k - 1 others; the merge of all groups by (priority, that time, group) is the order in which one by one would go.
CREATE OR REPLACE FUNCTION windlass.claim_lots(p_queue text, p_n int, p_worker bigint, p_nonce bigint, p_now bigint, OUT jobs uuid[], OUT again bigint)
LANGUAGE plpgsql AS $$
DECLARE
  q record; v_open record; v_n int; v_shut record; v_moves int := 0; v_some boolean; v_keys text[]; v_gvs bigint[]; v_ns bigint[]; v_lows smallint[]; v_seqs bigint[];
  v_waited numeric; v_longest bigint; v_floor bigint; v_taken int := 0; v_flags int; v_rated boolean; v_term bigint; v_check bigint; v_next bigint; v_first record; v_more record;
BEGIN
  jobs := '{}';
  SELECT * INTO q FROM windlass.queue c CROSS JOIN LATERAL (SELECT * FROM windlass.qstate WHERE queue = c.name ORDER BY v DESC LIMIT 1) t WHERE c.name = p_queue;
  SELECT (array_agg(f.entry))[1] AS entry, (array_agg(f.vt))[1] AS vt, (array_agg(f.key))[1] AS key, bool_or(f.own IS NOT NULL OR f.hold_until > p_now) AS own
  INTO v_first FROM windlass.in_order(p_queue, q.front_entry, q.front_vt, q.front_key, p_n) f;
  IF v_first.entry IS NULL THEN
    again := windlass.later(p_queue, p_now);
    RETURN;
  END IF;
  v_n := least(p_n, windlass.available(q.rate_count, q.rate_period, q.rate_burst, q.tat_ms, q.tat_frac, p_now));
  IF q.concurrency IS NOT NULL THEN v_n := least(v_n, q.concurrency - q.counts[3]); END IF;
  IF q.hold_until > p_now OR v_n <= 0 THEN
    SELECT * INTO v_open FROM windlass.queue_open(q.concurrency, q.counts[3], q.hold_until, q.rate_count, q.rate_period, q.rate_burst, q.tat_ms, q.tat_frac, p_now);
    again := v_open.at;
    IF v_open.at IS NOT NULL THEN UPDATE windlass.qstate SET timer_at = v_open.at WHERE queue = p_queue; END IF;
    RETURN;
  END IF;
  -- Groups that are shut leave the order, until only such stand at its front as can give a job.
  LOOP
    EXIT WHEN NOT (v_first.own OR q.g_concurrency IS NOT NULL OR q.g_rate_count IS NOT NULL);
    v_some := false;
    FOR v_shut IN SELECT f.key, o.at FROM
      windlass.in_order(p_queue, v_first.entry, v_first.vt, v_first.key, v_n) f
      CROSS JOIN LATERAL windlass.queue_open(CASE WHEN f.own IS NULL THEN q.g_concurrency ELSE f.concurrency END, f.counts[3], f.hold_until,
        CASE WHEN f.own IS NULL THEN q.g_rate_count ELSE f.rate_count END, CASE WHEN f.own IS NULL THEN q.g_rate_period ELSE f.rate_period END,
        CASE WHEN f.own IS NULL THEN q.g_rate_burst ELSE f.rate_burst END, f.tat_ms, f.tat_frac, p_now) o WHERE NOT o.ok LOOP
      PERFORM windlass.park(p_queue, v_shut.key, v_shut.at, p_now);
      v_some := true; v_moves := v_moves + 1;
    END LOOP;
    EXIT WHEN NOT v_some;
    IF v_moves >= 1000 THEN again := p_now; EXIT; END IF;
  END LOOP;
  v_term := nextval('windlass.seq'); v_check := p_now + q.lease_ms;
  WITH front AS MATERIALIZED (
    SELECT f.key, f.v AS gv, f.entry, f.vt, f.ordered, CASE WHEN f.floor_prio = f.entry THEN f.floor_seq ELSE 0 END AS floor_seq,
      CASE WHEN f.own IS NULL THEN q.g_weight ELSE f.weight END AS w, CASE WHEN f.own IS NULL THEN q.g_rate_count ELSE f.rate_count END IS NOT NULL AS rated,
      -- None, where more groups are shut than were looked at above.
      CASE WHEN f.hold_until > p_now THEN 0 ELSE greatest(least(v_n, coalesce((CASE WHEN f.own IS NULL THEN q.g_concurrency ELSE f.concurrency END) - f.counts[3], v_n),
        windlass.available(CASE WHEN f.own IS NULL THEN q.g_rate_count ELSE f.rate_count END, CASE WHEN f.own IS NULL THEN q.g_rate_period ELSE f.rate_period END,
          CASE WHEN f.own IS NULL THEN q.g_rate_burst ELSE f.rate_burst END, f.tat_ms, f.tat_frac, p_now)), 0) END AS cap
    FROM windlass.in_order(p_queue, v_first.entry, v_first.vt, v_first.key, v_n) f),
  -- How far the groups of the last priority may go: with as many groups as jobs are wanted, not beyond the last one's start;
  -- with fewer, all of one priority, twice as far as they would go if each had enough. What is then still wanted, and jobs of
  -- lower priority that may not go before those beyond, are for the next round.
  edge_ AS MATERIALIZED (SELECT min(entry) AS entry, count(*) < v_n AND min(entry) = max(entry) AS level,
      CASE WHEN count(*) = v_n THEN max(vt) FILTER (WHERE entry = (SELECT min(entry) FROM front))
        WHEN min(entry) = max(entry) THEN max(vt) + 2 * v_n * 4096 / sum(w)::bigint END AS vt FROM front),
  offered AS (
    SELECT f.key, f.gv, f.rated, r.job, r.kind, r.at, r.size, r.prio, r.seq, r.since, r.attempt, r.flags, windlass.charge(f.vt, f.w, r.k - 1) AS v
    FROM front f CROSS JOIN edge_ e CROSS JOIN LATERAL (
      SELECT z.*, row_number() OVER (ORDER BY z.prio DESC, z.seq, z.i) AS k FROM (
        -- No sort here: a lane is read in the order of its index, and no further than needed.
        SELECT u.job, u.i, y.kinds[CASE WHEN cardinality(y.kinds) = 1 THEN 1 ELSE u.i END] AS kind, y.at, coalesce(cardinality(y.jobs), 1) AS size, y.prio, y.seq, y.since, y.attempt, y.flags
        FROM ((SELECT r.ctid AS at, r.* FROM windlass.ready r WHERE NOT f.ordered AND r.queue = p_queue AND r.grp = f.key AND r.lset = '' AND r.prio = f.entry
            AND r.seq >= f.floor_seq ORDER BY r.seq LIMIT v_n)
          UNION ALL (SELECT r.ctid, r.* FROM windlass.ready r WHERE NOT f.ordered AND NOT e.level AND r.queue = p_queue AND r.grp = f.key AND r.lset = '' AND r.prio < f.entry
            ORDER BY r.prio DESC, r.seq LIMIT v_n)) y
        CROSS JOIN LATERAL unnest(coalesce(y.jobs, ARRAY[y.job])) WITH ORDINALITY u(job, i)
        LIMIT least(f.cap, v_n, CASE WHEN f.entry = e.entry THEN 1 + windlass.charges_until(f.vt, f.w, e.vt) END)) z
      UNION ALL
      SELECT y.job, 1, y.kinds[1], y.ctid, 1, y.prio, y.seq, y.since, y.attempt, y.flags, 1 FROM windlass.ready y WHERE f.ordered AND f.cap > 0 AND y.job = windlass.head(p_queue, f.key)) r),
  pick AS MATERIALIZED (SELECT x.*, nextval('windlass.counter') AS counter FROM
    (SELECT o.*, row_number() OVER (ORDER BY prio DESC, v, key) AS n FROM offered o ORDER BY n LIMIT v_n) x),
  lots AS MATERIALIZED (SELECT at, count(*)::int AS m, min(size) AS size FROM pick GROUP BY at),
  gone AS (DELETE FROM windlass.ready r USING lots l WHERE r.ctid = l.at AND l.m = l.size),
  cut AS (UPDATE windlass.ready r SET jobs = r.jobs[l.m + 1:], kinds = CASE WHEN cardinality(r.kinds) = 1 THEN r.kinds ELSE r.kinds[l.m + 1:] END
    FROM lots l WHERE r.ctid = l.at AND l.m < l.size),
  held AS (INSERT INTO windlass.run (job, counter, nonce, worker, started_at, since, lease_ms, term, deadline, attempt, flags, queue, kind, grp, lset)
    SELECT job, counter, p_nonce, p_worker, p_now, since, q.lease_ms, v_term, v_check, attempt + 1, flags, p_queue, kind, key, '' FROM pick),
  lists AS MATERIALIZED (SELECT array_agg(job ORDER BY n) AS jobs, array_agg(kind ORDER BY n) AS kinds, array_agg(key ORDER BY n) AS grps, array_agg(attempt + 1 ORDER BY n) AS attempts,
    sum(greatest(p_now - since, 0)) AS waited, max(p_now - since) AS longest, max(v) AS v, count(*)::int AS n, bit_or(flags) AS flags, max(attempt) AS attempt, bool_or(rated) AS rated FROM pick),
  told AS (INSERT INTO windlass.event (at, worker, type, cause, queue, jobs, kinds, grps, attempts)
    SELECT p_now, p_worker, 2, 0, p_queue, l.jobs, windlass.same(l.kinds), nullif(windlass.same(l.grps), '{""}'), CASE WHEN l.attempt = 0 THEN '{1}' ELSE l.attempts END
    FROM lists l WHERE l.n > 0),
  terms AS (INSERT INTO windlass.term (id, queue, check_at, worker, held, jobs) SELECT v_term, p_queue, v_check, p_worker, l.n, l.jobs FROM lists l WHERE l.n > 0),
  beat AS (INSERT INTO windlass.pulse (queue, at, n, hist, buckets, ns) SELECT p_queue, p_now, 0, 0, array_agg(b.bucket), array_agg(b.n)
    FROM (SELECT windlass.bucket(p_now - since) AS bucket, count(*) AS n FROM pick GROUP BY 1) b HAVING count(*) > 0),
  served AS (SELECT key, min(gv) AS gv, count(*) AS n, min(prio) AS low, (array_agg(seq ORDER BY prio, seq DESC))[1] AS seq FROM pick GROUP BY key)
  SELECT l.jobs, l.waited, l.longest, l.v, l.n, l.flags, l.rated, s.keys, s.gvs, s.ns, s.lows, s.seqs INTO jobs, v_waited, v_longest, v_floor, v_taken, v_flags, v_rated, v_keys, v_gvs, v_ns, v_lows, v_seqs
  FROM lists l CROSS JOIN (SELECT array_agg(key) AS keys, array_agg(gv) AS gvs, array_agg(n) AS ns, array_agg(low) AS lows, array_agg(seq) AS seqs FROM served) s;
  IF v_taken = 0 THEN
    jobs := '{}';
    IF again IS NULL AND EXISTS (SELECT FROM windlass.grp WHERE queue = p_queue AND entry IS NOT NULL) THEN
      RAISE EXCEPTION 'queue % has groups in its order with nothing to run', p_queue;
    END IF;
    again := coalesce(again, windlass.later(p_queue, p_now));
    RETURN;
  END IF;
  UPDATE windlass.grp g SET v = g.v + 1, claimed = claimed + x.n, counts = windlass.add(g.counts, ARRAY[0, -x.n, x.n, 0, 0, 0, 0, 0]),
    vt = windlass.charge(g.vt, CASE WHEN g.own IS NULL THEN q.g_weight ELSE g.weight END, x.n), floor_prio = x.low, floor_seq = x.seq,
    entry = CASE WHEN NOT g.ordered THEN coalesce(
      (SELECT prio FROM windlass.ready WHERE queue = p_queue AND grp = x.k AND lset = '' AND prio = x.low AND seq >= x.seq ORDER BY seq LIMIT 1),
      (SELECT prio FROM windlass.ready WHERE queue = p_queue AND grp = x.k AND lset = '' AND prio < x.low ORDER BY prio DESC, seq LIMIT 1)) END
  FROM unnest(v_keys, v_gvs, v_ns, v_lows, v_seqs) x(k, gv, n, low, seq) CROSS JOIN LATERAL
    (SELECT o.ctid AS at FROM windlass.grp o WHERE o.queue = p_queue AND o.key = x.k AND o.v = x.gv LIMIT 1) o WHERE g.ctid = o.at;
  IF v_rated THEN
    UPDATE windlass.grp g SET (tat_ms, tat_frac) = (SELECT coalesce(m.tat_ms, g.tat_ms), coalesce(m.tat_frac, g.tat_frac) FROM windlass.admit(
      CASE WHEN g.own IS NULL THEN q.g_rate_count ELSE g.rate_count END, CASE WHEN g.own IS NULL THEN q.g_rate_period ELSE g.rate_period END,
      CASE WHEN g.own IS NULL THEN q.g_rate_burst ELSE g.rate_burst END, g.tat_ms, g.tat_frac, p_now, x.n) m)
    FROM unnest(v_keys, v_gvs, v_ns) x(k, gv, n) CROSS JOIN LATERAL
      (SELECT o.ctid AS at FROM windlass.grp o WHERE o.queue = p_queue AND o.key = x.k AND o.v = x.gv + 1 LIMIT 1) o WHERE g.ctid = o.at;
  END IF;
  -- The earliest look that any lease of the queue needs.
  SELECT check_at INTO v_next FROM windlass.term WHERE queue = p_queue AND check_at >= least(q.term_floor, v_check) ORDER BY check_at LIMIT 1;
  UPDATE windlass.qstate SET v = v + 1, counts = windlass.add(counts, ARRAY[0, -v_taken, v_taken, 0, 0, 0, 0, 0]), totals[2] = totals[2] + v_taken, floor = greatest(floor, v_floor),
    front_entry = v_first.entry, front_vt = v_first.vt, front_key = v_first.key, term_floor = v_next,
    wait_sum = wait_sum + v_waited, wait_max = greatest(wait_max, v_longest)
  WHERE queue = p_queue AND v = q.v;
  IF q.rate_count IS NOT NULL THEN
    UPDATE windlass.qstate SET (tat_ms, tat_frac) = (SELECT coalesce(m.tat_ms, q.tat_ms), coalesce(m.tat_frac, q.tat_frac)
      FROM windlass.admit(q.rate_count, q.rate_period, q.rate_burst, q.tat_ms, q.tat_frac, p_now, v_taken) m)
    WHERE queue = p_queue AND v = q.v + 1;
  END IF;
  IF v_flags & 2 > 0 THEN PERFORM windlass.give_up_keys(jobs); END IF;
  -- What stopped the batch short may be time.
  IF v_taken < p_n AND again IS NULL THEN
    SELECT * INTO q FROM windlass.queue c CROSS JOIN LATERAL (SELECT * FROM windlass.qstate WHERE queue = c.name ORDER BY v DESC LIMIT 1) t WHERE c.name = p_queue;
    SELECT * INTO v_open FROM windlass.queue_open(q.concurrency, q.counts[3], q.hold_until, q.rate_count, q.rate_period, q.rate_burst, q.tat_ms, q.tat_frac, p_now);
    IF v_open.ok AND EXISTS (SELECT FROM windlass.in_order(p_queue, q.front_entry, q.front_vt, q.front_key, 1)) THEN
      -- Groups that this very claim has shut are found out by the next look.
      SELECT * INTO v_more FROM windlass.claim_lots(p_queue, p_n - v_taken, p_worker, p_nonce, p_now);
      jobs := jobs || v_more.jobs; again := v_more.again;
    ELSIF v_open.ok THEN
      again := windlass.later(p_queue, p_now);
    ELSE
      again := v_open.at;
      IF v_open.at IS NOT NULL THEN UPDATE windlass.qstate SET timer_at = v_open.at WHERE queue = p_queue; END IF;
    END IF;
  END IF;
END $$;

-- Settles, then claims, in one step. Rows: the jobs, and a last one with the answers.
--
-- Most queues have nothing that orders or limits what stands in them but priority and arrival: one group in the order, no
-- settings that could shut it. They are claimed here, in one statement. The others go through `claim_lots` or `claim_each`.
CREATE OR REPLACE FUNCTION windlass.claim(p_at bigint, p_kinds smallint[], p_jobs uuid[], p_counters bigint[], p_nonces bigint[], p_results bytea[], p_details jsonb[],
  p_payloads bytea[], p_then text[], p_queues text[], p_wants int[], p_worker bigint, p_nonce bigint, p_wide boolean)
RETURNS TABLE (job uuid, attempt int, counter bigint, deadline bigint, lease_ms bigint, queue text, kind text, grp text, payload bytea, prio int,
  failures int, losses int, snoozes int, at bigint, since bigint, checkpoint bytea, options jsonb, note jsonb) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  v_now bigint := windlass.now_ms(p_at); v_answers jsonb; v_again bigint; i int; v_left int; v_got int; v_term bigint; v_check bigint; v_caught boolean; v_limited boolean;
  v_places tid[]; v_theirs text[]; q record; f record; v record;
BEGIN
  IF cardinality(p_jobs) > 0 THEN
    -- Their places are looked up together with their queues; an attempt that has moved until the locks are held is found by
    -- its id.
    SELECT array_agg(r.ctid ORDER BY u.n), array_agg(DISTINCT r.queue) FILTER (WHERE r.queue IS NOT NULL) INTO v_places, v_theirs
    FROM unnest(p_jobs) WITH ORDINALITY u(job, n) LEFT JOIN windlass.run r ON r.job = u.job;
    PERFORM windlass.lock(p_queues || p_then || v_theirs, p_wide, v_now);
    v_answers := windlass.settle(p_kinds, p_jobs, p_counters, p_nonces, p_results, p_details, p_payloads, v_places, v_now);
  ELSE
    PERFORM windlass.lock(p_queues, p_wide, v_now);
  END IF;
  IF windlass.is_wide() THEN PERFORM windlass.run_errands(1000, v_now); END IF;
  FOR i IN 1..coalesce(cardinality(p_queues), 0) LOOP
    v_left := p_wants[i]; v_caught := false;
    WHILE v_left > 0 LOOP
      SELECT c.paused, c.lease_ms, c.g_weight, s.v, s.term_floor, s.front_entry, s.front_vt, s.front_key,
        c.concurrency IS NULL AND c.rate_count IS NULL AND s.hold_until <= v_now AND c.g_concurrency IS NULL AND c.g_rate_count IS NULL AS free, s.folded_at, s.timer_at
      INTO q FROM windlass.queue c CROSS JOIN LATERAL (SELECT * FROM windlass.qstate WHERE queue = c.name ORDER BY v DESC LIMIT 1) s WHERE c.name = p_queues[i];
      EXIT WHEN NOT FOUND OR q.paused;
      IF NOT v_caught THEN
        v_caught := true;
        IF q.folded_at <> v_now / 1000 OR windlass.is_due(p_queues[i], q.timer_at, q.term_floor, v_now) THEN
          PERFORM windlass.catch_up(p_queues[i], 1000, v_now);
          CONTINUE;
        END IF;
        CONTINUE WHEN windlass.catch_up_limits(p_queues[i], v_now);
      END IF;
      SELECT count(*) AS n, min(g.key) AS key, min(g.v) AS v, min(g.vt) AS vt, min(g.entry) AS entry, min(CASE WHEN g.floor_prio = g.entry THEN g.floor_seq ELSE 0 END) AS floor_seq,
        bool_and(g.own IS NULL AND NOT g.ordered AND g.hold_until <= v_now) AS free
      INTO f FROM windlass.in_order(p_queues[i], q.front_entry, q.front_vt, q.front_key, 2) g;
      IF f.n = 0 THEN
        v_again := least(v_again, windlass.later(p_queues[i], v_now));
        EXIT;
      END IF;
      v_limited := EXISTS (SELECT FROM windlass.lane a WHERE a.queue = p_queues[i]);
      IF f.n = 1 AND f.free AND q.free AND NOT v_limited THEN
        v_term := nextval('windlass.seq'); v_check := v_now + q.lease_ms;
        -- One lane: what is left of the batch is taken from the next one, in another round. Nothing is sorted: a lane is read
        -- in the order of its index, and no further than needed. The statement sees the table as it was before, so what
        -- stands behind the last job taken is looked for by its place.
        RETURN QUERY WITH
        pick AS MATERIALIZED (
          SELECT u.job, y.kinds[CASE WHEN cardinality(y.kinds) = 1 THEN 1 ELSE u.i END] AS kind, y.at, y.size, y.seq, y.since, y.attempt, y.flags, nextval('windlass.counter') AS counter
          FROM (SELECT r.ctid AS at, coalesce(cardinality(r.jobs), 1) AS size, coalesce(r.jobs, ARRAY[r.job]) AS jobs, r.kinds, r.seq, r.since, r.attempt, r.flags FROM windlass.ready r
            WHERE r.queue = p_queues[i] AND r.grp = f.key AND r.lset = '' AND r.prio = f.entry AND r.seq >= f.floor_seq ORDER BY r.seq) y
          CROSS JOIN LATERAL unnest(y.jobs) WITH ORDINALITY u(job, i) LIMIT v_left),
        lots AS MATERIALIZED (SELECT at, count(*)::int AS m, min(size) AS size, min(seq) AS seq, min(since) AS since FROM pick GROUP BY at),
        gone AS (DELETE FROM windlass.ready r USING lots l WHERE r.ctid = l.at AND l.m = l.size),
        cut AS (UPDATE windlass.ready r SET jobs = r.jobs[l.m + 1:], kinds = CASE WHEN cardinality(r.kinds) = 1 THEN r.kinds ELSE r.kinds[l.m + 1:] END
          FROM lots l WHERE r.ctid = l.at AND l.m < l.size),
        held AS (INSERT INTO windlass.run (job, counter, nonce, worker, started_at, since, lease_ms, term, deadline, attempt, flags, queue, kind, grp, lset)
          SELECT job, counter, p_nonce, p_worker, v_now, since, q.lease_ms, v_term, v_check, attempt + 1, flags, p_queues[i], kind, f.key, '' FROM pick),
        lists AS MATERIALIZED (SELECT array_agg(job) AS jobs, array_agg(kind) AS kinds, array_agg(attempt + 1) AS attempts, max(attempt) AS attempt FROM pick),
        sums AS MATERIALIZED (SELECT sum(m)::bigint AS n, sum(m * greatest(v_now - since, 0)) AS waited, max(v_now - since) AS longest, max(seq) AS seq, bool_or(m < size) AS cut FROM lots),
        told AS (INSERT INTO windlass.event (at, worker, type, cause, queue, jobs, kinds, grps, attempts)
          SELECT v_now, p_worker, 2, 0, p_queues[i], l.jobs, windlass.same(l.kinds), CASE WHEN f.key <> '' THEN ARRAY[f.key] END, CASE WHEN l.attempt = 0 THEN '{1}' ELSE l.attempts END
          FROM lists l WHERE l.jobs IS NOT NULL),
        terms AS (INSERT INTO windlass.term (id, queue, check_at, worker, held, jobs) SELECT v_term, p_queues[i], v_check, p_worker, cardinality(l.jobs), l.jobs FROM lists l WHERE l.jobs IS NOT NULL),
        beat AS (INSERT INTO windlass.pulse (queue, at, n, hist, buckets, ns) SELECT p_queues[i], v_now, 0, 0, array_agg(windlass.bucket(v_now - since)), array_agg(m) FROM lots HAVING count(*) > 0),
        fair AS (UPDATE windlass.grp g SET v = g.v + 1, claimed = g.claimed + s.n, counts = windlass.add(g.counts, ARRAY[0, -s.n, s.n, 0, 0, 0, 0, 0]), vt = windlass.charge(g.vt, q.g_weight, s.n),
            floor_prio = f.entry, floor_seq = s.seq, entry = CASE WHEN s.cut THEN f.entry ELSE coalesce(
              (SELECT y.prio FROM windlass.ready y WHERE y.queue = p_queues[i] AND y.grp = f.key AND y.lset = '' AND y.prio = f.entry AND y.seq > s.seq ORDER BY y.seq LIMIT 1),
              (SELECT y.prio FROM windlass.ready y WHERE y.queue = p_queues[i] AND y.grp = f.key AND y.lset = '' AND y.prio < f.entry ORDER BY y.prio DESC, y.seq LIMIT 1)) END
          FROM sums s WHERE g.queue = p_queues[i] AND g.key = f.key AND g.v = f.v AND s.n > 0),
        state AS (UPDATE windlass.qstate t SET v = t.v + 1, counts = windlass.add(t.counts, ARRAY[0, -s.n, s.n, 0, 0, 0, 0, 0]), totals[2] = t.totals[2] + s.n,
            floor = greatest(t.floor, windlass.charge(f.vt, q.g_weight, s.n - 1)), front_entry = f.entry, front_vt = f.vt, front_key = f.key,
            -- The earliest look that any lease of the queue needs.
            term_floor = coalesce((SELECT o.check_at FROM windlass.term o WHERE o.queue = p_queues[i] AND o.check_at >= t.term_floor AND o.check_at < v_check ORDER BY o.check_at LIMIT 1), v_check),
            wait_sum = t.wait_sum + s.waited, wait_max = greatest(t.wait_max, s.longest)
          FROM sums s WHERE t.queue = p_queues[i] AND t.v = q.v AND s.n > 0)
        SELECT p.job, p.attempt + 1, p.counter, v_check, q.lease_ms, p_queues[i], p.kind, f.key, j.payload, f.entry::int, coalesce(x.failures, 0), coalesce(x.losses, 0), coalesce(x.snoozes, 0),
          j.at, p.since, x.checkpoint, j.options, NULL::jsonb
        FROM pick p CROSS JOIN LATERAL (SELECT * FROM windlass.job WHERE id = p.job LIMIT 1) j LEFT JOIN LATERAL (SELECT * FROM windlass.extra e WHERE e.job = p.job AND p.attempt > 0 LIMIT 1) x ON true
        -- Once for the statement, and only where some job has options.
        WHERE coalesce((SELECT windlass.give_up_keys(array_agg(o.job)) FROM pick o WHERE o.flags & 2 > 0 HAVING count(*) > 0), true)
        -- Each job is looked up by itself, whatever the planner thinks of the tables; and joins promise no order.
        ORDER BY p.counter;
        GET DIAGNOSTICS v_got = ROW_COUNT;
        IF v_got = 0 THEN RAISE EXCEPTION 'queue % has groups in its order with nothing to run', p_queues[i]; END IF;
        v_left := v_left - v_got;
        CONTINUE;
      END IF;
      IF v_limited THEN
        PERFORM windlass.lock_limits();
        SELECT * INTO v FROM windlass.claim_each(p_queues[i], v_left, p_worker, p_nonce, v_now);
      ELSE
        SELECT * INTO v FROM windlass.claim_lots(p_queues[i], v_left, p_worker, p_nonce, v_now);
      END IF;
      v_again := least(v_again, v.again);
      RETURN QUERY SELECT l.job, l.attempt, l.counter, l.deadline, l.lease_ms, l.queue, l.kind, l.grp, j.payload, j.prio::int,
        coalesce(x.failures, 0), coalesce(x.losses, 0), coalesce(x.snoozes, 0), j.at, l.since, x.checkpoint, j.options, NULL::jsonb
      FROM unnest(v.jobs) WITH ORDINALITY u(id, n) JOIN windlass.lease l ON l.job = u.id JOIN windlass.job j ON j.id = u.id
        LEFT JOIN LATERAL (SELECT * FROM windlass.extra e WHERE e.job = u.id AND l.attempt > 1) x ON true ORDER BY u.n;
      EXIT;
    END LOOP;
  END LOOP;
  IF windlass.is_wide() THEN PERFORM windlass.run_errands(1000, v_now); END IF;
  UPDATE windlass.worker w SET seen_at = v_now WHERE w.id = p_worker AND w.seen_at < v_now - 1000;
  note := jsonb_build_object('settled', v_answers, 'again', v_again) || windlass.owed(v_now);
  RETURN NEXT;
END $$;
