-- T5, T6, T8: what the holder of a lease says about its attempt.
--
-- Kinds: 0 complete, 1 fail, 2 snooze, 3 release. Outcomes of an acknowledgement have the same numbers, and 4 is a
-- cancellation that was asked for before.

-- Counts a failure under its mode; beyond a thousand modes of a queue it is counted under mode 0, "other".
CREATE OR REPLACE FUNCTION windlass.failed_so(p_queue text, p_print bigint, p_title text, p_kind text, p_job uuid, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE windlass.mode SET failures = failures + 1, kind = p_kind, last_seen = p_now, sample = p_job WHERE queue = p_queue AND fingerprint = p_print;
  IF FOUND THEN RETURN; END IF;
  IF (SELECT count(*) FROM (SELECT FROM windlass.mode WHERE queue = p_queue LIMIT 1000) m) >= 1000 THEN
    p_print := 0; p_title := 'other';
  END IF;
  INSERT INTO windlass.mode (queue, fingerprint, title, kind, failures, first_seen, last_seen, sample)
  VALUES (p_queue, p_print, p_title, p_kind, 1, p_now, p_now, p_job)
  ON CONFLICT (queue, fingerprint) DO UPDATE SET failures = mode.failures + 1, kind = excluded.kind, last_seen = excluded.last_seen, sample = excluded.sample;
END $$;

-- Keeps what an attempt came to, the newest 25; logs go with the attempt whose end is forgotten.
CREATE OR REPLACE FUNCTION windlass.keep_attempt(p_job uuid, p_attempt int, p_worker bigint, p_started bigint, p_now bigint, p_outcome text, p_error json)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_oldest int;
BEGIN
  INSERT INTO windlass.attempt (job, attempt, worker, started_at, ended_at, outcome, error)
  VALUES (p_job, p_attempt, p_worker, p_started, p_now, p_outcome, p_error) ON CONFLICT DO NOTHING;
  SELECT attempt INTO v_oldest FROM windlass.attempt WHERE job = p_job ORDER BY attempt DESC OFFSET 25 LIMIT 1;
  IF FOUND THEN
    DELETE FROM windlass.attempt WHERE job = p_job AND attempt <= v_oldest;
    DELETE FROM windlass.log WHERE job = p_job AND attempt <= v_oldest;
  END IF;
END $$;

-- How the token shown compares with the job's: 0 current, 1 repeated, 2 stale.
CREATE OR REPLACE FUNCTION windlass.token(p_job uuid, p_counter bigint, p_nonce bigint, p_outcome int) RETURNS int LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF EXISTS (SELECT FROM windlass.lease WHERE job = p_job AND counter = p_counter AND nonce = p_nonce) THEN RETURN 0; END IF;
  IF p_outcome = 0 AND EXISTS (SELECT FROM windlass.run WHERE job = p_job AND counter = p_counter AND nonce = p_nonce AND done_at > 0) THEN RETURN 1; END IF;
  IF EXISTS (SELECT FROM windlass.extra WHERE job = p_job AND ack_counter = p_counter AND ack_nonce = p_nonce
    AND (ack_outcome = p_outcome OR (ack_outcome = 4 AND p_outcome <> 0))) THEN RETURN 1; END IF;
  RETURN 2;
END $$;

-- T5.
CREATE OR REPLACE FUNCTION windlass.complete_one(s windlass.spot, l windlass.lease, p_result bytea, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_seq bigint := nextval('windlass.seq');
BEGIN
  PERFORM windlass.leave(s, 5, p_now);
  l.done_at := p_now; l.seq := v_seq; l.result := p_result;
  INSERT INTO windlass.run SELECT l.*;
  INSERT INTO windlass.finished (queue, seq, at, jobs) VALUES (s.queue, v_seq, p_now, ARRAY[s.id]);
  PERFORM windlass.free_key(s.id);
  PERFORM windlass.rested(s.id);
  PERFORM windlass.total(s.queue, 3, 1);
  PERFORM windlass.chart(s.queue, 1, p_now, 1);
  PERFORM windlass.measured(s.queue, 1, ARRAY[p_now - l.started_at]);
  PERFORM windlass.tell(p_now, 3, 0, s.queue, s.id, s.kind, s.grp, s.attempt, l.worker, NULL, substring(p_result FROM 1 FOR 4096));
  PERFORM windlass.parent_ended(s.id);
END $$;

CREATE OR REPLACE FUNCTION windlass.settle_one(p_kind int, p_job uuid, p_counter bigint, p_nonce bigint, p_result bytea, p jsonb, p_payloads bytea[], p_now bigint)
RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  s windlass.spot; l windlass.lease; v_token int := windlass.token(p_job, p_counter, p_nonce, p_kind); j jsonb; v jsonb; v_policy jsonb; v_failures int;
  v_dead boolean; v_cause int; v_until bigint; v_snoozes int; v_error json; v_print bigint; v_detail text;
BEGIN
  IF v_token = 1 THEN RETURN NULL; END IF;
  IF v_token = 2 THEN RETURN windlass.stale(); END IF;
  IF p ? 'refuse' THEN RETURN p->'refuse'; END IF;
  SELECT * INTO l FROM windlass.lease WHERE job = p_job;
  s := windlass.spot_of(p_job);
  IF p_kind = 0 THEN
    IF NOT p ? 'then' THEN
      PERFORM windlass.complete_one(s, l, p_result, p_now);
      RETURN NULL;
    END IF;
    -- All follow-ups may come in, or the completion is refused whole with the first reason. One that meets a held unique
    -- key is no reason: its work is there already.
    BEGIN
      PERFORM windlass.complete_one(s, l, p_result, p_now);
      FOR j IN SELECT * FROM jsonb_array_elements(p->'then') LOOP
        v := windlass.take_in(j, p_payloads[(j->>'body')::int], false, p_now);
        IF v ? 'err' AND v->'err'->>'code' <> 'unique_conflict' THEN
          RAISE EXCEPTION 'refused' USING ERRCODE = 'WL002', DETAIL = (v->'err')::text;
        END IF;
      END LOOP;
    EXCEPTION WHEN SQLSTATE 'WL002' THEN
      GET STACKED DIAGNOSTICS v_detail = PG_EXCEPTION_DETAIL;
      RETURN v_detail::jsonb;
    END;
    RETURN NULL;
  END IF;
  IF l.grace_until > 0 THEN
    PERFORM windlass.end_cancelled(s, 6, p_now);
    RETURN NULL;
  END IF;
  IF p_kind = 1 THEN
    SELECT windlass.policy(jb.options->'retry', q.settings->'retry') INTO v_policy
    FROM windlass.job jb LEFT JOIN windlass.queue q ON q.name = jb.queue WHERE jb.id = p_job;
    v_print := (p->>'print')::bigint;
    v_error := p->'error';
    INSERT INTO windlass.extra AS x (job, failures, fingerprint, last_error, ack_counter, ack_nonce, ack_outcome)
    VALUES (p_job, 1, v_print, p->>'line', p_counter, p_nonce, 1)
    ON CONFLICT (job) DO UPDATE SET failures = x.failures + 1, fingerprint = excluded.fingerprint, last_error = excluded.last_error,
      ack_counter = excluded.ack_counter, ack_nonce = excluded.ack_nonce, ack_outcome = 1 RETURNING failures INTO v_failures;
    v_dead := coalesce((p->>'fatal')::boolean, false) OR v_failures >= windlass.max_failures(v_policy);
    v_cause := CASE WHEN NOT v_dead THEN 0 WHEN (p->>'fatal')::boolean THEN 1 ELSE 2 END;
    UPDATE windlass.extra SET cause = v_cause WHERE job = p_job;
    PERFORM windlass.failed_so(s.queue, v_print, p->>'title', s.kind, s.id, p_now);
    PERFORM windlass.keep_attempt(p_job, l.attempt, l.worker, l.started_at, p_now, CASE WHEN v_dead THEN 'died' ELSE 'failed' END, v_error);
    PERFORM windlass.measured(s.queue, 1, ARRAY[p_now - l.started_at]);
    PERFORM windlass.total(s.queue, 4, 1);
    PERFORM windlass.chart(s.queue, 2, p_now, 1);
    PERFORM windlass.leave(s, CASE WHEN v_dead THEN 6 ELSE 3 END, p_now);
    PERFORM windlass.tell(p_now, CASE WHEN v_dead THEN 5 ELSE 4 END, v_cause, s.queue, s.id, s.kind, s.grp, s.attempt, l.worker, p->>'text');
    IF v_dead THEN
      PERFORM windlass.total(s.queue, 5, 1);
      PERFORM windlass.enter_ended(s, 6, p_now, v_cause);
      PERFORM windlass.parent_ended(p_job);
    ELSE
      v_until := least(coalesce((p->>'retry_in')::numeric, windlass.retry_delay(v_policy, p_job, v_failures)), 316224000000)::bigint;
      PERFORM windlass.enter_deferred(s, 3, p_now + v_until, 0);
    END IF;
    RETURN NULL;
  END IF;
  IF p_kind = 2 THEN
    SELECT snoozes INTO v_snoozes FROM windlass.extra WHERE job = p_job;
    IF v_snoozes >= 1000 THEN RETURN jsonb_build_object('code', 'too_many_snoozes', 'snoozes', v_snoozes); END IF;
    v_until := p_now + (p->>'delay')::bigint;
    INSERT INTO windlass.extra AS x (job, snoozes, reason, ack_counter, ack_nonce, ack_outcome) VALUES (p_job, 1, p->>'reason', p_counter, p_nonce, 2)
    ON CONFLICT (job) DO UPDATE SET snoozes = x.snoozes + 1, reason = excluded.reason, ack_counter = excluded.ack_counter, ack_nonce = excluded.ack_nonce, ack_outcome = 2;
    -- A second hold never shortens the first.
    IF p ? 'hold_queue' THEN
      UPDATE windlass.qstate SET hold_until = greatest(hold_until, v_until), timer_at = greatest(hold_until, v_until) WHERE queue = s.queue;
    ELSIF p ? 'hold_group' THEN
      UPDATE windlass.grp SET hold_until = greatest(hold_until, v_until) WHERE queue = s.queue AND key = s.grp;
    ELSIF p ? 'hold_limit' THEN
      PERFORM windlass.lock_limits();
      PERFORM windlass.ensure_limits((p->>'hold_limit') || '=1');
      UPDATE windlass.lim SET hold_until = greatest(hold_until, v_until) WHERE name = p->>'hold_limit';
    END IF;
    PERFORM windlass.total(s.queue, 7, 1);
    PERFORM windlass.measured(s.queue, 1, ARRAY[p_now - l.started_at]);
    PERFORM windlass.leave(s, 0, p_now);
    PERFORM windlass.tell(p_now, 7, CASE WHEN p ?| ARRAY['hold_queue', 'hold_group', 'hold_limit'] THEN 10 ELSE 0 END,
      s.queue, s.id, s.kind, s.grp, s.attempt, l.worker, p->>'reason');
    PERFORM windlass.enter_deferred(s, 0, v_until, 1);
    RETURN NULL;
  END IF;
  v_cause := (p->>'cause')::int;
  INSERT INTO windlass.extra AS x (job, ack_counter, ack_nonce, ack_outcome) VALUES (p_job, p_counter, p_nonce, 3)
  ON CONFLICT (job) DO UPDATE SET ack_counter = excluded.ack_counter, ack_nonce = excluded.ack_nonce, ack_outcome = 3;
  PERFORM windlass.total(s.queue, 8, 1);
  PERFORM windlass.measured(s.queue, 1, ARRAY[p_now - l.started_at]);
  IF v_cause = 8 THEN
    PERFORM windlass.total(s.queue, 9, 1);
    UPDATE windlass.extra SET no_handler = no_handler + 1 WHERE job = p_job RETURNING p_now + least(1000 * (1 << least(no_handler - 1, 16)), 60000) INTO v_until;
    PERFORM windlass.leave(s, 0, p_now);
    PERFORM windlass.tell(p_now, 8, v_cause, s.queue, s.id, s.kind, s.grp, s.attempt, l.worker);
    PERFORM windlass.enter_deferred(s, 0, v_until, 2);
  ELSE
    PERFORM windlass.leave(s, 1, p_now);
    PERFORM windlass.tell(p_now, 8, v_cause, s.queue, s.id, s.kind, s.grp, s.attempt, l.worker);
    PERFORM windlass.enter_ready(s, p_now);
  END IF;
  RETURN NULL;
END $$;

-- A batch of settlements, under the locks of their queues; null or the refusal of each, and null for all when none is refused. Plain completions go at once, and
-- what they leave over (limits, order, children, a token that is not current, a row that has left its place) one by one.
-- `p_places` is where the attempts stood when they were looked up.
CREATE OR REPLACE FUNCTION windlass.settle(p_kinds smallint[], p_jobs uuid[], p_counters bigint[], p_nonces bigint[], p_results bytea[], p_details jsonb[],
  p_payloads bytea[], p_places tid[], p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v_done int[]; r record; i int; v_answers jsonb[]; v_key text; v_seq bigint; v_family uuid[]; v_n bigint; v_places tid[] := p_places; v_moved boolean; v_parked boolean;
BEGIN
  IF 0 = ANY (p_kinds) THEN
    -- Whoever makes parents and children holds the whole namespace, so that none comes up now.
    IF EXISTS (SELECT FROM windlass.edge) THEN
      v_family := ARRAY(SELECT u.job FROM unnest(p_jobs) u(job) WHERE EXISTS (SELECT FROM windlass.edge e WHERE e.parent = u.job) OR EXISTS (SELECT FROM windlass.edge e WHERE e.child = u.job));
    END IF;
    FOR v_pass IN 1..2 LOOP
      v_seq := nextval('windlass.seq');
      FOR r IN
        WITH over AS MATERIALIZED (UPDATE windlass.run l SET done_at = p_now, seq = v_seq, result = i.result
          FROM unnest(p_kinds, p_jobs, p_counters, p_nonces, p_results, p_details, v_places) WITH ORDINALITY i(kind, job, counter, nonce, result, detail, at, n)
          WHERE i.kind = 0 AND i.detail IS NULL AND (v_family IS NULL OR NOT i.job = ANY (v_family))
            AND l.ctid = i.at AND l.job = i.job AND l.counter = i.counter AND l.nonce = i.nonce AND l.done_at = 0 AND l.flags & 1 = 0
          RETURNING i.n::int, i.result, l.job, l.worker, l.queue, l.kind, l.grp, l.attempt, l.started_at, l.term, l.flags),
        lists AS MATERIALIZED (SELECT queue, worker, array_agg(job) AS jobs, windlass.same(array_agg(kind)) AS kinds, array_agg(grp) AS grps,
            CASE WHEN max(attempt) = 1 THEN '{1}' ELSE array_agg(attempt) END AS attempts,
            CASE WHEN count(result) > 0 THEN array_agg(substring(result FROM 1 FOR 4096)) END AS results, array_agg(n) AS places, bit_or(flags) AS flags
          FROM (SELECT * FROM over ORDER BY queue, worker, n) o GROUP BY queue, worker),
        told AS (INSERT INTO windlass.event (at, worker, type, cause, queue, jobs, kinds, grps, attempts, results)
          SELECT p_now, worker, 3, 0, queue, jobs, kinds, nullif(windlass.same(grps), '{""}'), attempts, results FROM lists),
        lots AS (INSERT INTO windlass.finished (queue, seq, at, jobs) SELECT queue, v_seq, p_now, array_agg(job ORDER BY n) FROM over GROUP BY queue),
        -- Of each batch of leases: all of it has one start. By the places of the rows, as for groups: joined by its id, a small
        -- table would be read whole, dead rows and all.
        terms AS MATERIALIZED (SELECT t.*, (SELECT o.ctid FROM windlass.term o WHERE o.id = t.term) AS at
          FROM (SELECT queue, term, greatest(p_now - min(started_at), 0) AS ran, count(*)::int AS n FROM over GROUP BY queue, term) t),
        beat AS (INSERT INTO windlass.pulse (queue, at, what, n, hist, buckets, ns)
          SELECT queue, p_now, 1, sum(n), 1, array_agg(windlass.bucket(ran)), array_agg(n) FROM terms GROUP BY queue),
        let_go AS (DELETE FROM windlass.term o USING terms x WHERE o.ctid = x.at AND o.held <= x.n),
        some_go AS (UPDATE windlass.term o SET held = o.held - x.n FROM terms x WHERE o.ctid = x.at AND o.held > x.n)
        SELECT l.*, (SELECT sum(ran * n) FROM terms t WHERE t.queue = l.queue) AS ran, (SELECT max(ran) FROM terms t WHERE t.queue = l.queue) AS longest FROM lists l
      LOOP
        v_done := v_done || r.places; v_n := cardinality(r.jobs);
        IF r.grps[1] = ALL (r.grps) THEN
          UPDATE windlass.grp SET counts = windlass.add(counts, ARRAY[0, 0, -v_n, 0, 0, v_n, 0, 0])
          WHERE queue = r.queue AND key = r.grps[1] AND v = (SELECT o.v FROM windlass.grp o WHERE o.queue = r.queue AND o.key = r.grps[1] ORDER BY o.v DESC LIMIT 1) RETURNING parked INTO v_parked;
          IF v_parked THEN PERFORM windlass.unpark(r.queue, r.grps[1]); END IF;
        ELSE
          FOR v_key IN
            WITH x AS MATERIALIZED (SELECT y.*, (SELECT o.ctid FROM windlass.grp o WHERE o.queue = r.queue AND o.key = y.k ORDER BY o.v DESC LIMIT 1) AS at
              FROM (SELECT k, count(*) AS n FROM unnest(r.grps) k GROUP BY k) y),
            up AS (UPDATE windlass.grp g SET counts = windlass.add(g.counts, ARRAY[0, 0, -x.n, 0, 0, x.n, 0, 0]) FROM x WHERE g.ctid = x.at
              RETURNING g.key, g.parked)
            SELECT key FROM up WHERE parked LOOP
            PERFORM windlass.unpark(r.queue, v_key);
          END LOOP;
        END IF;
        UPDATE windlass.qstate SET counts = windlass.add(counts, ARRAY[0, 0, -v_n, 0, 0, v_n, 0, 0]), totals[3] = totals[3] + v_n,
          run_sum = run_sum + r.ran, run_max = greatest(run_max, r.longest)
        WHERE queue = r.queue AND v = (SELECT v FROM windlass.qstate WHERE queue = r.queue ORDER BY v DESC LIMIT 1);
        IF EXISTS (SELECT FROM windlass.queue WHERE name = r.queue AND concurrency IS NOT NULL) THEN PERFORM windlass.touch(r.queue); END IF;
        IF r.flags & 2 > 0 THEN DELETE FROM windlass.unique_key WHERE job = ANY (r.jobs) AND until = 0; END IF;
      END LOOP;
      IF cardinality(v_done) = cardinality(p_jobs) THEN RETURN NULL; END IF;
      -- A heartbeat gives rows new places, and many at once.
      SELECT array_agg(l.at ORDER BY i.n), bool_or(l.at <> coalesce(i.at, '(0,0)')) INTO v_places, v_moved
      FROM unnest(p_jobs, v_places) WITH ORDINALITY i(job, at, n) LEFT JOIN LATERAL (SELECT o.ctid AS at FROM windlass.run o WHERE o.job = i.job AND o.done_at = 0 LIMIT 1) l ON true;
      EXIT WHEN NOT coalesce(v_moved, false);
    END LOOP;
  END IF;
  v_answers := array_fill(NULL::jsonb, ARRAY[cardinality(p_jobs)]);
  FOR i IN 1..cardinality(p_jobs) LOOP
    CONTINUE WHEN i = ANY (v_done);
    v_answers[i] := windlass.settle_one(p_kinds[i], p_jobs[i], p_counters[i], p_nonces[i], p_results[i], p_details[i], p_payloads, p_now);
  END LOOP;
  RETURN to_jsonb(v_answers);
END $$;

-- Progress, log and checkpoint of running attempts.
CREATE OR REPLACE FUNCTION windlass.report(p_at bigint, p_jobs uuid[], p_counters bigint[], p_nonces bigint[], p_details jsonb[], p_checkpoints bytea[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  i int; l windlass.lease; v_answers jsonb[] := array_fill(NULL::jsonb, ARRAY[cardinality(p_jobs)]); p jsonb; v_used bigint; v_room bigint; v_text text;
  v_cut text := E'\n… the log of this attempt is full; what follows was dropped\n'; v_head text;
BEGIN
  FOR i IN 1..coalesce(cardinality(p_jobs), 0) LOOP
    p := p_details[i];
    SELECT * INTO l FROM windlass.lease WHERE job = p_jobs[i] AND counter = p_counters[i] AND nonce = p_nonces[i] FOR SHARE;
    IF NOT FOUND THEN v_answers[i] := windlass.stale(); CONTINUE; END IF;
    IF p ? 'refuse' THEN v_answers[i] := p->'refuse'; CONTINUE; END IF;
    IF p ? 'percent' OR p_checkpoints[i] IS NOT NULL THEN
      INSERT INTO windlass.extra AS x (job, percent, message, checkpoint) VALUES (l.job, (p->>'percent')::int, p->>'message', p_checkpoints[i])
      ON CONFLICT (job) DO UPDATE SET percent = coalesce(excluded.percent, x.percent),
        message = CASE WHEN excluded.percent IS NOT NULL THEN excluded.message ELSE x.message END, checkpoint = coalesce(excluded.checkpoint, x.checkpoint);
    END IF;
    v_text := p->>'log';
    IF v_text <> '' THEN
      SELECT coalesce(sum(bytes), 0) INTO v_used FROM windlass.log WHERE job = l.job AND attempt = l.attempt;
      CONTINUE WHEN v_used >= 262144;
      v_room := 262144 - v_used;
      IF octet_length(v_text) > v_room THEN
        -- Filled up to the bound, so that nothing is added behind the line that says so.
        v_room := greatest(v_room - octet_length(v_cut), 0);
        v_head := left(v_text, v_room::int);
        WHILE octet_length(v_head) > v_room LOOP
          v_head := left(v_head, (v_room * length(v_head) / octet_length(v_head))::int - CASE WHEN v_room * length(v_head) / octet_length(v_head) = length(v_head) THEN 1 ELSE 0 END);
        END LOOP;
        v_text := v_head || repeat(E'\n', greatest(v_room - octet_length(v_head), 0)::int) || v_cut;
        INSERT INTO windlass.log (job, attempt, bytes, text) VALUES (l.job, l.attempt, 262144 - v_used, v_text);
      ELSE
        INSERT INTO windlass.log (job, attempt, bytes, text) VALUES (l.job, l.attempt, octet_length(v_text), v_text);
      END IF;
    END IF;
  END LOOP;
  RETURN to_jsonb(v_answers);
END $$;
