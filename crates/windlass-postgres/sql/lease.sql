-- Leases: held in batches, one row of `term` for those of one claim; renewed one by one; lost when they run out.

-- A batch of leases that upkeep looks at from that time on.
CREATE OR REPLACE FUNCTION windlass.hold(p_term bigint, p_queue text, p_check bigint, p_worker bigint, p_jobs uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO windlass.term (id, queue, check_at, worker, held, jobs) VALUES (p_term, p_queue, p_check, p_worker, cardinality(p_jobs), p_jobs);
  UPDATE windlass.qstate SET term_floor = p_check WHERE queue = p_queue AND term_floor > p_check;
END $$;

-- One lease of a batch is over.
CREATE OR REPLACE FUNCTION windlass.let_go(p_term bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE windlass.term SET held = held - 1 WHERE id = p_term AND held > 1;
  IF NOT FOUND THEN DELETE FROM windlass.term WHERE id = p_term; END IF;
END $$;

-- T7: the attempt is lost. No failure is spent; too many losses are a dead letter.
CREATE OR REPLACE FUNCTION windlass.lose(l windlass.lease, p_cause int, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE s windlass.spot := windlass.spot_of(l.job); v_losses int; v_dead boolean; v_print bigint := 1082381773564825922;
BEGIN
  IF l.grace_until > 0 THEN
    PERFORM windlass.end_cancelled(s, p_cause, p_now);
    RETURN;
  END IF;
  INSERT INTO windlass.extra AS x (job, losses, fingerprint, last_error) VALUES (l.job, 1, v_print, 'lease ran out')
  ON CONFLICT (job) DO UPDATE SET losses = x.losses + 1, fingerprint = excluded.fingerprint, last_error = excluded.last_error,
    ack_counter = NULL, ack_nonce = NULL, ack_outcome = NULL RETURNING losses INTO v_losses;
  v_dead := v_losses >= 3;
  UPDATE windlass.extra SET cause = CASE WHEN v_dead THEN 3 ELSE p_cause END WHERE job = l.job;
  PERFORM windlass.failed_so(s.queue, v_print, 'lease ran out', s.kind, s.id, p_now);
  PERFORM windlass.keep_attempt(l.job, l.attempt, l.worker, l.started_at, p_now, 'lost', NULL);
  PERFORM windlass.measured(s.queue, 1, ARRAY[p_now - l.started_at]);
  PERFORM windlass.total(s.queue, 6, 1);
  PERFORM windlass.leave(s, CASE WHEN v_dead THEN 6 ELSE 3 END, p_now);
  PERFORM windlass.tell(p_now, CASE WHEN v_dead THEN 5 ELSE 6 END, CASE WHEN v_dead THEN 3 ELSE p_cause END,
    s.queue, s.id, s.kind, s.grp, s.attempt, l.worker);
  IF v_dead THEN
    PERFORM windlass.total(s.queue, 5, 1);
    PERFORM windlass.enter_ended(s, 6, p_now, 3);
    PERFORM windlass.parent_ended(s.id);
  ELSE
    PERFORM windlass.enter_deferred(s, 3, p_now, 0);
  END IF;
END $$;

-- The leases of one claim are looked at together, when the first of them may have run out.
CREATE OR REPLACE FUNCTION windlass.expire_leases(p_queue text, p_budget int, p_now bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE t windlass.term; l windlass.lease; v_done int := 0; v_ends bigint; v_next bigint; v_stay int;
BEGIN
  FOR t IN SELECT * FROM windlass.term WHERE queue = p_queue AND check_at <= p_now AND check_at >= (SELECT s.term_floor FROM windlass.qstate s WHERE s.queue = p_queue ORDER BY s.v DESC LIMIT 1) ORDER BY check_at LIMIT p_budget LOOP
    EXIT WHEN v_done >= p_budget;
    v_next := NULL; v_stay := 0;
    FOR l IN SELECT r.* FROM unnest(t.jobs) WITH ORDINALITY u(id, n) JOIN windlass.lease r ON r.job = u.id AND r.term = t.id ORDER BY u.n FOR UPDATE OF r SKIP LOCKED LOOP
      v_done := v_done + 1;
      v_ends := CASE WHEN l.grace_until > 0 THEN least(l.deadline, l.grace_until) ELSE l.deadline END;
      IF v_ends > p_now THEN
        v_next := least(v_next, v_ends); v_stay := v_stay + 1;
        CONTINUE;
      END IF;
      PERFORM windlass.notice(l.worker, l.job, l.attempt, l.counter, l.nonce, l.deadline);
      IF l.grace_until > 0 AND l.grace_until <= p_now THEN
        PERFORM windlass.end_cancelled(windlass.spot_of(l.job), 7, p_now);
      ELSE
        PERFORM windlass.lose(l, 3, p_now);
      END IF;
    END LOOP;
    -- One that somebody's open transaction holds is looked at again the next time.
    SELECT count(*) INTO v_ends FROM unnest(t.jobs) u(id) JOIN windlass.lease r ON r.job = u.id AND r.term = t.id;
    IF v_ends = 0 THEN
      DELETE FROM windlass.term WHERE id = t.id;
    ELSIF v_ends = v_stay THEN
      UPDATE windlass.term SET check_at = v_next WHERE id = t.id;
    END IF;
  END LOOP;
  RETURN v_done;
END $$;

-- T4: the deadline of every lease that is still current moves. A lease whose row somebody else's open transaction holds
-- (it completes there) is left as it is.
CREATE OR REPLACE FUNCTION windlass.heartbeat(p_at bigint, p_jobs uuid[], p_counters bigint[], p_nonces bigint[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_answers jsonb;
BEGIN
  WITH item AS MATERIALIZED (SELECT u.* FROM unnest(p_jobs, p_counters, p_nonces) WITH ORDINALITY u(job, counter, nonce, n)),
  held AS MATERIALIZED (SELECT l.job FROM windlass.lease l JOIN item i ON i.job = l.job AND i.counter = l.counter AND i.nonce = l.nonce ORDER BY l.job FOR UPDATE OF l SKIP LOCKED),
  moved AS (UPDATE windlass.lease l SET deadline = v_now + l.lease_ms FROM held h WHERE l.job = h.job RETURNING l.job, l.deadline, l.grace_until),
  heard AS (UPDATE windlass.worker w SET seen_at = v_now WHERE w.seen_at < v_now - 1000
    AND w.id IN (SELECT l.worker FROM windlass.lease l JOIN item i ON i.job = l.job AND i.counter = l.counter AND i.nonce = l.nonce))
  SELECT jsonb_agg(CASE WHEN m.job IS NOT NULL THEN jsonb_build_array(m.deadline, m.grace_until > 0)
                        WHEN l.job IS NOT NULL THEN jsonb_build_array(l.deadline, l.grace_until > 0) END ORDER BY i.n) INTO v_answers
  FROM item i LEFT JOIN moved m ON m.job = i.job LEFT JOIN windlass.lease l ON l.job = i.job AND l.counter = i.counter AND l.nonce = i.nonce;
  RETURN coalesce(v_answers, '[]');
END $$;
