-- What users call in their own transactions, from any language. Nothing here takes a lock that others wait for: a job
-- exists if and only if the transaction commits, and a long transaction holds up nobody but a second maker of its id or
-- unique key.

-- A new id: UUIDv7, so that ids sort by time.
CREATE OR REPLACE FUNCTION windlass.new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid $$;

-- Takes jobs in, one object each: queue, kind, and as wanted payload (any JSON), id, group, priority, run_at (milliseconds
-- since the Unix epoch), delay_ms, expires_at, tags, limits, unique, retry, timeout_ms, trace. Answers id and status
-- (created, known, existing) of each; a job that breaks a rule of the contract raises, with the whole statement undone.
CREATE OR REPLACE FUNCTION windlass.enqueue_many(jobs jsonb) RETURNS TABLE (id uuid, status text) LANGUAGE plpgsql AS $$
DECLARE
  v_now bigint := windlass.now_ms(NULL); v_told jsonb; v_answer jsonb; v_ids uuid[] := '{}'; v_queues text[] := '{}'; v_kinds text[] := '{}'; v_payloads bytea[] := '{}'; v_grps text[] := '{}';
  v_prios smallint[] := '{}'; v_lsets text[] := '{}'; v_run_at bigint[] := '{}'; v_delays bigint[] := '{}'; v_options jsonb[] := '{}'; v_places int[] := '{}'; v_place int; j jsonb; c record;
  i int := 0;
BEGIN
  IF jsonb_typeof(jobs) <> 'array' THEN PERFORM windlass.refuse('batch', 'enqueue_many takes an array of jobs, [{...}, ...]'); END IF;
  IF jsonb_array_length(jobs) > 1000 THEN PERFORM windlass.refuse('batch', jsonb_array_length(jobs) || ' items are more than 1,000; send several batches'); END IF;
  BEGIN
    FOR j IN SELECT * FROM jsonb_array_elements(jobs) LOOP
      i := i + 1;
      SELECT * INTO c FROM windlass.check_job(j, v_now);
      -- One that stands twice is one job; its second place is told by the sign.
      v_place := CASE WHEN j ? 'id' THEN array_position(v_ids, c.id) END;
      v_places := v_places || coalesce(-v_place, cardinality(v_ids) + 1);
      CONTINUE WHEN v_place IS NOT NULL;
      v_ids := v_ids || c.id; v_queues := v_queues || c.queue; v_kinds := v_kinds || c.kind; v_payloads := v_payloads || c.payload; v_grps := v_grps || c.grp;
      v_prios := v_prios || c.prio; v_lsets := v_lsets || c.lset; v_run_at := v_run_at || c.run_at; v_delays := v_delays || c.delay; v_options := v_options || c.options;
    END LOOP;
  EXCEPTION WHEN SQLSTATE 'WL400' THEN
    RAISE EXCEPTION '%', CASE WHEN jsonb_array_length(jobs) > 1 THEN format('job %s of the batch: ', i) ELSE '' END || SQLERRM USING ERRCODE = 'WL400';
  END;
  IF v_ids = '{}' THEN RETURN; END IF;
  v_told := windlass.enqueue_lots(NULL, v_ids, v_queues, v_kinds, v_payloads, v_grps, v_prios, v_lsets, v_run_at, v_delays, v_options, true);
  FOR i IN 1..cardinality(v_places) LOOP
    v_place := abs(v_places[i]);
    v_answer := v_told->'answers'->(v_place - 1);
    IF v_answer ? 'err' THEN
      PERFORM windlass.refuse(format('job %s of the batch', i), coalesce((v_answer->'err'->>'what') || ': ' || (v_answer->'err'->>'why'), v_answer->>'err'));
    END IF;
    id := coalesce((v_answer #>> '{ok,2}')::uuid, v_ids[v_place]);
    status := CASE WHEN v_places[i] < 0 THEN 'known' ELSE coalesce((ARRAY['created', 'known', 'existing'])[(v_answer #>> '{ok,0}')::int + 1], 'created') END;
    RETURN NEXT;
  END LOOP;
END $$;

-- Takes one job in and gives its id.
CREATE OR REPLACE FUNCTION windlass.enqueue(queue text, kind text, payload jsonb DEFAULT '{}', "group" text DEFAULT NULL, priority int DEFAULT 0,
  delay interval DEFAULT NULL, unique_key text DEFAULT NULL, id uuid DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS uuid LANGUAGE plpgsql VOLATILE AS $$
DECLARE v_given jsonb; v_options jsonb := jsonb_strip_nulls(coalesce(enqueue.options, '{}')); v_twice text;
BEGIN
  IF jsonb_typeof(v_options) <> 'object' THEN PERFORM windlass.refuse('options', windlass.shown(v_options) || ' is not an object: write {"tags": ["eu"]}'); END IF;
  IF enqueue.payload IS NULL THEN PERFORM windlass.refuse('payload', 'is NULL: leave it out for {}, or give ''null''::jsonb for the null of JSON'); END IF;
  v_given := jsonb_strip_nulls(jsonb_build_object('queue', enqueue.queue, 'kind', enqueue.kind, 'group', enqueue."group", 'priority', nullif(enqueue.priority, 0), 'id', enqueue.id,
    'delay_ms', round((extract(epoch FROM enqueue.delay) * 1000)::numeric), 'unique', CASE WHEN enqueue.unique_key IS NOT NULL THEN jsonb_build_object('key', enqueue.unique_key) END))
    || jsonb_build_object('payload', enqueue.payload);
  -- One of two values would quietly be lost.
  SELECT string_agg(k, ', ') INTO v_twice FROM jsonb_object_keys(v_options) k WHERE v_given ? k;
  IF v_twice IS NOT NULL THEN PERFORM windlass.refuse('options', v_twice || ' is given by an argument of its own'); END IF;
  RETURN (SELECT m.id FROM windlass.enqueue_many(jsonb_build_array(v_options || v_given)) m);
END $$;

-- T5 in the holder's own transaction: its effects and its completion exist together or not at all. Raises when the lease is
-- no longer current, so that the transaction cannot commit; while it is open, nobody else can end the attempt.
CREATE OR REPLACE FUNCTION windlass.complete_in_tx(job uuid, counter bigint, nonce bigint, result bytea DEFAULT NULL, at bigint DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE l windlass.lease;
BEGIN
  IF octet_length(result) > 65536 THEN RAISE EXCEPTION 'result: % bytes are more than 65536', octet_length(result) USING ERRCODE = 'WL400'; END IF;
  SELECT * INTO l FROM windlass.lease x WHERE x.job = complete_in_tx.job AND x.counter = complete_in_tx.counter AND x.nonce = complete_in_tx.nonce FOR UPDATE;
  IF NOT FOUND OR EXISTS (SELECT FROM windlass.done d WHERE d.job = complete_in_tx.job AND d.counter = complete_in_tx.counter) THEN
    RAISE EXCEPTION 'stale lease: the job is no longer held by this lease' USING ERRCODE = 'WL003';
  END IF;
  INSERT INTO windlass.done (queue, job, at, counter, nonce, result)
  VALUES (l.queue, l.job, windlass.now_ms(complete_in_tx.at), l.counter, l.nonce, complete_in_tx.result);
END $$;
