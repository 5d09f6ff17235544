-- What time brings to a queue: jobs that become due, starts that come too late, lost leases, opened groups.

-- T14: what had to start by now and has not is cancelled.
CREATE OR REPLACE FUNCTION windlass.expire_unstarted(p_queue text, p_budget int, p_now bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE r record; s windlass.spot; v_done int := 0;
BEGIN
  FOR r IN SELECT at, job FROM windlass.expiry WHERE queue = p_queue AND at <= p_now ORDER BY at, job LIMIT p_budget LOOP
    v_done := v_done + 1;
    DELETE FROM windlass.expiry WHERE queue = p_queue AND at = r.at AND job = r.job;
    s := windlass.spot_of(r.job);
    IF s.state IN (0, 1, 4) AND s.attempt = 0 AND NOT EXISTS (SELECT FROM windlass.extra WHERE job = r.job AND generation > 0) THEN
      PERFORM windlass.end_cancelled(s, 4, p_now);
    END IF;
  END LOOP;
  RETURN v_done;
END $$;

-- T2, for all of a queue that is due.
CREATE OR REPLACE FUNCTION windlass.promote_due(p_queue text, p_budget int, p_now bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE v_ids uuid[]; v_id uuid; r record;
BEGIN
  SELECT array_agg(job) INTO v_ids FROM
    (SELECT job FROM windlass.deferred WHERE queue = p_queue AND due <= p_now ORDER BY due, seq LIMIT p_budget) d;
  IF v_ids IS NULL THEN RETURN 0; END IF;
  IF EXISTS (SELECT FROM windlass.job j WHERE j.id = ANY (v_ids) AND (j.lset <> '' OR windlass.is_ordered(j.queue, j.grp))) THEN
    FOREACH v_id IN ARRAY v_ids LOOP PERFORM windlass.promote(windlass.spot_of(v_id), 0, p_now); END LOOP;
    RETURN cardinality(v_ids);
  END IF;
  FOR r IN
    WITH left_ AS (DELETE FROM windlass.deferred WHERE job = ANY (v_ids) RETURNING job, attempt, state, due, seq),
    come AS MATERIALIZED (SELECT c.*, nextval('windlass.seq') AS place FROM
      (SELECT row_number() OVER (ORDER BY l.due, l.seq) AS n, j.id, j.kind, j.grp, j.prio, l.attempt, l.state FROM left_ l
       JOIN windlass.job j ON j.id = l.job ORDER BY n) c),
    stand AS (INSERT INTO windlass.ready (job, seq, since, attempt, prio, flags, queue, grp, lset, kinds)
      SELECT id, place, p_now, attempt, prio, 2, p_queue, grp, '', ARRAY[kind] FROM come),
    told AS (INSERT INTO windlass.event (at, type, cause, queue, jobs, kinds, grps, attempts)
      SELECT p_now, 1, 0, p_queue, array_agg(id ORDER BY n), windlass.same(array_agg(kind ORDER BY n)),
        CASE WHEN bool_or(grp <> '') THEN windlass.same(array_agg(grp ORDER BY n)) END, array_agg(attempt ORDER BY n) FROM come)
    SELECT grp, count(*) FILTER (WHERE state = 0) AS scheduled, count(*) FILTER (WHERE state = 3) AS retrying FROM come GROUP BY grp
  LOOP
    PERFORM windlass.ensure_grp(p_queue, r.grp);
    PERFORM windlass.count(p_queue, r.grp, ARRAY[-r.scheduled, r.scheduled + r.retrying, 0, -r.retrying, 0, 0, 0, 0]);
    PERFORM windlass.refresh(p_queue, r.grp);
  END LOOP;
  PERFORM windlass.touch(p_queue);
  RETURN cardinality(v_ids);
END $$;

-- Whether time has brought anything to a queue: the quick question in front of `catch_up`.
CREATE OR REPLACE FUNCTION windlass.is_due(p_queue text, p_timer_at bigint, p_term_floor bigint, p_now bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN coalesce(p_timer_at <= p_now, false) OR EXISTS (SELECT FROM windlass.term WHERE queue = p_queue AND check_at <= p_now AND check_at >= p_term_floor)
    OR EXISTS (SELECT FROM windlass.deferred WHERE queue = p_queue AND due <= p_now) OR EXISTS (SELECT FROM windlass.expiry WHERE queue = p_queue AND at <= p_now)
    OR EXISTS (SELECT FROM windlass.grp WHERE queue = p_queue AND timer_at <= p_now);
END $$;

-- What others have freed for a queue.
CREATE OR REPLACE FUNCTION windlass.catch_up_limits(p_queue text, p_now bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM windlass.wake WHERE queue = p_queue) AND NOT EXISTS (SELECT FROM windlass.lane WHERE queue = p_queue) THEN RETURN false; END IF;
  PERFORM windlass.lock_limits();
  PERFORM windlass.wakes(p_queue, p_now);
  RETURN true;
END $$;

-- What time has brought to a queue, and what others have freed for it.
CREATE OR REPLACE FUNCTION windlass.catch_up(p_queue text, p_budget int, p_now bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE v_done int; v_key text;
BEGIN
  PERFORM windlass.fold(p_queue, p_now);
  -- What was lost just now is due too.
  v_done := windlass.expire_leases(p_queue, p_budget, p_now) + windlass.expire_unstarted(p_queue, p_budget, p_now);
  v_done := v_done + windlass.promote_due(p_queue, p_budget, p_now);
  FOR v_key IN SELECT key FROM windlass.grp WHERE queue = p_queue AND timer_at <= p_now ORDER BY timer_at, key LIMIT p_budget LOOP
    UPDATE windlass.grp SET timer_at = NULL WHERE queue = p_queue AND key = v_key;
    PERFORM windlass.unpark(p_queue, v_key);
    v_done := v_done + 1;
  END LOOP;
  IF (SELECT timer_at FROM windlass.qstate WHERE queue = p_queue ORDER BY v DESC LIMIT 1) <= p_now THEN
    UPDATE windlass.qstate SET timer_at = NULL WHERE queue = p_queue;
    PERFORM windlass.touch(p_queue);
    v_done := v_done + 1;
  END IF;
  PERFORM windlass.catch_up_limits(p_queue, p_now);
  RETURN v_done;
END $$;

-- When time may bring something into a queue that has nothing now.
CREATE OR REPLACE FUNCTION windlass.later(p_queue text, p_now bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT greatest(least(
    (SELECT due FROM windlass.deferred WHERE queue = p_queue ORDER BY due, seq LIMIT 1),
    (SELECT min(timer_at) FROM windlass.grp WHERE queue = p_queue AND timer_at IS NOT NULL),
    (SELECT min(l.timer_at) FROM windlass.lim l WHERE l.timer_at IS NOT NULL
       AND EXISTS (SELECT FROM windlass.lane a WHERE a.standing = 2 AND a.at_limit = l.name AND a.queue = p_queue))), 
    CASE WHEN EXISTS (SELECT FROM windlass.deferred WHERE queue = p_queue) OR EXISTS (SELECT FROM windlass.grp WHERE queue = p_queue AND timer_at IS NOT NULL)
      OR EXISTS (SELECT FROM windlass.lane WHERE queue = p_queue AND standing = 2
        AND EXISTS (SELECT FROM windlass.lim l WHERE l.name = at_limit AND l.timer_at IS NOT NULL)) THEN p_now + 50 END) $$;
