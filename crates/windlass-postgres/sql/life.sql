-- The life of one job: out of the place of its old state, into that of the new one. Every verb that is about single jobs
-- goes through here; claims, completions and promotions of whole batches have their own, for the same effect.

DROP TYPE IF EXISTS windlass.spot CASCADE;
CREATE TYPE windlass.spot AS (id uuid, queue text, grp text, kind text, prio int, lset text, state int, since bigint, seq bigint, attempt int, why int);

-- Where a job stands.
CREATE OR REPLACE FUNCTION windlass.spot_of(p_id uuid) RETURNS windlass.spot LANGUAGE plpgsql STABLE AS $$
DECLARE v windlass.spot;
BEGIN
  SELECT j.id, j.queue, j.grp, j.kind, j.prio::int, j.lset, s.state::int, s.since, s.seq, s.attempt, s.why::int INTO v
  FROM windlass.job j CROSS JOIN LATERAL (
    SELECT CASE WHEN done_at = 0 THEN 2 ELSE 5 END AS state, CASE WHEN done_at = 0 THEN started_at ELSE done_at END AS since, seq, attempt, 0 AS why FROM windlass.run WHERE job = j.id
    UNION ALL SELECT 1, since, seq, attempt, 0 FROM windlass.ready WHERE job = j.id
    UNION ALL SELECT state, due, seq, attempt, why FROM windlass.deferred WHERE job = j.id
    UNION ALL SELECT 4, since, 0, attempt, 0 FROM windlass.blocked WHERE job = j.id
    UNION ALL SELECT state, at, seq, attempt, 0 FROM windlass.ended WHERE job = j.id
    UNION ALL SELECT 1, since, seq, attempt, 0 FROM windlass.ready WHERE jobs IS NOT NULL AND queue = j.queue AND grp = j.grp AND prio = j.prio AND since = j.at AND j.id = ANY (jobs)
    UNION ALL SELECT 1, at, 0, 0, 0 FROM windlass.incoming WHERE state = 1 AND queue = j.queue AND j.id = ANY (jobs)
    LIMIT 1) s WHERE j.id = p_id;
  RETURN v;
END $$;

CREATE OR REPLACE FUNCTION windlass.is_ordered(p_queue text, p_grp text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN coalesce((SELECT ordered FROM windlass.grp WHERE queue = p_queue AND key = p_grp), false);
END $$;

-- Whether a job of an ordered group stays in line when it goes to that state.
CREATE OR REPLACE FUNCTION windlass.keeps_place(s windlass.spot, p_to int) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN p_to = 6 THEN windlass.blocks(s.queue, s.grp) AND windlass.head(s.queue, s.grp) = s.id
    ELSE p_to IN (0, 1, 2, 3) END $$;

-- The unique key of a job that has ended or starts is free, unless it has a time to live.
CREATE OR REPLACE FUNCTION windlass.free_key(p_job uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM windlass.unique_key WHERE job = p_job AND until = 0;
END $$;

-- Dead jobs of a failure mode.
CREATE OR REPLACE FUNCTION windlass.count_dead(s windlass.spot, p_by int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_print bigint;
BEGIN
  SELECT fingerprint INTO v_print FROM windlass.extra WHERE job = s.id;
  IF v_print IS NULL THEN RETURN; END IF;
  UPDATE windlass.mode SET dead = greatest(dead + p_by, 0) WHERE queue = s.queue AND fingerprint = v_print;
  IF NOT FOUND THEN UPDATE windlass.mode SET dead = greatest(dead + p_by, 0) WHERE queue = s.queue AND fingerprint = 0; END IF;
END $$;

-- Takes jobs out of the row of completions that they stand in.
CREATE OR REPLACE FUNCTION windlass.strike(p_queue text, p_seq bigint, p_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_left uuid[];
BEGIN
  SELECT array_agg(u.id ORDER BY u.n) INTO v_left FROM windlass.finished f CROSS JOIN LATERAL unnest(f.jobs) WITH ORDINALITY u(id, n)
  WHERE f.queue = p_queue AND f.seq = p_seq AND NOT u.id = ANY (p_ids);
  IF v_left IS NULL THEN DELETE FROM windlass.finished WHERE queue = p_queue AND seq = p_seq;
  ELSE UPDATE windlass.finished SET jobs = v_left WHERE queue = p_queue AND seq = p_seq; END IF;
END $$;

-- Takes a job out of the ready order, where it stands alone or among those that came with it.
CREATE OR REPLACE FUNCTION windlass.take_out(s windlass.spot) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r windlass.ready; v_at int;
BEGIN
  DELETE FROM windlass.ready WHERE job = s.id;
  IF FOUND THEN RETURN; END IF;
  SELECT y.* INTO r FROM windlass.job j JOIN windlass.ready y ON y.jobs IS NOT NULL AND y.queue = j.queue AND y.grp = j.grp AND y.prio = j.prio AND y.since = j.at
    AND j.id = ANY (y.jobs) WHERE j.id = s.id;
  v_at := array_position(r.jobs, s.id);
  IF cardinality(r.jobs) = 1 THEN
    DELETE FROM windlass.ready WHERE queue = r.queue AND grp = r.grp AND lset = r.lset AND prio = r.prio AND seq = r.seq;
  ELSE
    UPDATE windlass.ready SET jobs = r.jobs[:v_at - 1] || r.jobs[v_at + 1:],
      kinds = CASE WHEN cardinality(r.kinds) = 1 THEN r.kinds ELSE r.kinds[:v_at - 1] || r.kinds[v_at + 1:] END
    WHERE queue = r.queue AND grp = r.grp AND lset = r.lset AND prio = r.prio AND seq = r.seq;
  END IF;
END $$;

-- Takes a job out of the place of its state, on the way to another; none when it is removed.
CREATE OR REPLACE FUNCTION windlass.leave(s windlass.spot, p_to int, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_ordered boolean := windlass.is_ordered(s.queue, s.grp); v_term bigint;
BEGIN
  -- A job that has committed since the lock was taken: its enqueue is counted and told before what becomes of it.
  PERFORM windlass.take_up_jobs(s.queue, p_now);
  PERFORM windlass.count(s.queue, s.grp, windlass.moved(s.state, p_to, 1));
  IF s.state = 6 AND p_to IS DISTINCT FROM 6 THEN PERFORM windlass.count_dead(s, -1); END IF;
  IF s.state = 1 THEN
    PERFORM windlass.take_out(s);
    IF s.lset <> '' THEN PERFORM windlass.lock_limits(); END IF;
    IF v_ordered THEN
      IF windlass.head(s.queue, s.grp) = s.id THEN
        IF s.lset <> '' THEN
          PERFORM windlass.lane_clear(s.queue, s.grp, s.prio, s.lset, p_now);
          DELETE FROM windlass.lane WHERE queue = s.queue AND grp = s.grp AND prio = s.prio AND lset = s.lset;
        END IF;
        PERFORM windlass.refresh(s.queue, s.grp);
      END IF;
    ELSE
      IF s.lset <> '' THEN PERFORM windlass.lane_left(s.queue, s.grp, s.prio, s.lset, p_now); END IF;
      PERFORM windlass.refresh(s.queue, s.grp);
    END IF;
  ELSIF s.state IN (0, 3) THEN
    DELETE FROM windlass.deferred WHERE job = s.id;
    IF p_to = 7 AND EXISTS (SELECT FROM windlass.edge WHERE child = s.id) THEN
      UPDATE windlass.job SET options = options || jsonb_build_object('due', s.since) WHERE id = s.id;
    END IF;
  ELSIF s.state = 2 THEN
    DELETE FROM windlass.run WHERE job = s.id RETURNING term INTO v_term;
    PERFORM windlass.let_go(v_term);
    IF EXISTS (SELECT FROM windlass.queue WHERE name = s.queue AND concurrency IS NOT NULL) THEN PERFORM windlass.touch(s.queue); END IF;
    PERFORM windlass.unpark(s.queue, s.grp);
    IF s.lset <> '' THEN PERFORM windlass.free_limits(s.lset); END IF;
  ELSIF s.state = 4 THEN
    DELETE FROM windlass.blocked WHERE job = s.id;
  ELSIF s.state = 5 THEN
    DELETE FROM windlass.run WHERE job = s.id RETURNING seq INTO v_term;
    PERFORM windlass.strike(s.queue, v_term, ARRAY[s.id]);
  ELSE
    DELETE FROM windlass.ended WHERE job = s.id;
  END IF;
  IF v_ordered AND (p_to IS NULL OR NOT windlass.keeps_place(s, p_to)) THEN
    PERFORM windlass.leave_place(s.queue, s.grp, s.id, p_now);
  END IF;
END $$;

-- Ready from now on, behind all that are; in an ordered group at its old place, if it has one.
CREATE OR REPLACE FUNCTION windlass.enter_ready(s windlass.spot, p_now bigint, p_seq bigint DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_ordered boolean := windlass.is_ordered(s.queue, s.grp); v_seq bigint := p_seq;
BEGIN
  IF v_ordered THEN
    SELECT seq INTO v_seq FROM windlass.place WHERE job = s.id;
    v_seq := coalesce(v_seq, p_seq);
  END IF;
  v_seq := coalesce(v_seq, nextval('windlass.seq'));
  INSERT INTO windlass.ready (job, seq, since, attempt, prio, flags, queue, grp, lset, kinds)
  VALUES (s.id, v_seq, p_now, s.attempt, s.prio, CASE WHEN s.lset <> '' OR v_ordered THEN 3 ELSE 2 END, s.queue, s.grp, s.lset, ARRAY[s.kind]);
  IF s.lset <> '' THEN
    PERFORM windlass.lock_limits();
    PERFORM windlass.ensure_limits(s.lset);
  END IF;
  IF v_ordered THEN
    INSERT INTO windlass.place (queue, grp, seq, job) VALUES (s.queue, s.grp, v_seq, s.id) ON CONFLICT DO NOTHING;
    IF windlass.head(s.queue, s.grp) = s.id THEN PERFORM windlass.head_stand(s.queue, s.grp); END IF;
  ELSE
    IF s.lset <> '' THEN
      INSERT INTO windlass.lane (queue, grp, prio, lset) VALUES (s.queue, s.grp, s.prio, s.lset) ON CONFLICT DO NOTHING;
      UPDATE windlass.lane SET standing = 1, head = v_seq
      WHERE queue = s.queue AND grp = s.grp AND prio = s.prio AND lset = s.lset AND standing = 0;
    END IF;
    IF p_seq IS NOT NULL THEN UPDATE windlass.grp SET floor_seq = least(floor_seq, v_seq) WHERE queue = s.queue AND key = s.grp; END IF;
    PERFORM windlass.refresh(s.queue, s.grp);
  END IF;
  PERFORM windlass.touch(s.queue);
END $$;

CREATE OR REPLACE FUNCTION windlass.enter_deferred(s windlass.spot, p_state int, p_due bigint, p_why int) RETURNS void LANGUAGE sql AS $$
  INSERT INTO windlass.deferred (job, due, seq, attempt, state, why, queue)
  VALUES (s.id, p_due, nextval('windlass.seq'), s.attempt, p_state, p_why, s.queue) $$;

CREATE OR REPLACE FUNCTION windlass.enter_ended(s windlass.spot, p_state int, p_now bigint, p_cause int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO windlass.ended (job, seq, at, attempt, state, cause, queue, shut)
  VALUES (s.id, nextval('windlass.seq'), p_now, s.attempt, p_state, p_cause, s.queue,
    p_state = 6 AND EXISTS (SELECT FROM windlass.place WHERE job = s.id));
  PERFORM windlass.free_key(s.id);
  PERFORM windlass.rested(s.id);
  IF p_state = 6 THEN PERFORM windlass.count_dead(s, 1); END IF;
END $$;

-- A job has ended: parents that retention kept for its sake may go.
CREATE OR REPLACE FUNCTION windlass.rested(p_child uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM windlass.edge WHERE child = p_child) THEN
    UPDATE windlass.qstate SET retention_rests_until = 0 WHERE retention_rests_until > 0 AND queue IN
      (SELECT j.queue FROM windlass.edge e JOIN windlass.job j ON j.id = e.parent WHERE e.child = p_child);
  END IF;
END $$;

-- Cancelled: T9, T10, T11 and what expires. The holder that settled it so may say it again; one that did not is stale.
CREATE OR REPLACE FUNCTION windlass.end_cancelled(s windlass.spot, p_cause int, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE l windlass.lease;
BEGIN
  IF s.state = 2 THEN
    SELECT * INTO l FROM windlass.lease WHERE job = s.id;
    INSERT INTO windlass.extra (job, ack_counter, ack_nonce, ack_outcome)
    VALUES (s.id, l.counter, l.nonce, CASE WHEN p_cause = 6 THEN 4 END)
    ON CONFLICT (job) DO UPDATE SET ack_counter = excluded.ack_counter, ack_nonce = excluded.ack_nonce, ack_outcome = excluded.ack_outcome;
  END IF;
  PERFORM windlass.leave(s, 7, p_now);
  PERFORM windlass.enter_ended(s, 7, p_now, p_cause);
  INSERT INTO windlass.extra (job, cause) VALUES (s.id, p_cause) ON CONFLICT (job) DO UPDATE SET cause = excluded.cause;
  PERFORM windlass.total(s.queue, 10, 1);
  PERFORM windlass.tell(p_now, 9, p_cause, s.queue, s.id, s.kind, s.grp, s.attempt);
  PERFORM windlass.parent_ended(s.id);
END $$;

-- T2, T14: due from now on.
CREATE OR REPLACE FUNCTION windlass.promote(s windlass.spot, p_cause int, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM windlass.leave(s, 1, p_now);
  PERFORM windlass.tell(p_now, 1, p_cause, s.queue, s.id, s.kind, s.grp, s.attempt);
  PERFORM windlass.enter_ready(s, p_now);
END $$;

-- A group that has no job, no settings of its own, owes nothing and stands level is as if it had never been.
CREATE OR REPLACE FUNCTION windlass.forget_grp(p_queue text, p_grp text, p_now bigint) RETURNS void LANGUAGE sql AS $$
  DELETE FROM windlass.grp g WHERE g.queue = p_queue AND g.key = p_grp AND g.own IS NULL AND g.counts = '{0,0,0,0,0,0,0,0}' AND g.hold_until <= p_now
    AND g.tat_ms <= p_now AND g.vt <= (SELECT floor FROM windlass.qstate WHERE queue = p_queue) $$;

-- T13: gone, and remembered by its id.
CREATE OR REPLACE FUNCTION windlass.remove(s windlass.spot, p_cause int, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM windlass.leave(s, NULL, p_now);
  PERFORM windlass.free_key(s.id);
  PERFORM windlass.rested(s.id);
  PERFORM windlass.tell(p_now, 14, p_cause, s.queue, s.id, s.kind, s.grp, s.attempt);
  DELETE FROM windlass.expiry e USING windlass.job j WHERE j.id = s.id AND j.options ? 'expires_at' AND e.queue = j.queue
    AND e.at = windlass.ms(j.options->'expires_at') AND e.job = s.id;
  DELETE FROM windlass.job WHERE id = s.id;
  DELETE FROM windlass.extra WHERE job = s.id;
  DELETE FROM windlass.attempt WHERE job = s.id;
  DELETE FROM windlass.log WHERE job = s.id;
  DELETE FROM windlass.edge WHERE child = s.id;
  INSERT INTO windlass.gone (id, at, state) VALUES (s.id, p_now, s.state)
  ON CONFLICT (id) DO UPDATE SET at = excluded.at, state = excluded.state, n = nextval('windlass.gone_n_seq');
  PERFORM windlass.forget_grp(s.queue, s.grp, p_now);
END $$;
