-- A job as a user writes it in SQL, held against the rules of `NewJob::validate` in windlass-core and brought into the form
-- that readers of a job's options understand. What comes from a program has been checked there and does not pass here.
-- Who writes something else is told the field, what is wrong with it, and what would be right.

CREATE OR REPLACE FUNCTION windlass.refuse(p_what text, p_why text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%: %', p_what, p_why USING ERRCODE = 'WL400';
END $$;

-- What was written, cut where it gets long.
CREATE OR REPLACE FUNCTION windlass.shown(p jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p IS NULL THEN 'nothing' WHEN length(p::text) > 100 THEN left(p::text, 100) || '…' ELSE p::text END $$;

CREATE OR REPLACE FUNCTION windlass.check_whole(p_what text, p jsonb, p_from numeric, p_most numeric, p_right text) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
  IF p IS NULL THEN RETURN NULL; END IF;
  IF NOT windlass.is_whole(p, p_from, p_most) THEN PERFORM windlass.refuse(p_what, format('%s is not %s', windlass.shown(p), p_right)); END IF;
  RETURN p::numeric;
END $$;

CREATE OR REPLACE FUNCTION windlass.check_time(p_what text, p jsonb) RETURNS numeric LANGUAGE sql AS $$
  SELECT windlass.check_whole(p_what, p, 0, 18446744073709551615,
    'a time in whole milliseconds since 1970, as 1767225600000; in SQL: (extract(epoch FROM now() + interval ''1 hour'') * 1000)::bigint') $$;

-- A name: of a queue, a kind, a limit.
CREATE OR REPLACE FUNCTION windlass.is_name(p jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce(jsonb_typeof(p) = 'string' AND p #>> '{}' ~ '^[A-Za-z0-9._:-]{1,128}$', false) $$;

CREATE OR REPLACE FUNCTION windlass.check_name(p_what text, p jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF NOT windlass.is_name(p) THEN PERFORM windlass.refuse(p_what, windlass.shown(p) || ' is not a name: text of 1 to 128 letters, digits and . _ : -'); END IF;
  RETURN p #>> '{}';
END $$;

-- A key: of a group, a unique key, a tag. Control characters are named by their numbers, whatever the locale takes for one.
CREATE OR REPLACE FUNCTION windlass.check_key(p_what text, p jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  IF p IS NULL THEN RETURN NULL; END IF;
  IF jsonb_typeof(p) <> 'string' OR octet_length(p #>> '{}') NOT BETWEEN 1 AND 255 OR p #>> '{}' ~ '[\u0001-\u001f\u007f-\u009f]' THEN
    PERFORM windlass.refuse(p_what, windlass.shown(p) || ' is not text of 1 to 255 bytes without control characters');
  END IF;
  RETURN p #>> '{}';
END $$;

-- The milliseconds that 10s, 1h30m or 7d spells; none for anything else.
CREATE OR REPLACE FUNCTION windlass.span_ms(p text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p <> '' AND m IS NOT NULL THEN coalesce(m[1]::numeric, 0) * 86400000 + coalesce(m[2]::numeric, 0) * 3600000
    + coalesce(m[3]::numeric, 0) * 60000 + coalesce(m[4]::numeric, 0) * 1000 + coalesce(m[5]::numeric, 0) END
  FROM regexp_match(p, '^(?:([0-9]{1,20})d)?(?:([0-9]{1,20})h)?(?:([0-9]{1,20})m)?(?:([0-9]{1,20})s)?(?:([0-9]{1,20})ms)?$') m $$;

-- The policy that a word of the command line spells; no policy for anything else.
CREATE OR REPLACE FUNCTION windlass.spelled_policy(p text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE m text[] := regexp_match(p, '^\s*([a-z]+)\s*(?:\((.*)\))?$'); v_parts text[]; v_part text; v jsonb;
BEGIN
  v_parts := ARRAY(SELECT btrim(x) FROM unnest(string_to_array(m[2], ',')) WITH ORDINALITY u(x, n) WHERE btrim(x) <> '' ORDER BY n);
  IF m[1] = 'never' AND v_parts = '{}' THEN RETURN '{"list": {"delays_ms": []}}'; END IF;
  IF m[1] = 'list' THEN
    RETURN jsonb_build_object('list', jsonb_build_object('delays_ms', to_jsonb(ARRAY(SELECT windlass.span_ms(x) FROM unnest(v_parts) WITH ORDINALITY u(x, n) ORDER BY n))));
  END IF;
  IF m[1] = 'fixed' THEN
    v := jsonb_build_object('delay_ms', windlass.span_ms(v_parts[1]), 'max_failures', 12);
    v_parts := v_parts[2:];
  ELSIF m[1] = 'exponential' OR m[1] = 'default' AND v_parts = '{}' THEN
    v := '{"base_ms": 5000, "cap_ms": 1800000, "max_failures": 12, "jitter": "full"}';
  END IF;
  -- What is no part of a policy makes one that is none.
  FOREACH v_part IN ARRAY v_parts LOOP
    v := v || CASE split_part(v_part, '=', 1)
      WHEN 'base' THEN jsonb_build_object('base_ms', windlass.span_ms(substr(v_part, 6)))
      WHEN 'cap' THEN jsonb_build_object('cap_ms', windlass.span_ms(substr(v_part, 5)))
      WHEN 'max' THEN jsonb_build_object('max_failures', substring(v_part FROM '^max=([0-9]{1,10})$')::numeric)
      WHEN 'jitter' THEN jsonb_build_object('jitter', substr(v_part, 8))
      ELSE jsonb_build_object(v_part, true) END;
  END LOOP;
  RETURN jsonb_build_object(CASE m[1] WHEN 'fixed' THEN 'fixed' ELSE 'exponential' END, v);
END $$;

CREATE OR REPLACE FUNCTION windlass.check_retry(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE v jsonb := CASE jsonb_typeof(p) WHEN 'string' THEN windlass.spelled_policy(p #>> '{}') ELSE p END; x jsonb; v_delay numeric; v_why text;
BEGIN
  IF NOT windlass.is_policy(v) THEN
    PERFORM windlass.refuse('retry', windlass.shown(p) || ' is not a policy: write "never", "default", "fixed(10s,max=5)", "list(1s,10s,1m)" or "exponential(base=5s,cap=30m,max=12)",'
      ' or {"fixed": {"delay_ms": 10000, "max_failures": 5}}, {"list": {"delays_ms": [1000, 10000]}}'
      ' or {"exponential": {"base_ms": 5000, "cap_ms": 1800000, "max_failures": 12, "jitter": "full"}}');
  END IF;
  x := coalesce(v->'fixed', v->'list', v->'exponential');
  SELECT max(d.ms::numeric) INTO v_delay FROM jsonb_array_elements(coalesce(x->'delays_ms', '[]') || jsonb_build_array(coalesce(x->'delay_ms', x->'cap_ms', '0'))) d(ms);
  v_why := CASE
    WHEN (x->>'max_failures')::numeric NOT BETWEEN 1 AND 1000 THEN format('max_failures of %s is not between 1 and 1,000', x->>'max_failures')
    WHEN v_delay > 2592000000 THEN format('a delay of %s ms is longer than 30 days', v_delay)
    WHEN jsonb_array_length(x->'delays_ms') > 100 THEN format('%s delays are more than 100', jsonb_array_length(x->'delays_ms'))
    WHEN (x->>'base_ms')::numeric = 0 THEN 'base_ms of 0 never grows; use a fixed delay'
    WHEN (x->>'base_ms')::numeric > (x->>'cap_ms')::numeric THEN format('base_ms of %s is more than cap_ms of %s', x->>'base_ms', x->>'cap_ms') END;
  IF v_why IS NOT NULL THEN PERFORM windlass.refuse('retry', v_why); END IF;
  RETURN v;
END $$;

CREATE OR REPLACE FUNCTION windlass.check_limits(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE e jsonb; m text[]; v jsonb; v_all jsonb := '[]';
BEGIN
  IF jsonb_typeof(p) <> 'array' THEN
    PERFORM windlass.refuse('limits', windlass.shown(p) || ' is not a list: write ["twilio", "gpu=2"] or [{"name": "twilio"}, {"name": "gpu", "cost": 2}]');
  END IF;
  IF jsonb_array_length(p) > 4 THEN PERFORM windlass.refuse('limits', jsonb_array_length(p) || ' are more than 4'); END IF;
  FOR e IN SELECT * FROM jsonb_array_elements(p) LOOP
    v := e;
    IF jsonb_typeof(e) = 'string' THEN
      m := regexp_match(e #>> '{}', '^([^=]*)=([0-9]{1,10})$');
      v := CASE WHEN m IS NULL THEN jsonb_build_object('name', e) ELSE jsonb_build_object('name', m[1], 'cost', m[2]::numeric) END;
    END IF;
    IF NOT (CASE WHEN jsonb_typeof(v) = 'object' THEN v - '{name,cost}'::text[] = '{}' AND windlass.is_name(v->'name')
      AND windlass.is_whole(coalesce(v->'cost', '1'), 1, 4294967295) ELSE false END) THEN
      PERFORM windlass.refuse('limits', windlass.shown(e) || ' is not a limit: write "twilio", "gpu=2" or {"name": "gpu", "cost": 2}, with a cost from 1 on');
    END IF;
    IF v_all @> jsonb_build_array(jsonb_build_object('name', v->'name')) THEN PERFORM windlass.refuse('limits', (v->>'name') || ' is named twice'); END IF;
    v_all := v_all || v;
  END LOOP;
  RETURN v_all;
END $$;

CREATE OR REPLACE FUNCTION windlass.check_tags(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE e jsonb;
BEGIN
  IF jsonb_typeof(p) <> 'array' THEN PERFORM windlass.refuse('tags', windlass.shown(p) || ' is not a list: write ["eu", "nightly"]'); END IF;
  IF jsonb_array_length(p) > 8 THEN PERFORM windlass.refuse('tags', jsonb_array_length(p) || ' are more than 8'); END IF;
  FOR e IN SELECT * FROM jsonb_array_elements(p) LOOP PERFORM windlass.check_key('tags', e); END LOOP;
  RETURN p;
END $$;

CREATE OR REPLACE FUNCTION windlass.check_unique(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE s jsonb := p->'scope'; v_on text := p->>'on_conflict';
BEGIN
  IF NOT (CASE WHEN jsonb_typeof(p) = 'object' THEN p ? 'key' AND p - '{key,scope,on_conflict}'::text[] = '{}' ELSE false END) THEN
    PERFORM windlass.refuse('unique', windlass.shown(p) || ' is not a unique key: write {"key": "order:7"}, and as wanted "scope" and "on_conflict"');
  END IF;
  PERFORM windlass.check_key('unique.key', p->'key');
  IF NOT coalesce(s IN ('"while_live"', '"until_start"'), true)
    AND NOT (CASE WHEN jsonb_typeof(s) = 'object' AND jsonb_typeof(s->'for') = 'object' THEN s - 'for' = '{}' AND (s->'for') - 'ttl_ms' = '{}'
      AND windlass.is_whole(s->'for'->'ttl_ms', 0, 18446744073709551615) ELSE false END) THEN
    PERFORM windlass.refuse('unique.scope', windlass.shown(s) || ' is none of "while_live", "until_start" and {"for": {"ttl_ms": 3600000}}');
  END IF;
  IF v_on IN ('replace', 'reschedule') THEN
    PERFORM windlass.refuse('unique.on_conflict', format('"%s" changes the holder, which needs locks: it is for the store''s own verb; here there are "existing" and "refuse"', v_on));
  END IF;
  IF p->'on_conflict' NOT IN ('"existing"', '"refuse"') THEN
    PERFORM windlass.refuse('unique.on_conflict', windlass.shown(p->'on_conflict') || ' is none of "existing" and "refuse"');
  END IF;
  RETURN p;
END $$;

-- One job. A field that is null is as if it were left out, but for the payload, which may be any JSON.
CREATE OR REPLACE FUNCTION windlass.check_job(p jsonb, p_now bigint, OUT id uuid, OUT queue text, OUT kind text, OUT payload bytea, OUT grp text, OUT prio smallint, OUT lset text,
  OUT run_at bigint, OUT delay bigint, OUT options jsonb) LANGUAGE plpgsql AS $$
DECLARE j jsonb; v_unknown text; v jsonb; v_at numeric;
BEGIN
  IF jsonb_typeof(p) <> 'object' THEN PERFORM windlass.refuse('job', windlass.shown(p) || ' is not an object: write {"queue": "mail", "kind": "welcome"}'); END IF;
  j := jsonb_strip_nulls(p - 'payload');
  -- A misspelt field must not quietly mean nothing.
  IF j - '{queue,kind,id,group,priority,run_at,delay_ms,expires_at,tags,limits,unique,retry,timeout_ms,trace,parents}'::text[] <> '{}' THEN
    SELECT string_agg(k, ', ') INTO v_unknown FROM jsonb_object_keys(j - '{queue,kind,id,group,priority,run_at,delay_ms,expires_at,tags,limits,unique,retry,timeout_ms,trace,parents}'::text[]) k;
    PERFORM windlass.refuse('job', format('there is no field %s; a job has queue, kind, payload, id, group, priority, run_at, delay_ms, expires_at, tags, limits, unique, retry, timeout_ms, trace', v_unknown));
  END IF;
  queue := windlass.check_name('queue', j->'queue');
  kind := windlass.check_name('kind', j->'kind');
  payload := convert_to(coalesce(p->'payload', '{}')::text, 'UTF8');
  IF octet_length(payload) > 1048576 THEN PERFORM windlass.refuse('payload', octet_length(payload) || ' bytes are more than 1 MiB; store it elsewhere and pass its address'); END IF;
  grp := ''; prio := 0; lset := '';
  IF NOT j ? 'id' THEN
    id := windlass.new_id();
  ELSIF jsonb_typeof(j->'id') <> 'string' OR j->>'id' !~ '^([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}$' THEN
    PERFORM windlass.refuse('id', windlass.shown(j->'id') || ' is not a UUID, as windlass.new_id() makes it');
  ELSE
    id := j->>'id';
    IF id = '00000000-0000-0000-0000-000000000000' THEN PERFORM windlass.refuse('id', 'must not be nil; windlass.new_id() makes one'); END IF;
    -- The first 48 bits are its time.
    IF ('x0000' || translate(left(id::text, 13), '-', ''))::bit(64)::bigint > p_now + 3600000 THEN
      PERFORM windlass.refuse('id', format('%s lies more than 1 h in the future: an id is a UUID of version 7, as windlass.new_id() makes it', id));
    END IF;
  END IF;
  -- Most jobs have nothing else.
  IF j - '{queue,kind,id}'::text[] = '{}' THEN RETURN; END IF;
  grp := coalesce(windlass.check_key('group', j->'group'), '');
  prio := coalesce(windlass.check_whole('priority', j->'priority', -9, 9, 'a whole number from -9 to 9'), 0);
  IF j ? 'run_at' AND j ? 'delay_ms' THEN PERFORM windlass.refuse('delay_ms', 'run_at and delay_ms exclude each other'); END IF;
  v_at := windlass.check_time('run_at', j->'run_at');
  IF v_at > p_now + 316224000000 THEN PERFORM windlass.refuse('run_at', v_at || ' lies more than ten years ahead; it is in milliseconds since 1970'); END IF;
  run_at := v_at;
  delay := windlass.check_whole('delay_ms', j->'delay_ms', 0, 316224000000, 'a delay in whole milliseconds, from 0 to ten years, as 300000');
  IF j ? 'parents' THEN PERFORM windlass.refuse('parents', 'jobs with parents are enqueued by the store''s own verb'); END IF;
  PERFORM windlass.check_time('expires_at', j->'expires_at');
  PERFORM windlass.check_whole('timeout_ms', j->'timeout_ms', 1, 18446744073709551615, 'a time in whole milliseconds from 1 on, as 30000; leave it out for no limit');
  IF jsonb_typeof(j->'trace') <> 'string' OR octet_length(j->>'trace') > 255 THEN
    PERFORM windlass.refuse('trace', windlass.shown(j->'trace') || ' is not text of at most 255 bytes, as "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"');
  END IF;
  IF j ? 'tags' THEN PERFORM windlass.check_tags(j->'tags'); END IF;
  IF j ? 'unique' THEN PERFORM windlass.check_unique(j->'unique'); END IF;
  IF j ? 'retry' THEN j := j || jsonb_build_object('retry', windlass.check_retry(j->'retry')); END IF;
  IF j ? 'limits' THEN
    v := windlass.check_limits(j->'limits');
    j := j || jsonb_build_object('limits', v);
    SELECT coalesce(string_agg(u.l, ',' ORDER BY u.l COLLATE "C"), '') INTO lset FROM
      (SELECT format('%s=%s', x->>'name', coalesce(x->>'cost', '1')) AS l FROM jsonb_array_elements(v) x) u;
  END IF;
  SELECT jsonb_object_agg(o.key, o.value) INTO options FROM jsonb_each(j) o
  WHERE o.key IN ('retry', 'unique', 'limits', 'tags', 'expires_at', 'timeout_ms', 'trace') AND o.value <> '[]';
END $$;
