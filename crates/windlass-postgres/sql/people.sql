-- T9 to T14: what people do to jobs that no settlement is about.

-- Locks the queues of these jobs, and those of the holders of their keys' siblings: whatever a verb about jobs may touch.
CREATE OR REPLACE FUNCTION windlass.lock_jobs(p_ids uuid[], p_wide boolean, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM windlass.lock(ARRAY(SELECT DISTINCT queue FROM windlass.job WHERE id = ANY (p_ids)), p_wide, p_now);
END $$;

-- Keeps retention from the queues of these jobs, as whoever changes a job that has ended does before it takes their locks: it
-- works on such jobs without them. Under the namespace's lock there is no retention.
CREATE OR REPLACE FUNCTION windlass.hold_retention(p_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(hashtextextended('windlass.all', 1));
  PERFORM pg_advisory_xact_lock(k) FROM
    (SELECT DISTINCT hashtextextended('windlass.retention ' || queue, 4) AS k FROM windlass.job WHERE id = ANY (p_ids) ORDER BY 1) keys;
END $$;

-- T12. The unique key is checked again; parents that have not ended are waited for again.
CREATE OR REPLACE FUNCTION windlass.retry_one(p_id uuid, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE s windlass.spot := windlass.spot_of(p_id); v_unique jsonb; v_holder uuid; v_blocked boolean; d windlass.run; v_kids boolean;
BEGIN
  IF s.id IS NULL THEN RETURN windlass.not_found('job ' || p_id); END IF;
  IF s.state < 5 THEN RETURN windlass.wrong_state('retry', s.state); END IF;
  SELECT options->'unique' INTO v_unique FROM windlass.job WHERE id = p_id;
  IF v_unique->>'key' IS NOT NULL AND NOT coalesce((SELECT key_given_up FROM windlass.extra WHERE job = p_id), false) THEN
    SELECT job INTO v_holder FROM windlass.unique_key WHERE key = v_unique->>'key' AND (until = 0 OR until > p_now);
    IF v_holder <> p_id THEN RETURN jsonb_build_object('code', 'unique_conflict', 'holder', v_holder); END IF;
    IF (windlass.scope(v_unique)).kind <> 'for' THEN
      INSERT INTO windlass.unique_key (key, job, until) VALUES (v_unique->>'key', p_id, 0)
      ON CONFLICT (key) DO UPDATE SET job = excluded.job, until = 0 WHERE unique_key.job = excluded.job OR (unique_key.until > 0 AND unique_key.until <= p_now);
      IF NOT FOUND THEN
        SELECT job INTO v_holder FROM windlass.unique_key WHERE key = v_unique->>'key';
        RETURN jsonb_build_object('code', 'unique_conflict', 'holder', v_holder);
      END IF;
    END IF;
  END IF;
  v_blocked := windlass.must_wait(p_id);
  v_kids := EXISTS (SELECT FROM windlass.edge WHERE parent = p_id);
  IF v_kids OR v_blocked THEN PERFORM windlass.need_wide(); END IF;
  SELECT * INTO d FROM windlass.run WHERE job = p_id;
  PERFORM windlass.leave(s, CASE WHEN v_blocked THEN 4 ELSE 1 END, p_now);
  INSERT INTO windlass.extra AS x (job, generation) VALUES (p_id, 1)
  ON CONFLICT (job) DO UPDATE SET failures = 0, losses = 0, snoozes = 0, no_handler = 0, generation = x.generation + 1, cause = 0;
  IF d.counter IS NOT NULL THEN
    -- A second ack of the completion is still one.
    UPDATE windlass.extra SET ack_counter = d.counter, ack_nonce = d.nonce, ack_outcome = 0 WHERE job = p_id;
  END IF;
  PERFORM windlass.tell(p_now, 11, 6, s.queue, s.id, s.kind, s.grp, s.attempt);
  IF v_blocked THEN
    INSERT INTO windlass.blocked (job, since, due, attempt, queue) VALUES (p_id, p_now, coalesce((SELECT windlass.ms(options->'due') FROM windlass.job WHERE id = p_id), 0), s.attempt, s.queue);
  ELSE
    PERFORM windlass.enter_ready(s, p_now);
  END IF;
  IF v_kids THEN INSERT INTO windlass.errand (parent, what) VALUES (p_id, 1); END IF;
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION windlass.cancel_one(p_id uuid, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE s windlass.spot := windlass.spot_of(p_id); l windlass.lease;
BEGIN
  IF s.id IS NULL THEN RETURN windlass.not_found('job ' || p_id); END IF;
  IF s.state = 2 THEN
    -- A lease that is locked completes in its holder's own transaction at this moment: it is left to that.
    SELECT * INTO l FROM windlass.lease WHERE job = p_id FOR UPDATE SKIP LOCKED;
    IF l.grace_until = 0 THEN
      -- From now on it is looked at by itself.
      PERFORM windlass.let_go(l.term);
      l.term := nextval('windlass.seq');
      UPDATE windlass.run SET grace_until = p_now + 30000, term = l.term WHERE job = p_id;
      PERFORM windlass.hold(l.term, s.queue, least(l.deadline, p_now + 30000), l.worker, ARRAY[p_id]);
      PERFORM windlass.tell(p_now, 10, 6, s.queue, s.id, s.kind, s.grp, s.attempt);
      PERFORM windlass.notice(l.worker, l.job, l.attempt, l.counter, l.nonce, l.deadline);
    END IF;
    RETURN '"requested"';
  END IF;
  IF s.state = 7 THEN RETURN '"now"'; END IF;
  IF s.state IN (5, 6) THEN RETURN windlass.wrong_state('cancel', s.state); END IF;
  PERFORM windlass.end_cancelled(s, 6, p_now);
  RETURN '"now"';
END $$;

-- T14: due now.
CREATE OR REPLACE FUNCTION windlass.run_now_one(p_id uuid, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE s windlass.spot := windlass.spot_of(p_id);
BEGIN
  IF s.id IS NULL THEN RETURN windlass.not_found('job ' || p_id); END IF;
  IF s.state = 1 THEN RETURN NULL; END IF;
  IF s.state NOT IN (0, 3) THEN RETURN windlass.wrong_state('run_now', s.state); END IF;
  PERFORM windlass.promote(s, 6, p_now);
  RETURN NULL;
END $$;

-- T13 by somebody.
CREATE OR REPLACE FUNCTION windlass.delete_one(p_id uuid, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE s windlass.spot := windlass.spot_of(p_id);
BEGIN
  IF s.id IS NULL THEN RETURN windlass.not_found('job ' || p_id); END IF;
  IF s.state = 2 THEN RETURN windlass.wrong_state('delete', s.state); END IF;
  IF EXISTS (SELECT FROM windlass.edge WHERE parent = p_id) THEN PERFORM windlass.need_wide(); END IF;
  IF windlass.has_live_children(p_id) THEN RETURN '{"code":"has_live_children"}'; END IF;
  PERFORM windlass.remove(s, 6, p_now);
  RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION windlass.edit_one(p jsonb, p_payload bytea, p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE s windlass.spot := windlass.spot_of((p->>'id')::uuid); v_prio int := (p->>'priority')::int; v_due bigint := windlass.ms(p->'run_at');
BEGIN
  IF s.id IS NULL THEN RETURN windlass.not_found('job ' || (p->>'id')); END IF;
  -- Of what is dead or cancelled, the payload alone: it may be retried.
  IF s.state IN (2, 5) OR (s.state IN (6, 7) AND (v_prio IS NOT NULL OR v_due IS NOT NULL)) THEN RETURN windlass.wrong_state('edit', s.state); END IF;
  IF p ? 'refuse' THEN RETURN p->'refuse'; END IF;
  IF v_prio IS NOT NULL AND v_prio NOT BETWEEN -9 AND 9 THEN RETURN windlass.invalid('priority', v_prio || ' is not between -9 and 9'); END IF;
  IF v_prio <> 0 AND windlass.is_ordered(s.queue, s.grp) THEN RETURN windlass.invalid('priority', 'must be 0 in an ordered group'); END IF;
  IF v_due > p_now + 316224000000 THEN RETURN windlass.invalid('run_at', 'the time lies more than ten years ahead'); END IF;
  PERFORM windlass.rewrite(s.id, 0, p_payload, v_prio, v_due, p_now);
  RETURN NULL;
END $$;

-- One of these verbs over a list of jobs.
CREATE OR REPLACE FUNCTION windlass.people(p_at bigint, p_verb text, p_ids uuid[], p_edits jsonb, p_payloads bytea[], p_wide boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_now bigint := windlass.now_ms(p_at); v_answers jsonb[] := array_fill(NULL::jsonb, ARRAY[cardinality(p_ids)]); i int;
BEGIN
  IF NOT p_wide AND p_verb IN ('retry', 'delete') THEN PERFORM windlass.hold_retention(p_ids); END IF;
  PERFORM windlass.lock_jobs(p_ids, p_wide, v_now);
  FOR i IN 1..coalesce(cardinality(p_ids), 0) LOOP
    v_answers[i] := CASE p_verb
      WHEN 'cancel' THEN windlass.cancel_one(p_ids[i], v_now)
      WHEN 'retry' THEN windlass.retry_one(p_ids[i], v_now)
      WHEN 'run_now' THEN windlass.run_now_one(p_ids[i], v_now)
      WHEN 'delete' THEN windlass.delete_one(p_ids[i], v_now)
      ELSE windlass.edit_one(p_edits->(i - 1), p_payloads[i], v_now) END;
  END LOOP;
  PERFORM windlass.run_errands(1000, v_now);
  RETURN jsonb_build_object('answers', to_jsonb(v_answers)) || windlass.owed(v_now);
END $$;
