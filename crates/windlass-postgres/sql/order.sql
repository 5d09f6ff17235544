-- The ready order: which groups can run, at which priority, and what becomes of their place when a job comes or goes.

-- A group stands in the order there: the order is read from no later than it.
CREATE OR REPLACE FUNCTION windlass.front(p_queue text, p_entry int, p_vt bigint, p_key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE windlass.qstate SET front_entry = p_entry, front_vt = p_vt, front_key = p_key WHERE queue = p_queue
    AND v = (SELECT v FROM windlass.qstate WHERE queue = p_queue ORDER BY v DESC LIMIT 1)
    AND (p_entry > front_entry OR p_entry = front_entry AND (p_vt, p_key COLLATE "C") < (front_vt, front_key));
END $$;

-- Brings a group's entry in its queue's order up to date. One that comes back stands level with the group served last.
CREATE OR REPLACE FUNCTION windlass.refresh(p_queue text, p_grp text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE g windlass.grp; v_best int; v_head record; v_vt bigint;
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
    WHERE queue = p_queue AND key = p_grp RETURNING vt INTO v_vt;
    IF v_best IS NOT NULL THEN PERFORM windlass.front(p_queue, v_best, v_vt, p_grp); END IF;
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
CREATE OR REPLACE FUNCTION windlass.head(p_queue text, p_grp text) RETURNS uuid LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (SELECT job FROM windlass.place WHERE queue = p_queue AND grp = p_grp ORDER BY seq LIMIT 1);
END $$;

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

-- What producers have brought is taken up: counts, lanes, places, the fair order, events. `p_what` as of `brought`.
CREATE OR REPLACE FUNCTION windlass.take_up(p_queue text, p_what int, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
  IF p_what & 1 > 0 THEN PERFORM windlass.take_up_jobs(p_queue, p_now); END IF;
  IF p_what & 2 > 0 THEN
    FOR r IN DELETE FROM windlass.done WHERE queue = p_queue RETURNING * LOOP
      PERFORM windlass.settle_one(0, r.job, r.counter, r.nonce, r.result, '{}', '{}', greatest(r.at, 0));
    END LOOP;
  END IF;
END $$;

-- A row of `ready` takes up to 50 jobs: enough that a batch costs as little as a job, and few enough that the row stays in
-- its page when a small claim takes a part of it.
CREATE OR REPLACE FUNCTION windlass.take_up_jobs(p_queue text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_lot CONSTANT int := 50; v_horizon xid8 := pg_snapshot_xmin(pg_current_snapshot()); s record; v_seen xid8; r record; v_ordered boolean; v_counts bigint[];
  v_keys text[]; v_prios smallint[]; v_readies bigint[]; v_laters bigint[]; v_lists text[]; v_limited jsonb; v_entry smallint; v_vt bigint; v_key text; v_sums bigint[];
BEGIN
  LOOP
    SELECT t.v, t.seen, t.floor, t.front_entry, t.front_vt, t.front_key, c.g_ordered INTO s FROM windlass.qstate t JOIN windlass.queue c ON c.name = p_queue
    WHERE t.queue = p_queue ORDER BY t.v DESC LIMIT 1;
    EXIT WHEN FOUND;
    PERFORM windlass.ensure_queue(p_queue);
  END LOOP;
  v_seen := windlass.seen(s.seen);
  WITH came AS MATERIALIZED (DELETE FROM windlass.incoming WHERE queue = p_queue AND xid >= v_seen RETURNING *),
  told AS (INSERT INTO windlass.event (at, type, cause, queue, jobs, kinds, grps)
    SELECT at, 0, 0, p_queue, jobs, kinds, CASE WHEN grp <> '' THEN ARRAY[grp] END FROM came ORDER BY id),
  charts AS (INSERT INTO windlass.pulse (queue, at, what, n) SELECT p_queue, max(at), 0, sum(cardinality(jobs)) FROM came GROUP BY at / 1000),
  lined AS MATERIALIZED (SELECT c.*, coalesce(g.ordered, s.g_ordered) AS ordered FROM came c LEFT JOIN LATERAL
    (SELECT o.ordered FROM windlass.grp o WHERE o.queue = p_queue AND o.key = c.grp ORDER BY o.v DESC LIMIT 1) g ON true),
  stand AS (INSERT INTO windlass.ready (seq, since, attempt, prio, flags, queue, grp, lset, job, jobs, kinds)
    SELECT nextval('windlass.seq'), x.at, 0, x.prio, x.flags | CASE WHEN x.lset <> '' OR x.ordered THEN 1 ELSE 0 END, p_queue, x.grp, x.lset,
      CASE WHEN cardinality(x.part) = 1 THEN x.part[1] END, CASE WHEN cardinality(x.part) > 1 THEN x.part END, x.part_kinds
    FROM (SELECT l.*, l.jobs[f:f + l.step - 1] AS part, CASE WHEN cardinality(l.kinds) = 1 THEN l.kinds ELSE l.kinds[f:f + l.step - 1] END AS part_kinds
      FROM (SELECT *, CASE WHEN lset = '' AND NOT ordered THEN v_lot ELSE 1 END AS step FROM lined WHERE state = 1) l
      CROSS JOIN LATERAL generate_series(1, cardinality(l.jobs), l.step) f ORDER BY l.id, f) x),
  lanes AS (SELECT grp, ordered, prio, lset, min(id) AS first, coalesce(sum(cardinality(jobs)) FILTER (WHERE state = 1), 0)::bigint AS ready,
      coalesce(sum(cardinality(jobs)) FILTER (WHERE state = 0), 0)::bigint AS later,
      CASE WHEN ordered THEN coalesce(string_agg(array_to_string(jobs, ','), ',' ORDER BY id) FILTER (WHERE state = 1), '') ELSE '' END AS list
    FROM lined GROUP BY grp, ordered, prio, lset)
  SELECT array_agg(grp ORDER BY first) FILTER (WHERE lset = ''), array_agg(prio ORDER BY first) FILTER (WHERE lset = ''),
    array_agg(ready ORDER BY first) FILTER (WHERE lset = ''), array_agg(later ORDER BY first) FILTER (WHERE lset = ''),
    array_agg(list ORDER BY first) FILTER (WHERE lset = ''), jsonb_agg(to_jsonb(l) ORDER BY first) FILTER (WHERE lset <> '')
  INTO v_keys, v_prios, v_readies, v_laters, v_lists, v_limited FROM lanes l;
  IF v_limited IS NOT NULL THEN
    PERFORM windlass.lock_limits();
    FOR r IN SELECT * FROM jsonb_to_recordset(v_limited) l(grp text, ordered boolean, prio smallint, lset text, ready bigint, later bigint, list text) LOOP
      PERFORM windlass.ensure_grp(p_queue, r.grp);
      v_counts := ARRAY[r.later, r.ready, 0, 0, 0, 0, 0, 0];
      UPDATE windlass.grp SET counts = windlass.add(counts, v_counts) WHERE queue = p_queue AND key = r.grp;
      UPDATE windlass.qstate SET counts = windlass.add(counts, v_counts), totals[1] = totals[1] + r.later + r.ready WHERE queue = p_queue;
      PERFORM windlass.ensure_limits(r.lset);
      CONTINUE WHEN r.ready = 0;
      IF r.ordered THEN
        PERFORM windlass.take_places(p_queue, r.grp, r.list);
      ELSE
        INSERT INTO windlass.lane (queue, grp, prio, lset) VALUES (p_queue, r.grp, r.prio, r.lset) ON CONFLICT DO NOTHING;
        UPDATE windlass.lane SET standing = 1, head = (SELECT seq FROM windlass.ready y WHERE y.queue = p_queue AND y.grp = r.grp
          AND y.lset = r.lset AND y.prio = r.prio ORDER BY seq LIMIT 1)
        WHERE queue = p_queue AND grp = r.grp AND prio = r.prio AND lset = r.lset AND standing = 0;
        PERFORM windlass.refresh(p_queue, r.grp);
      END IF;
      PERFORM windlass.touch(p_queue);
    END LOOP;
  END IF;
  IF v_keys IS NOT NULL THEN
    IF cardinality(v_keys) = 1 THEN
      -- One lane, as most often: the same as below, said shortly.
      PERFORM windlass.ensure_grp(p_queue, v_keys[1]);
      v_sums := ARRAY[v_laters[1], v_readies[1], 0, 0, 0, 0, 0, 0];
      IF v_readies[1] = 0 THEN v_prios[1] := NULL; END IF;
      UPDATE windlass.grp g SET counts = windlass.add(g.counts, v_sums), v = g.v + CASE WHEN g.parked OR g.ordered OR g.entry >= v_prios[1] OR v_prios[1] IS NULL THEN 0 ELSE 1 END,
        entry = CASE WHEN g.parked OR g.ordered THEN g.entry ELSE greatest(g.entry, v_prios[1]) END,
        vt = CASE WHEN g.entry IS NULL AND NOT g.parked AND NOT g.ordered AND v_prios[1] IS NOT NULL THEN greatest(g.vt, s.floor) ELSE g.vt END
      WHERE queue = p_queue AND key = v_keys[1] AND v = (SELECT o.v FROM windlass.grp o WHERE o.queue = p_queue AND o.key = v_keys[1] ORDER BY o.v DESC LIMIT 1)
      RETURNING g.ordered, g.entry, g.vt, g.key INTO v_ordered, v_entry, v_vt, v_key;
    ELSE
      INSERT INTO windlass.grp (queue, key, vt, ordered) SELECT p_queue, d.k, s.floor, s.g_ordered FROM (SELECT DISTINCT k FROM unnest(v_keys) k) d
      WHERE (SELECT o.v FROM windlass.grp o WHERE o.queue = p_queue AND o.key = d.k ORDER BY o.v DESC LIMIT 1) IS NULL;
      -- By the place of each group's row: joined by its key, a plan that was made for few groups would read all of them.
      WITH x AS MATERIALIZED (SELECT y.*, (SELECT o.ctid FROM windlass.grp o WHERE o.queue = p_queue AND o.key = y.k ORDER BY o.v DESC LIMIT 1) AS at FROM
        (SELECT k, max(p) FILTER (WHERE n > 0) AS prio, sum(n)::bigint AS ready, sum(l)::bigint AS later FROM unnest(v_keys, v_prios, v_readies, v_laters) u(k, p, n, l) GROUP BY k) y),
      up AS (UPDATE windlass.grp g SET counts = windlass.add(g.counts, ARRAY[x.later, x.ready, 0, 0, 0, 0, 0, 0]),
          v = g.v + CASE WHEN g.parked OR g.ordered OR g.entry >= x.prio OR x.prio IS NULL THEN 0 ELSE 1 END,
          entry = CASE WHEN g.parked OR g.ordered THEN g.entry ELSE greatest(g.entry, x.prio) END,
          vt = CASE WHEN g.entry IS NULL AND NOT g.parked AND NOT g.ordered AND x.prio IS NOT NULL THEN greatest(g.vt, s.floor) ELSE g.vt END
        FROM x WHERE g.ctid = x.at RETURNING g.key, g.entry, g.vt, g.ordered)
      SELECT bool_or(ordered), (array_agg(entry ORDER BY entry DESC, vt, key) FILTER (WHERE entry IS NOT NULL))[1],
        (array_agg(vt ORDER BY entry DESC, vt, key) FILTER (WHERE entry IS NOT NULL))[1], (array_agg(key ORDER BY entry DESC, vt, key) FILTER (WHERE entry IS NOT NULL))[1]
      INTO v_ordered, v_entry, v_vt, v_key FROM up;
      SELECT ARRAY[sum(l)::bigint, sum(n)::bigint, 0, 0, 0, 0, 0, 0] INTO v_sums FROM unnest(v_readies, v_laters) u(n, l);
    END IF;
    IF v_entry > s.front_entry OR v_entry = s.front_entry AND (v_vt, v_key COLLATE "C") < (s.front_vt, s.front_key) THEN
      PERFORM windlass.front(p_queue, v_entry, v_vt, v_key);
    END IF;
    UPDATE windlass.qstate t SET counts = windlass.add(t.counts, v_sums), totals[1] = totals[1] + v_sums[1] + v_sums[2], seen = v_horizon WHERE t.queue = p_queue AND t.v = s.v;
    IF v_ordered THEN
      FOR r IN SELECT u.k, u.list FROM unnest(v_keys, v_lists) u(k, list) WHERE u.list <> '' LOOP
        PERFORM windlass.take_places(p_queue, r.k, r.list);
      END LOOP;
    END IF;
    IF 0 < ANY (v_readies) THEN PERFORM windlass.touch(p_queue); END IF;
  END IF;
END $$;

-- Jobs that have just come to an ordered group take their places in its line.
CREATE OR REPLACE FUNCTION windlass.take_places(p_queue text, p_grp text, p_list text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO windlass.place (queue, grp, seq, job)
  SELECT p_queue, p_grp, y.seq, y.job FROM windlass.ready y WHERE y.job = ANY (string_to_array(p_list, ',')::uuid[]) ON CONFLICT DO NOTHING;
  PERFORM windlass.head_stand(p_queue, p_grp);
END $$;
