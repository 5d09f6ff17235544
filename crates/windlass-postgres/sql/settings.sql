-- Settings changed live, presence, schedules, readers and values: everything that is about no single job.

-- Whether a group has jobs that its order or the lack of it has placed.
CREATE OR REPLACE FUNCTION windlass.has_placed(p_counts bigint[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT p_counts[1] + p_counts[2] + p_counts[3] + p_counts[4] + p_counts[5] + p_counts[7] > 0 $$;

CREATE OR REPLACE FUNCTION windlass.order_is_fixed() RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT windlass.invalid('settings', 'ordered can be changed only while the group has no live or dead jobs') $$;

-- After new settings: a dead head that shut its group until now may do so no longer, and everything may look again.
CREATE OR REPLACE FUNCTION windlass.reset_grp(p_queue text, p_grp text, p_ordered boolean, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE q windlass.queue; v_head uuid;
BEGIN
  SELECT * INTO q FROM windlass.queue WHERE name = p_queue;
  UPDATE windlass.grp g SET ordered = CASE WHEN windlass.has_placed(g.counts) THEN g.ordered ELSE p_ordered END,
    (tat_ms, tat_frac) = (SELECT r.tat_ms, r.tat_frac FROM windlass.rebased(
      CASE WHEN g.own IS NULL THEN q.g_rate_count ELSE g.rate_count END, CASE WHEN g.own IS NULL THEN q.g_rate_period ELSE g.rate_period END,
      CASE WHEN g.own IS NULL THEN q.g_rate_burst ELSE g.rate_burst END, g.tat_ms, g.tat_frac, p_now) r)
  WHERE queue = p_queue AND key = p_grp;
  IF NOT windlass.blocks(p_queue, p_grp) THEN
    LOOP
      v_head := windlass.head(p_queue, p_grp);
      EXIT WHEN v_head IS NULL OR windlass.state_of(v_head) <> 6;
      PERFORM windlass.leave_place(p_queue, p_grp, v_head, p_now);
    END LOOP;
  END IF;
  PERFORM windlass.unpark(p_queue, p_grp);
  PERFORM windlass.touch(p_queue);
END $$;

CREATE OR REPLACE FUNCTION windlass.set_queue(p_at bigint, p_queue text, p jsonb, p_wide boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_old windlass.queue; g record; v_ordered boolean := coalesce((p->'groups'->>'ordered')::boolean, false);
BEGIN
  PERFORM windlass.lock(ARRAY[p_queue], p_wide, v_now);
  PERFORM windlass.ensure_queue(p_queue);
  SELECT * INTO v_old FROM windlass.queue WHERE name = p_queue;
  IF v_old.g_ordered <> v_ordered AND EXISTS (SELECT FROM windlass.grp WHERE queue = p_queue AND own IS NULL AND windlass.has_placed(counts)) THEN
    RETURN jsonb_build_object('err', windlass.order_is_fixed());
  END IF;
  UPDATE windlass.queue SET settings = p, paused = (p->>'paused')::boolean, concurrency = (p->>'concurrency')::bigint,
    rate_count = (p->'rate'->>'count')::bigint, rate_period = (p->'rate'->>'period_ms')::bigint, rate_burst = (p->'rate'->>'burst')::bigint,
    lease_ms = (p->>'lease_ms')::bigint, max_waiting = windlass.ms(p->'max_waiting'),
    g_weight = (p->'groups'->>'weight')::bigint, g_concurrency = (p->'groups'->>'concurrency')::bigint,
    g_rate_count = (p->'groups'->'rate'->>'count')::bigint, g_rate_period = (p->'groups'->'rate'->>'period_ms')::bigint,
    g_rate_burst = (p->'groups'->'rate'->>'burst')::bigint, g_ordered = v_ordered, g_block = coalesce(p->'groups'->>'on_head_death', 'block') = 'block'
  WHERE name = p_queue;
  UPDATE windlass.qstate s SET retention_rests_until = 0, (tat_ms, tat_frac) = (SELECT r.tat_ms, r.tat_frac FROM windlass.rebased((p->'rate'->>'count')::bigint,
    (p->'rate'->>'period_ms')::bigint, (p->'rate'->>'burst')::bigint, s.tat_ms, s.tat_frac, v_now) r) WHERE queue = p_queue;
  FOR g IN SELECT key, own, ordered FROM windlass.grp WHERE queue = p_queue AND (own IS NULL OR parked) LOOP
    IF g.own IS NULL THEN PERFORM windlass.reset_grp(p_queue, g.key, v_ordered, v_now);
    ELSE PERFORM windlass.unpark(p_queue, g.key); END IF;
  END LOOP;
  PERFORM windlass.touch(p_queue);
  RETURN windlass.owed(v_now);
END $$;

CREATE OR REPLACE FUNCTION windlass.pause(p_at bigint, p_queue text, p_paused boolean, p_wide boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at);
BEGIN
  PERFORM windlass.lock(ARRAY[p_queue], p_wide, v_now);
  PERFORM windlass.ensure_queue(p_queue);
  UPDATE windlass.queue SET paused = p_paused, settings = settings || jsonb_build_object('paused', p_paused) WHERE name = p_queue;
  PERFORM windlass.touch(p_queue);
  RETURN windlass.owed(v_now);
END $$;

CREATE OR REPLACE FUNCTION windlass.set_group(p_at bigint, p_queue text, p_grp text, p jsonb, p_wide boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_ordered boolean; g windlass.grp;
BEGIN
  PERFORM windlass.lock(ARRAY[p_queue], p_wide, v_now);
  PERFORM windlass.ensure_queue(p_queue);
  v_ordered := coalesce((p->>'ordered')::boolean, (SELECT g_ordered FROM windlass.queue WHERE name = p_queue));
  SELECT * INTO g FROM windlass.grp WHERE queue = p_queue AND key = p_grp;
  IF FOUND AND g.ordered <> v_ordered AND windlass.has_placed(g.counts) THEN RETURN jsonb_build_object('err', windlass.order_is_fixed()); END IF;
  PERFORM windlass.ensure_grp(p_queue, p_grp);
  UPDATE windlass.grp SET own = p, weight = (p->>'weight')::bigint, concurrency = (p->>'concurrency')::bigint,
    rate_count = (p->'rate'->>'count')::bigint, rate_period = (p->'rate'->>'period_ms')::bigint, rate_burst = (p->'rate'->>'burst')::bigint,
    block = CASE WHEN p IS NOT NULL THEN coalesce(p->>'on_head_death', 'block') = 'block' END
  WHERE queue = p_queue AND key = p_grp;
  PERFORM windlass.reset_grp(p_queue, p_grp, v_ordered, v_now);
  RETURN windlass.owed(v_now);
END $$;

CREATE OR REPLACE FUNCTION windlass.set_limit(p_at bigint, p_name text, p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at);
BEGIN
  PERFORM windlass.lock('{}', false, v_now);
  PERFORM windlass.lock_limits();
  IF p IS NULL AND NOT EXISTS (SELECT FROM windlass.lim WHERE name = p_name) THEN
    RETURN jsonb_build_object('err', windlass.not_found('limit ' || p_name));
  END IF;
  PERFORM windlass.ensure_limits(p_name || '=1');
  UPDATE windlass.lim l SET settings = p, concurrency = (p->>'concurrency')::bigint, hold_until = 0,
    rate_count = (p->'rate'->>'count')::bigint, rate_period = (p->'rate'->>'period_ms')::bigint, rate_burst = (p->'rate'->>'burst')::bigint,
    (tat_ms, tat_frac) = (SELECT r.tat_ms, r.tat_frac FROM windlass.rebased((p->'rate'->>'count')::bigint, (p->'rate'->>'period_ms')::bigint,
      (p->'rate'->>'burst')::bigint, l.tat_ms, l.tat_frac, v_now) r) WHERE name = p_name;
  PERFORM windlass.wake_limit(p_name);
  IF p IS NULL THEN
    -- A limit that nobody names, has set, or that owes nothing is forgotten.
    DELETE FROM windlass.lim WHERE name = p_name AND in_use = 0 AND NOT EXISTS (SELECT FROM windlass.lane WHERE at_limit = p_name);
  END IF;
  RETURN windlass.owed(v_now);
END $$;

CREATE OR REPLACE FUNCTION windlass.hello(p_at bigint, p_worker bigint, p_hello jsonb) RETURNS void LANGUAGE sql AS $$
  INSERT INTO windlass.worker (id, hello, seen_at) VALUES (p_worker, p_hello, windlass.now_ms(p_at))
  ON CONFLICT (id) DO UPDATE SET hello = excluded.hello, seen_at = excluded.seen_at $$;

-- The workers that are there: heard of within a minute, or holding leases.
CREATE OR REPLACE FUNCTION windlass.workers_there(p_at bigint) RETURNS TABLE (id bigint, hello jsonb, seen_at bigint, running bigint) LANGUAGE sql STABLE AS $$
  WITH held AS MATERIALIZED (SELECT t.worker, sum(t.held)::bigint AS n FROM windlass.term t GROUP BY t.worker)
  SELECT w.id, w.hello, w.seen_at, coalesce(h.n, 0) FROM windlass.worker w LEFT JOIN held h ON h.worker = w.id
  WHERE w.seen_at >= windlass.now_ms(p_at) - 60000 OR h.n > 0 $$;

-- A schedule's next tick lies after the answer; what it has done stays counted.
CREATE OR REPLACE FUNCTION windlass.set_schedule(p_name text, p_spec jsonb, p_through bigint, p_next bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  PERFORM windlass.lock(ARRAY[p_spec->>'queue'], false, p_through);
  IF (SELECT count(*) FROM windlass.schedule) >= 10000 AND NOT EXISTS (SELECT FROM windlass.schedule WHERE name = p_name) THEN
    RETURN jsonb_build_object('err', windlass.invalid('schedule', 'this store has 10,000 schedules'));
  END IF;
  PERFORM windlass.ensure_queue(p_spec->>'queue');
  INSERT INTO windlass.schedule (name, spec, through, next) VALUES (p_name, p_spec, p_through, p_next)
  ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, through = excluded.through, next = excluded.next;
  RETURN '{}';
END $$;

-- One tick, or what was skipped before it, if nobody has dealt with it: a compare-and-set on (schedule, last tick).
CREATE OR REPLACE FUNCTION windlass.tick(p_at bigint, p_name text, p_was bigint, p_through bigint, p_next bigint, p_job jsonb, p_payload bytea, p_skip_if_busy boolean,
  p_skipped bigint, p_wide boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); c windlass.schedule; v jsonb; v_made uuid; v_skipped bigint := p_skipped;
BEGIN
  PERFORM windlass.lock(CASE WHEN p_job IS NULL THEN '{}' ELSE ARRAY[p_job->>'queue'] END, p_wide, v_now);
  SELECT * INTO c FROM windlass.schedule WHERE name = p_name FOR UPDATE;
  IF NOT FOUND OR c.through <> p_was THEN RETURN '{"lost":true}'; END IF;
  IF p_job IS NOT NULL THEN
    IF p_skip_if_busy AND c.last_job IS NOT NULL AND coalesce(windlass.state_of(c.last_job) < 5, false) THEN
      v_skipped := v_skipped + 1;
    ELSE
      v := windlass.take_in(p_job, p_payload, false, v_now);
      IF v ? 'ok' THEN v_made := p_job->>'id'; END IF;
    END IF;
  END IF;
  UPDATE windlass.schedule SET through = p_through, last_tick = p_through, next = p_next, skipped = skipped + v_skipped,
    last_job = coalesce(v_made, last_job), ticks = ticks + CASE WHEN v_made IS NULL THEN 0 ELSE 1 END WHERE name = p_name;
  PERFORM windlass.run_errands(1000, v_now);
  RETURN windlass.owed(v_now);
END $$;

CREATE OR REPLACE FUNCTION windlass.set_meta(p_key text, p_value bytea, p_version bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_current bigint;
BEGIN
  IF p_version = 0 THEN
    INSERT INTO windlass.meta (key, version, value) VALUES (p_key, 1, p_value) ON CONFLICT DO NOTHING;
  ELSE
    UPDATE windlass.meta SET value = p_value, version = version + 1 WHERE key = p_key AND version = p_version;
  END IF;
  IF FOUND THEN RETURN jsonb_build_object('ok', p_version + 1); END IF;
  SELECT version INTO v_current FROM windlass.meta WHERE key = p_key;
  RETURN jsonb_build_object('err', jsonb_build_object('code', 'version_conflict', 'given', p_version, 'current', coalesce(v_current, 0)));
END $$;
