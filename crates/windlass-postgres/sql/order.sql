-- The ready order: which groups can run, at which priority, and what becomes of their place when a job comes or goes.

-- Brings a group's entry in its queue's order up to date. One that comes back stands level with the group served last.
CREATE OR REPLACE FUNCTION windlass.refresh(p_queue text, p_grp text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE g windlass.grp; v_best int; v_head record;
BEGIN
  SELECT * INTO g FROM windlass.grp WHERE queue = p_queue AND key = p_grp;
  IF g.parked THEN
    v_best := NULL;
  ELSIF g.ordered THEN
    SELECT r.prio, r.lset INTO v_head FROM
      (SELECT job FROM windlass.place WHERE queue = p_queue AND grp = p_grp ORDER BY seq LIMIT 1) h JOIN windlass.ready r ON r.job = h.job;
    IF FOUND AND (v_head.lset = '' OR EXISTS
      (SELECT FROM windlass.lane WHERE queue = p_queue AND grp = p_grp AND lset = v_head.lset AND prio = v_head.prio AND standing = 1)) THEN
      v_best := v_head.prio;
    END IF;
  ELSE
    v_best := greatest(
      (SELECT prio FROM windlass.ready WHERE queue = p_queue AND grp = p_grp AND lset = '' ORDER BY prio DESC, seq LIMIT 1),
      (SELECT prio FROM windlass.lane WHERE standing = 1 AND queue = p_queue AND grp = p_grp ORDER BY prio DESC, head LIMIT 1));
  END IF;
  IF v_best IS DISTINCT FROM g.entry THEN
    UPDATE windlass.grp SET entry = v_best,
      vt = CASE WHEN g.entry IS NULL AND v_best IS NOT NULL
           THEN greatest(vt, (SELECT floor FROM windlass.qstate WHERE queue = p_queue)) ELSE vt END
    WHERE queue = p_queue AND key = p_grp;
  END IF;
END $$;

-- Takes a group that cannot run out of the order, until a slot or time opens it.
CREATE OR REPLACE FUNCTION windlass.park(p_queue text, p_grp text, p_until bigint, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  UPDATE windlass.grp SET parked = true, entry = NULL, timer_at = p_until WHERE queue = p_queue AND key = p_grp;
  FOR r IN UPDATE windlass.lane l SET woken_by = NULL FROM (SELECT prio, lset, woken_by FROM windlass.lane WHERE queue = p_queue AND grp = p_grp
           AND standing = 1 AND woken_by IS NOT NULL) o
           WHERE l.queue = p_queue AND l.grp = p_grp AND l.prio = o.prio AND l.lset = o.lset RETURNING o.woken_by AS was LOOP
    PERFORM windlass.wake_one(r.was, p_queue, p_now);
  END LOOP;
END $$;

-- Lets a parked group back; if it is still shut, the next claim parks it again.
CREATE OR REPLACE FUNCTION windlass.unpark(p_queue text, p_grp text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE windlass.grp SET parked = false, timer_at = NULL WHERE queue = p_queue AND key = p_grp AND parked;
  IF FOUND THEN
    PERFORM windlass.refresh(p_queue, p_grp);
    PERFORM windlass.touch(p_queue);
  END IF;
END $$;

-- The head of an ordered group.
CREATE OR REPLACE FUNCTION windlass.head(p_queue text, p_grp text) RETURNS uuid LANGUAGE sql STABLE AS
$$ SELECT job FROM windlass.place WHERE queue = p_queue AND grp = p_grp ORDER BY seq LIMIT 1 $$;

-- The head of an ordered group may have changed: it stands if it is ready.
CREATE OR REPLACE FUNCTION windlass.head_stand(p_queue text, p_grp text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r windlass.ready;
BEGIN
  SELECT * INTO r FROM windlass.ready WHERE job = windlass.head(p_queue, p_grp);
  IF FOUND AND r.lset <> '' THEN
    PERFORM windlass.lock_limits();
    INSERT INTO windlass.lane (queue, grp, prio, lset) VALUES (p_queue, p_grp, r.prio, r.lset) ON CONFLICT DO NOTHING;
    IF EXISTS (SELECT FROM windlass.lane WHERE queue = p_queue AND grp = p_grp AND prio = r.prio AND lset = r.lset AND standing = 0) THEN
      PERFORM windlass.lane_stand(p_queue, p_grp, r.prio, r.lset, r.seq);
    END IF;
  END IF;
  PERFORM windlass.refresh(p_queue, p_grp);
  PERFORM windlass.touch(p_queue);
END $$;

-- Gives up a job's place in its ordered group and lets the next one stand.
CREATE OR REPLACE FUNCTION windlass.leave_place(p_queue text, p_grp text, p_job uuid, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_was_head boolean := windlass.head(p_queue, p_grp) = p_job;
BEGIN
  DELETE FROM windlass.place WHERE job = p_job;
  IF NOT FOUND THEN RETURN; END IF;
  UPDATE windlass.ended SET shut = false WHERE job = p_job AND shut;
  IF v_was_head THEN PERFORM windlass.head_stand(p_queue, p_grp); END IF;
END $$;

-- Settings in force for a group whose head dies.
CREATE OR REPLACE FUNCTION windlass.blocks(p_queue text, p_grp text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN g.own IS NULL THEN q.g_block ELSE g.block END FROM windlass.grp g JOIN windlass.queue q ON q.name = g.queue
  WHERE g.queue = p_queue AND g.key = p_grp $$;

-- What producers have brought is taken up: counts, lanes, places, the fair order, events.
CREATE OR REPLACE FUNCTION windlass.take_up(p_queue text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  IF EXISTS (SELECT FROM windlass.done WHERE queue = p_queue) THEN
    PERFORM windlass.take_up_jobs(p_queue, p_now);
    FOR r IN DELETE FROM windlass.done WHERE queue = p_queue RETURNING * LOOP
      PERFORM windlass.settle_one(0, r.job, r.counter, r.nonce, r.result, '{}', '{}', greatest(r.at, 0));
    END LOOP;
    RETURN;
  END IF;
  PERFORM windlass.take_up_jobs(p_queue, p_now);
END $$;

CREATE OR REPLACE FUNCTION windlass.take_up_jobs(p_queue text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r record; v_counts bigint[]; v_ordered boolean; v_judge uuid[] := '{}'; v_keys text[] := '{}'; v_prios smallint[] := '{}'; v_readies bigint[] := '{}'; v_laters bigint[] := '{}'; v_lists text[] := '{}';
  x record; v_floor bigint; v_any_ordered boolean := false;
BEGIN
  IF NOT EXISTS (SELECT FROM windlass.incoming WHERE queue = p_queue) THEN RETURN; END IF;
  IF EXISTS (SELECT FROM windlass.incoming WHERE queue = p_queue AND state = 4) THEN PERFORM windlass.need_wide(); END IF;
  PERFORM windlass.ensure_queue(p_queue);
  FOR r IN
    WITH came AS (DELETE FROM windlass.incoming WHERE queue = p_queue RETURNING *),
    told AS (INSERT INTO windlass.event (at, type, cause, queue, jobs, kinds, grps)
      SELECT at, 0, 0, p_queue, jobs, kinds, CASE WHEN grp <> '' THEN array_fill(grp, ARRAY[cardinality(jobs)]) END FROM came ORDER BY id),
    charts AS (INSERT INTO windlass.series (queue, what, width, slot, n)
      SELECT p_queue, 0, w, at / w, sum(cardinality(jobs)) FROM came, unnest(ARRAY[1000, 60000, 3600000]) w GROUP BY w, at / w ORDER BY w, at / w
      ON CONFLICT (queue, what, width, slot) DO UPDATE SET n = series.n + excluded.n)
    SELECT grp, prio, lset, min(id) AS first,
      sum(cardinality(jobs)) FILTER (WHERE state = 1) AS ready, sum(cardinality(jobs)) FILTER (WHERE state = 0) AS scheduled,
      sum(cardinality(jobs)) FILTER (WHERE state = 4) AS blocked,
      CASE WHEN bool_or(state = 4) THEN string_agg(array_to_string(jobs, ','), ',' ORDER BY id) FILTER (WHERE state = 4) END AS judged,
      CASE WHEN bool_or(state = 1) THEN string_agg(array_to_string(jobs, ','), ',' ORDER BY id) FILTER (WHERE state = 1) END AS came_ready
    FROM came GROUP BY grp, prio, lset ORDER BY min(id)
  LOOP
    IF r.lset = '' AND coalesce(r.blocked, 0) = 0 THEN
      -- Plain lanes are gathered and taken up together below.
      v_keys := v_keys || r.grp; v_prios := v_prios || CASE WHEN r.ready > 0 THEN r.prio END; v_readies := v_readies || coalesce(r.ready, 0); v_laters := v_laters || coalesce(r.scheduled, 0);
      v_lists := v_lists || coalesce(r.came_ready, '');
      CONTINUE;
    END IF;
    PERFORM windlass.ensure_grp(p_queue, r.grp);
    v_counts := ARRAY[coalesce(r.scheduled, 0), coalesce(r.ready, 0), 0, 0, coalesce(r.blocked, 0), 0, 0, 0]::bigint[];
    UPDATE windlass.grp SET counts = windlass.add(counts, v_counts) WHERE queue = p_queue AND key = r.grp RETURNING ordered INTO v_ordered;
    UPDATE windlass.qstate SET counts = windlass.add(counts, v_counts), totals[1] = totals[1] + v_counts[1] + v_counts[2] + v_counts[5]
    WHERE queue = p_queue;
    IF r.lset <> '' THEN
      PERFORM windlass.lock_limits();
      PERFORM windlass.ensure_limits(r.lset);
    END IF;
    IF r.ready > 0 THEN
      IF v_ordered THEN
        INSERT INTO windlass.place (queue, grp, seq, job)
        SELECT p_queue, r.grp, y.seq, y.job FROM windlass.ready y WHERE y.job = ANY (string_to_array(r.came_ready, ',')::uuid[]) ON CONFLICT DO NOTHING;
        PERFORM windlass.head_stand(p_queue, r.grp);
      ELSE
        IF r.lset <> '' THEN
          INSERT INTO windlass.lane (queue, grp, prio, lset) VALUES (p_queue, r.grp, r.prio, r.lset) ON CONFLICT DO NOTHING;
          UPDATE windlass.lane SET standing = 1, head = (SELECT seq FROM windlass.ready y WHERE y.queue = p_queue AND y.grp = r.grp
            AND y.lset = r.lset AND y.prio = r.prio ORDER BY seq LIMIT 1)
          WHERE queue = p_queue AND grp = r.grp AND prio = r.prio AND lset = r.lset AND standing = 0;
        END IF;
        PERFORM windlass.refresh(p_queue, r.grp);
      END IF;
      PERFORM windlass.touch(p_queue);
    END IF;
    IF r.judged IS NOT NULL THEN v_judge := v_judge || string_to_array(r.judged, ',')::uuid[]; END IF;
  END LOOP;
  IF cardinality(v_keys) > 0 THEN
    INSERT INTO windlass.grp (queue, key, vt, ordered)
    SELECT p_queue, k, s.floor, q.g_ordered FROM (SELECT DISTINCT k FROM unnest(v_keys) k) d, windlass.qstate s JOIN windlass.queue q ON q.name = s.queue
    WHERE s.queue = p_queue ON CONFLICT DO NOTHING;
    SELECT floor INTO v_floor FROM windlass.qstate WHERE queue = p_queue;
    FOR x IN SELECT k, max(p)::smallint AS prio, sum(n)::bigint AS ready, sum(l)::bigint AS later FROM unnest(v_keys, v_prios, v_readies, v_laters) u(k, p, n, l) GROUP BY k LOOP
      UPDATE windlass.grp g SET counts = windlass.add(g.counts, ARRAY[x.later, x.ready, 0, 0, 0, 0, 0, 0]),
        entry = CASE WHEN g.parked OR g.ordered THEN g.entry ELSE greatest(g.entry, x.prio) END,
        vt = CASE WHEN g.entry IS NULL AND NOT g.parked AND NOT g.ordered AND x.prio IS NOT NULL THEN greatest(g.vt, v_floor) ELSE g.vt END
      WHERE g.queue = p_queue AND g.key = x.k RETURNING ordered INTO v_ordered;
      v_any_ordered := v_any_ordered OR v_ordered;
    END LOOP;
    UPDATE windlass.qstate SET counts = windlass.add(counts, ARRAY[e.later, e.ready, 0, 0, 0, 0, 0, 0]), totals[1] = totals[1] + e.later + e.ready
    FROM (SELECT sum(n)::bigint AS ready, sum(l)::bigint AS later FROM unnest(v_readies, v_laters) u(n, l)) e WHERE queue = p_queue;
    FOR r IN SELECT u.k, u.list FROM unnest(v_keys, v_lists) u(k, list) WHERE v_any_ordered AND u.list <> '' AND windlass.is_ordered(p_queue, u.k) LOOP
      INSERT INTO windlass.place (queue, grp, seq, job)
      SELECT p_queue, r.k, y.seq, y.job FROM windlass.ready y WHERE y.job = ANY (string_to_array(r.list, ',')::uuid[]) ON CONFLICT DO NOTHING;
      PERFORM windlass.head_stand(p_queue, r.k);
    END LOOP;
    IF 0 < ANY (v_readies) THEN PERFORM windlass.touch(p_queue); END IF;
  END IF;
  IF v_judge <> '{}' THEN PERFORM windlass.judge(v_judge, p_now); END IF;
END $$;
