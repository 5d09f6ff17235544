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
  v record; v_told jsonb; v_answer jsonb; v_ids uuid[] := '{}'; v_queues text[] := '{}'; v_kinds text[] := '{}'; v_payloads bytea[] := '{}'; v_grps text[] := '{}';
  v_prios smallint[] := '{}'; v_lsets text[] := '{}'; v_run_at bigint[] := '{}'; v_delays bigint[] := '{}'; v_options jsonb[] := '{}'; j jsonb; i int := 0; v_bytes bytea; v_unknown text;
BEGIN
  IF jsonb_typeof(jobs) <> 'array' THEN RAISE EXCEPTION 'batch: enqueue_many takes an array of jobs, [{...}, ...]' USING ERRCODE = 'WL400'; END IF;
  IF jsonb_array_length(jobs) > 1000 THEN RAISE EXCEPTION 'batch: % items are more than 1,000; send several batches', jsonb_array_length(jobs) USING ERRCODE = 'WL400'; END IF;
  FOR j IN SELECT * FROM jsonb_array_elements(jobs) LOOP
    i := i + 1;
    IF jsonb_typeof(j) <> 'object' THEN RAISE EXCEPTION 'job % of the batch: not an object', i USING ERRCODE = 'WL400'; END IF;
    -- A misspelt field must not quietly mean nothing.
    SELECT string_agg(k, ', ') INTO v_unknown FROM jsonb_object_keys(j) k WHERE k <> ALL (ARRAY['queue', 'kind', 'payload', 'id', 'group', 'priority', 'run_at',
      'delay_ms', 'expires_at', 'tags', 'limits', 'unique', 'retry', 'timeout_ms', 'trace', 'parents']);
    IF v_unknown IS NOT NULL THEN
      RAISE EXCEPTION 'job % of the batch: there is no field %; a job has queue, kind, payload, id, group, priority, run_at, delay_ms, expires_at, tags, limits, unique, retry, timeout_ms, trace', i, v_unknown
        USING ERRCODE = 'WL400';
    END IF;
    IF coalesce(j->>'queue', '') !~ '^[A-Za-z0-9._:-]{1,128}$' THEN RAISE EXCEPTION 'queue name: % is not a name', j->'queue' USING ERRCODE = 'WL400'; END IF;
    IF coalesce(j->>'kind', '') !~ '^[A-Za-z0-9._:-]{1,128}$' THEN RAISE EXCEPTION 'kind: % is not a name', j->'kind' USING ERRCODE = 'WL400'; END IF;
    IF octet_length(j->>'group') NOT BETWEEN 1 AND 255 OR j->>'group' ~ '[[:cntrl:]]' THEN RAISE EXCEPTION 'group key: must be 1 to 255 bytes without control characters' USING ERRCODE = 'WL400'; END IF;
    IF octet_length(j->'unique'->>'key') NOT BETWEEN 1 AND 255 OR (j ? 'unique' AND NOT j->'unique' ? 'key') THEN RAISE EXCEPTION 'unique key: must be 1 to 255 bytes' USING ERRCODE = 'WL400'; END IF;
    IF (j->>'priority')::int NOT BETWEEN -9 AND 9 THEN RAISE EXCEPTION 'priority: % is not between -9 and 9', j->>'priority' USING ERRCODE = 'WL400'; END IF;
    IF j ? 'parents' THEN RAISE EXCEPTION 'parents: jobs with parents are enqueued by the store''s own verb' USING ERRCODE = 'WL400'; END IF;
    IF jsonb_array_length(j->'tags') > 8 THEN RAISE EXCEPTION 'tags: more than 8' USING ERRCODE = 'WL400'; END IF;
    IF jsonb_array_length(j->'limits') > 4 THEN RAISE EXCEPTION 'limits: more than 4' USING ERRCODE = 'WL400'; END IF;
    v_bytes := convert_to(coalesce(j->'payload', '{}')::text, 'UTF8');
    IF octet_length(v_bytes) > 1048576 THEN RAISE EXCEPTION 'payload: more than 1 MiB; store it elsewhere and pass its address' USING ERRCODE = 'WL400'; END IF;
    v_ids := v_ids || coalesce((j->>'id')::uuid, windlass.new_id());
    v_queues := v_queues || (j->>'queue'); v_kinds := v_kinds || (j->>'kind'); v_payloads := v_payloads || v_bytes;
    v_grps := v_grps || coalesce(j->>'group', ''); v_prios := v_prios || coalesce((j->>'priority')::smallint, 0::smallint);
    v_lsets := v_lsets || coalesce((SELECT string_agg(format('%s=%s', l->>'name', coalesce(l->>'cost', '1')), ',' ORDER BY format('%s=%s', l->>'name', coalesce(l->>'cost', '1')) COLLATE "C")
      FROM jsonb_array_elements(j->'limits') l), '');
    v_run_at := v_run_at || (j->>'run_at')::bigint; v_delays := v_delays || (j->>'delay_ms')::bigint;
    v_options := v_options || (SELECT jsonb_object_agg(o.key, o.value) FROM jsonb_each(j) o
      WHERE o.key IN ('retry', 'unique', 'limits', 'tags', 'expires_at', 'timeout_ms', 'trace') AND o.value <> 'null');
  END LOOP;
  v_told := windlass.enqueue_lots(NULL, v_ids, v_queues, v_kinds, v_payloads, v_grps, v_prios, v_lsets, v_run_at, v_delays, v_options, true);
  FOR i IN 1..cardinality(v_ids) LOOP
    v_answer := v_told->'answers'->(i - 1);
    IF v_answer ? 'err' THEN
      RAISE EXCEPTION 'job % of the batch: %', i, v_answer->'err' USING ERRCODE = 'WL400';
    END IF;
    id := coalesce((v_answer #>> '{ok,2}')::uuid, v_ids[i]);
    status := coalesce((ARRAY['created', 'known', 'existing'])[(v_answer #>> '{ok,0}')::int + 1], 'created');
    RETURN NEXT;
  END LOOP;
END $$;

-- Takes one job in and gives its id.
CREATE OR REPLACE FUNCTION windlass.enqueue(queue text, kind text, payload jsonb DEFAULT '{}', "group" text DEFAULT NULL, priority int DEFAULT 0,
  delay interval DEFAULT NULL, unique_key text DEFAULT NULL, id uuid DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT m.id FROM windlass.enqueue_many(jsonb_build_array(options || jsonb_strip_nulls(jsonb_build_object('queue', enqueue.queue, 'kind', enqueue.kind,
      'group', enqueue."group", 'priority', enqueue.priority, 'delay_ms', (extract(epoch FROM enqueue.delay) * 1000)::bigint, 'id', enqueue.id,
      'unique', CASE WHEN enqueue.unique_key IS NOT NULL THEN jsonb_build_object('key', enqueue.unique_key) END)) || jsonb_build_object('payload', enqueue.payload))) m $$;

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
