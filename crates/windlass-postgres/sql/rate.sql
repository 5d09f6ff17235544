-- Rates: the arithmetic of windlass-core's rate.rs, restated exactly. A state is (ms, fraction over the count).

CREATE OR REPLACE FUNCTION windlass.rate_used(p_count bigint, p_period bigint, p_burst bigint, p_tat_ms bigint, p_tat_frac bigint, p_now bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN p_tat_ms < p_now THEN 0
    WHEN p_tat_ms - p_now > p_burst * p_period / p_count THEN p_burst * p_period
    ELSE least((p_tat_ms - p_now) * p_count + least(p_tat_frac, p_count - 1), p_burst * p_period) END $$;

-- Grants the cost and gives the new state, or says when the same question could be granted.
CREATE OR REPLACE FUNCTION windlass.admit(p_count bigint, p_period bigint, p_burst bigint, p_tat_ms bigint, p_tat_frac bigint, p_now bigint, p_cost bigint,
  OUT ok boolean, OUT at bigint, OUT tat_ms bigint, OUT tat_frac bigint) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE v_wanted bigint;
BEGIN
  IF p_count IS NULL THEN
    ok := true; tat_ms := p_tat_ms; tat_frac := p_tat_frac; RETURN;
  END IF;
  IF p_cost > p_burst THEN ok := false; at := 9223372036854775807; RETURN; END IF;
  v_wanted := windlass.rate_used(p_count, p_period, p_burst, p_tat_ms, p_tat_frac, p_now) + p_cost * p_period;
  IF v_wanted > p_burst * p_period THEN
    ok := false; at := p_now + (v_wanted - p_burst * p_period + p_count - 1) / p_count; RETURN;
  END IF;
  ok := true; tat_ms := p_now + v_wanted / p_count; tat_frac := v_wanted % p_count;
END $$;

-- How much could be granted now, together; very many without a rate.
CREATE OR REPLACE FUNCTION windlass.available(p_count bigint, p_period bigint, p_burst bigint, p_tat_ms bigint, p_tat_frac bigint, p_now bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN p_count IS NULL THEN 1000000 ELSE
    (p_burst * p_period - windlass.rate_used(p_count, p_period, p_burst, p_tat_ms, p_tat_frac, p_now)) / p_period END $$;

-- What a rate that was just set starts from: at most one burst of debt, whatever the old one left.
CREATE OR REPLACE FUNCTION windlass.rebased(p_count bigint, p_period bigint, p_burst bigint, INOUT tat_ms bigint, INOUT tat_frac bigint, p_now bigint)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE v_ms bigint; v_frac bigint;
BEGIN
  IF p_count IS NULL THEN RETURN; END IF;
  v_ms := p_now + p_burst * p_period / p_count; v_frac := (p_burst * p_period) % p_count;
  IF (v_ms, v_frac) < (tat_ms, tat_frac) THEN tat_ms := v_ms; tat_frac := v_frac; END IF;
END $$;

-- Whether a queue or group may start one more; if not, when time alone opens it.
CREATE OR REPLACE FUNCTION windlass.queue_open(p_concurrency bigint, p_running bigint, p_hold_until bigint, p_count bigint, p_period bigint, p_burst bigint,
  p_tat_ms bigint, p_tat_frac bigint, p_now bigint, OUT ok boolean, OUT at bigint) LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF p_concurrency IS NOT NULL AND p_running >= p_concurrency THEN ok := false; RETURN; END IF;
  IF p_hold_until > p_now THEN ok := false; at := p_hold_until; RETURN; END IF;
  IF p_count IS NULL THEN ok := true; RETURN; END IF;
  SELECT a.ok, a.at INTO ok, at FROM windlass.admit(p_count, p_period, p_burst, p_tat_ms, p_tat_frac, p_now, 1) a;
END $$;

-- The virtual time after that many jobs at that weight: windlass-core's fair.rs, restated.
CREATE OR REPLACE FUNCTION windlass.charge(p_vt bigint, p_weight bigint, p_jobs bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT p_vt + ((p_vt % 4096 * p_weight / 4096 + p_jobs) * 4096 + p_weight - 1) / p_weight
              - ((p_vt % 4096 * p_weight / 4096) * 4096 + p_weight - 1) / p_weight $$;

-- How many of them fit until then: the most jobs for which `charge` gives no later time.
CREATE OR REPLACE FUNCTION windlass.charges_until(p_vt bigint, p_weight bigint, p_until bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT (p_until - p_vt + ((p_vt % 4096 * p_weight / 4096) * 4096 + p_weight - 1) / p_weight) * p_weight / 4096 - p_vt % 4096 * p_weight / 4096 $$;

-- Retry policies: which one holds, its delay after that many failures, and the number of failures that it allows.
CREATE OR REPLACE FUNCTION windlass.mix(p_h bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE h bigint := p_h;
BEGIN
  h := h # (h >> 16);
  h := ((((h >> 16) * 2246822507) % 65536) * 65536 + (h & 65535) * 2246822507) % 4294967296;
  h := h # (h >> 13);
  h := ((((h >> 16) * 3266489909) % 65536) * 65536 + (h & 65535) * 3266489909) % 4294967296;
  RETURN h # (h >> 16);
END $$;

CREATE OR REPLACE FUNCTION windlass.jitter_bits(p_id uuid, p_failures bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE h bigint := 2654435769; v_hex text := replace(p_id::text, '-', ''); i int;
BEGIN
  FOR i IN 0..3 LOOP
    h := windlass.mix(h # (('x' || lpad(substr(v_hex, i * 8 + 1, 8), 16, '0'))::bit(64)::bigint));
  END LOOP;
  RETURN windlass.mix(h # p_failures) >> 12;
END $$;

-- Whether it is a number without a fraction, in these bounds.
CREATE OR REPLACE FUNCTION windlass.is_whole(p jsonb, p_from numeric, p_most numeric) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN jsonb_typeof(p) = 'number' AND p #>> '{}' ~ '^-?[0-9]{1,20}$' THEN p::numeric BETWEEN p_from AND p_most ELSE false END $$;

-- Whether it has the form of a policy. What has not, written past the checks, must not stop the settlements beside it.
CREATE OR REPLACE FUNCTION windlass.is_policy(p jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE v jsonb; v_kind text; v_u64 numeric := 18446744073709551615; v_u32 numeric := 4294967295;
BEGIN
  IF jsonb_typeof(p) IS DISTINCT FROM 'object' THEN RETURN false; END IF;
  SELECT min(k) INTO v_kind FROM jsonb_object_keys(p) k HAVING count(*) = 1;
  v := p->v_kind;
  IF jsonb_typeof(v) IS DISTINCT FROM 'object' THEN RETURN false; END IF;
  RETURN CASE v_kind
    WHEN 'exponential' THEN v - '{base_ms,cap_ms,max_failures,jitter}'::text[] = '{}' AND windlass.is_whole(v->'base_ms', 0, v_u64) AND windlass.is_whole(v->'cap_ms', 0, v_u64)
      AND windlass.is_whole(v->'max_failures', 0, v_u32) AND coalesce(v->'jitter' IN ('"full"', '"none"'), true)
    WHEN 'fixed' THEN v - '{delay_ms,max_failures}'::text[] = '{}' AND windlass.is_whole(v->'delay_ms', 0, v_u64) AND windlass.is_whole(v->'max_failures', 0, v_u32)
    WHEN 'list' THEN v - 'delays_ms' = '{}' AND CASE jsonb_typeof(v->'delays_ms') WHEN 'array' THEN
      NOT EXISTS (SELECT FROM jsonb_array_elements(v->'delays_ms') d(ms) WHERE NOT windlass.is_whole(d.ms, 0, v_u64)) ELSE false END
    ELSE false END;
END $$;

-- A job's own policy, else its queue's, else the default one, which is written as none.
CREATE OR REPLACE FUNCTION windlass.policy(p_own jsonb, p_queue jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN CASE WHEN windlass.is_policy(p_own) THEN p_own WHEN windlass.is_policy(p_queue) THEN p_queue ELSE '{}' END;
END $$;

CREATE OR REPLACE FUNCTION windlass.retry_delay(p_policy jsonb, p_id uuid, p_failures bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE v jsonb; v_ceiling numeric; v_floor numeric;
BEGIN
  IF p_policy ? 'fixed' THEN RETURN windlass.ms(p_policy->'fixed'->'delay_ms'); END IF;
  IF p_policy ? 'list' THEN
    v := p_policy->'list'->'delays_ms';
    IF jsonb_array_length(v) = 0 THEN RETURN 0; END IF;
    RETURN windlass.ms(v->(least(p_failures, jsonb_array_length(v)) - 1)::int);
  END IF;
  v := coalesce(p_policy->'exponential', '{"base_ms":5000,"cap_ms":1800000}');
  v_ceiling := least((v->>'base_ms')::numeric * power(2::numeric, least(p_failures - 1, 64)), windlass.ms(v->'cap_ms'));
  IF coalesce(v->>'jitter', 'full') = 'none' THEN RETURN v_ceiling; END IF;
  v_floor := greatest(trunc(v_ceiling / 10), 1);
  RETURN v_floor + trunc((greatest(v_ceiling, v_floor) - v_floor + 1) * windlass.jitter_bits(p_id, p_failures) / 1048576);
END $$;

CREATE OR REPLACE FUNCTION windlass.max_failures(p_policy jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE
    WHEN p_policy ? 'fixed' THEN greatest((p_policy->'fixed'->>'max_failures')::bigint, 1)
    WHEN p_policy ? 'list' THEN jsonb_array_length(p_policy->'list'->'delays_ms') + 1
    WHEN p_policy ? 'exponential' THEN greatest((p_policy->'exponential'->>'max_failures')::bigint, 1)
    ELSE 12 END $$;
