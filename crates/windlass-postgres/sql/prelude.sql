-- What every verb uses: the clock, the locks, sums, counts, events, and the refusals in the words of the contract.

-- The store's clock, or the time that a test names.
CREATE OR REPLACE FUNCTION windlass.now_ms(p_at bigint) RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT coalesce(p_at, (extract(epoch FROM clock_timestamp()) * 1000)::bigint) $$;

CREATE OR REPLACE FUNCTION windlass.add(a bigint[], b bigint[]) RETURNS bigint[] LANGUAGE sql IMMUTABLE AS
$$ SELECT ARRAY[a[1]+b[1], a[2]+b[2], a[3]+b[3], a[4]+b[4], a[5]+b[5], a[6]+b[6], a[7]+b[7], a[8]+b[8]] $$;

-- What anybody has brought to that queue and nobody has taken up: 1 jobs, 2 completions, 3 both.
CREATE OR REPLACE FUNCTION windlass.brought(p_queue text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE v_seen xid8;
BEGIN
  SELECT seen INTO v_seen FROM windlass.qstate WHERE queue = p_queue ORDER BY v DESC LIMIT 1;
  v_seen := windlass.seen(coalesce(v_seen, '0'));
  RETURN CASE WHEN EXISTS (SELECT FROM windlass.incoming WHERE queue = p_queue AND xid >= v_seen) THEN 1 ELSE 0 END
    + CASE WHEN EXISTS (SELECT FROM windlass.done WHERE queue = p_queue) THEN 2 ELSE 0 END;
END $$;

-- Transactions before that one can bring nothing any more. A schema that was restored elsewhere may have seen what lies
-- ahead of this server's transactions, and then has seen none of them.
CREATE OR REPLACE FUNCTION windlass.seen(p_seen xid8) RETURNS xid8 LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF p_seen <= pg_snapshot_xmax(pg_current_snapshot()) THEN RETURN p_seen; END IF;
  RETURN '0'::xid8;
END $$;

-- The locks: the namespace shared and each queue by itself, in the order of their keys; or, for what crosses queues in
-- ways nobody can foresee, the whole namespace. All end with the transaction, so any pooler will do.
CREATE OR REPLACE FUNCTION windlass.lock(p_queues text[], p_wide boolean, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_queue text; v_queues text[] := p_queues; v_what int;
BEGIN
  IF p_wide THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('windlass.all', 1));
    PERFORM set_config('windlass.wide', 'on', true);
    FOR v_queue IN SELECT queue FROM windlass.incoming UNION SELECT queue FROM windlass.done LOOP
      PERFORM windlass.take_up(v_queue, 3, p_now);
    END LOOP;
  ELSE
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('windlass.all', 1));
    IF cardinality(v_queues) > 1 THEN
      SELECT array_agg(DISTINCT q) INTO v_queues FROM unnest(v_queues) q;
    END IF;
    IF cardinality(v_queues) = 1 THEN
      PERFORM pg_advisory_xact_lock(hashtextextended('windlass.queue ' || v_queues[1], 2));
    ELSE
      PERFORM pg_advisory_xact_lock(k) FROM (SELECT hashtextextended('windlass.queue ' || q, 2) AS k FROM unnest(v_queues) q ORDER BY 1) keys;
    END IF;
    FOREACH v_queue IN ARRAY v_queues LOOP
      v_what := windlass.brought(v_queue);
      IF v_what > 0 THEN PERFORM windlass.take_up(v_queue, v_what, p_now); END IF;
    END LOOP;
  END IF;
END $$;

-- A queue's lock alone, for what looks at nothing that producers have brought.
CREATE OR REPLACE FUNCTION windlass.hold_queue(p_queue text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('windlass.queue ' || p_queue, 2));
END $$;

CREATE OR REPLACE FUNCTION windlass.is_wide() RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT coalesce(current_setting('windlass.wide', true), '') = 'on' $$;

-- Stops a verb that turns out to cross queues; its caller repeats it under the namespace's lock.
CREATE OR REPLACE FUNCTION windlass.need_wide() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF NOT windlass.is_wide() THEN
    RAISE EXCEPTION 'this verb crosses queues' USING ERRCODE = 'WL001';
  END IF;
END $$;

-- Named limits cross queues: whoever looks at one holds this lock, always after the queues'.
CREATE OR REPLACE FUNCTION windlass.lock_limits() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF NOT windlass.is_wide() THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('windlass.limits', 3));
  END IF;
END $$;

-- Something of the queue may have become claimable: whoever waits for it is rung when the verb is done.
CREATE OR REPLACE FUNCTION windlass.touch(p_queue text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_all text := coalesce(current_setting('windlass.touched', true), '');
BEGIN
  IF position(E'\n' || p_queue || E'\n' in v_all) = 0 THEN
    PERFORM set_config('windlass.touched', v_all || E'\n' || p_queue || E'\n', true);
  END IF;
END $$;

-- The holder of that lease should hear of it.
CREATE OR REPLACE FUNCTION windlass.notice(p_worker bigint, p_job uuid, p_attempt int, p_counter bigint, p_nonce bigint, p_deadline bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_all text := coalesce(nullif(current_setting('windlass.notices', true), ''), '[]');
BEGIN
  PERFORM set_config('windlass.notices', (v_all::jsonb ||
    jsonb_build_array(jsonb_build_array(p_worker, p_job, p_attempt, p_counter, p_nonce, p_deadline)))::text, true);
END $$;

CREATE OR REPLACE FUNCTION windlass.ensure_queue(p_queue text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT v FROM windlass.qstate WHERE queue = p_queue ORDER BY v DESC LIMIT 1) IS NULL THEN
    INSERT INTO windlass.queue (name) VALUES (p_queue) ON CONFLICT DO NOTHING;
    IF FOUND THEN INSERT INTO windlass.qstate (queue) VALUES (p_queue); END IF;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION windlass.ensure_grp(p_queue text, p_key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- The newest first, as always.
  IF (SELECT v FROM windlass.grp WHERE queue = p_queue AND key = p_key ORDER BY v DESC LIMIT 1) IS NULL THEN
    INSERT INTO windlass.grp (queue, key, vt, ordered)
    SELECT p_queue, p_key, s.floor, q.g_ordered FROM windlass.qstate s JOIN windlass.queue q ON q.name = s.queue
    WHERE s.queue = p_queue ON CONFLICT DO NOTHING;
  END IF;
END $$;

-- Counts of a queue and its group.
CREATE OR REPLACE FUNCTION windlass.count(p_queue text, p_grp text, p_by bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE windlass.grp SET counts = windlass.add(counts, p_by) WHERE queue = p_queue AND key = p_grp;
  UPDATE windlass.qstate SET counts = windlass.add(counts, p_by) WHERE queue = p_queue;
END $$;

CREATE OR REPLACE FUNCTION windlass.moved(p_from int, p_to int, p_n bigint) RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE v bigint[] := '{0,0,0,0,0,0,0,0}';
BEGIN
  IF p_from IS NOT NULL THEN v[p_from + 1] := v[p_from + 1] - p_n; END IF;
  IF p_to IS NOT NULL THEN v[p_to + 1] := v[p_to + 1] + p_n; END IF;
  RETURN v;
END $$;

-- Totals: 1 enqueued, 2 claimed, 3 completed, 4 failed, 5 died, 6 lost, 7 snoozed, 8 released, 9 no handler, 10 cancelled.
CREATE OR REPLACE FUNCTION windlass.total(p_queue text, p_which int, p_n bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE windlass.qstate SET totals[p_which] = totals[p_which] + p_n WHERE queue = p_queue;
END $$;

-- Charts: 0 enqueued, 1 completed, 2 failed; by second, minute and hour.
CREATE OR REPLACE FUNCTION windlass.chart(p_queue text, p_what int, p_at bigint, p_n bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO windlass.series (queue, what, width, slot, n)
  VALUES (p_queue, p_what, 1000, p_at / 1000, p_n), (p_queue, p_what, 60000, p_at / 60000, p_n),
         (p_queue, p_what, 3600000, p_at / 3600000, p_n)
  ON CONFLICT (queue, what, width, slot) DO UPDATE SET n = series.n + excluded.n;
END $$;

-- The bucket of a duration: below 4 itself, from there four to each power of two, as in the core's histogram. The list holds
-- where each bucket begins.
CREATE OR REPLACE FUNCTION windlass.bucket(p_ms bigint) RETURNS smallint LANGUAGE sql IMMUTABLE AS $$
  SELECT width_bucket(greatest(p_ms, 0), '{1,2,3,4,5,6,7,8,10,12,14,16,20,24,28,32,40,48,56,64,80,96,112,128,160,192,224,256,320,384,448,512,640,768,896,
    1024,1280,1536,1792,2048,2560,3072,3584,4096,5120,6144,7168,8192,10240,12288,14336,16384,20480,24576,28672,
    32768,40960,49152,57344,65536,81920,98304,114688,131072,163840,196608,229376,262144,327680,393216,458752,
    524288,655360,786432,917504,1048576,1310720,1572864,1835008,2097152,2621440,3145728,3670016,4194304,5242880,
    6291456,7340032,8388608,10485760,12582912,14680064,16777216,20971520,25165824,29360128,33554432,41943040,
    50331648,58720256,67108864,83886080,100663296,117440512,134217728,167772160,201326592,234881024,268435456,
    335544320,402653184,469762048,536870912,671088640,805306368,939524096,1073741824,1342177280,1610612736,
    1879048192,2147483648,2684354560,3221225472,3758096384,4294967296,5368709120,6442450944,7516192768,8589934592,
    10737418240,12884901888,15032385536,17179869184,21474836480,25769803776,30064771072,34359738368,42949672960,
    51539607552,60129542144,68719476736,85899345920,103079215104,120259084288,137438953472,171798691840,
    206158430208,240518168576,274877906944,343597383680,412316860416,481036337152,549755813888,687194767360,
    824633720832,962072674304,1099511627776,1374389534720,1649267441664,1924145348608,2199023255552,2748779069440,
    3298534883328,3848290697216}'::bigint[])::smallint $$;

-- Folds what batches have added to charts and histograms, once a second.
CREATE OR REPLACE FUNCTION windlass.fold(p_queue text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_from bigint; v_to bigint;
BEGIN
  SELECT folded INTO v_from FROM windlass.qstate WHERE queue = p_queue AND folded_at <> p_now / 1000 ORDER BY v DESC LIMIT 1;
  IF NOT FOUND THEN RETURN; END IF;
  WITH gone AS MATERIALIZED (DELETE FROM windlass.pulse WHERE queue = p_queue AND id > v_from RETURNING *),
  charts AS (INSERT INTO windlass.series (queue, what, width, slot, n)
    SELECT p_queue, what, w, at / w, sum(n) FROM gone, unnest(ARRAY[1000, 60000, 3600000]) w WHERE what IS NOT NULL GROUP BY 2, 3, 4 ORDER BY 2, 3, 4
    ON CONFLICT (queue, what, width, slot) DO UPDATE SET n = series.n + excluded.n),
  bars AS (INSERT INTO windlass.hist (queue, what, bucket, n)
    SELECT p_queue, g.hist, u.bucket, sum(u.n) FROM gone g CROSS JOIN LATERAL unnest(g.buckets, g.ns) u(bucket, n) GROUP BY 2, 3 ORDER BY 2, 3
    ON CONFLICT (queue, what, bucket) DO UPDATE SET n = hist.n + excluded.n)
  SELECT max(id) INTO v_to FROM gone;
  UPDATE windlass.qstate SET folded = coalesce(v_to, folded), folded_at = p_now / 1000 WHERE queue = p_queue
    AND v = (SELECT v FROM windlass.qstate WHERE queue = p_queue ORDER BY v DESC LIMIT 1);
END $$;

-- Durations: 0 waited, 1 ran.
CREATE OR REPLACE FUNCTION windlass.measured(p_queue text, p_what int, p_ms bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO windlass.hist (queue, what, bucket, n)
  SELECT p_queue, p_what, windlass.bucket(ms), sum(n) FROM
    (SELECT ms, count(*) AS n FROM unnest(p_ms) ms GROUP BY ms) each GROUP BY 3 ORDER BY 3
  ON CONFLICT (queue, what, bucket) DO UPDATE SET n = hist.n + excluded.n;
  IF p_what = 0 THEN
    UPDATE windlass.qstate SET wait_sum = wait_sum + (SELECT sum(greatest(ms, 0)) FROM unnest(p_ms) ms),
      wait_max = greatest(wait_max, (SELECT max(ms) FROM unnest(p_ms) ms)) WHERE queue = p_queue;
  ELSE
    UPDATE windlass.qstate SET run_sum = run_sum + (SELECT sum(greatest(ms, 0)) FROM unnest(p_ms) ms),
      run_max = greatest(run_max, (SELECT max(ms) FROM unnest(p_ms) ms)) WHERE queue = p_queue;
  END IF;
END $$;

CREATE OR REPLACE FUNCTION windlass.tell(p_now bigint, p_type int, p_cause int, p_queue text, p_job uuid, p_kind text, p_grp text,
  p_attempt int, p_worker bigint DEFAULT NULL, p_text text DEFAULT NULL, p_result bytea DEFAULT NULL)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO windlass.event (at, worker, type, cause, queue, jobs, kinds, grps, attempts, texts, results) VALUES
    (p_now, p_worker, p_type, p_cause, p_queue, ARRAY[p_job], ARRAY[p_kind],
     CASE WHEN p_grp <> '' THEN ARRAY[p_grp] END, ARRAY[p_attempt],
     CASE WHEN p_text <> '' THEN ARRAY[p_text] END, CASE WHEN p_result IS NOT NULL THEN ARRAY[p_result] END);
END $$;

CREATE OR REPLACE FUNCTION windlass.invalid(p_what text, p_why text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('code', 'invalid', 'what', p_what, 'why', p_why) $$;
CREATE OR REPLACE FUNCTION windlass.stale() RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT '{"code":"stale"}'::jsonb $$;
CREATE OR REPLACE FUNCTION windlass.not_found(p_what text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('code', 'not_found', 'what', p_what) $$;
CREATE OR REPLACE FUNCTION windlass.state_name(p_state int) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT (ARRAY['scheduled','ready','running','retrying','blocked','completed','dead','cancelled'])[p_state + 1] $$;
CREATE OR REPLACE FUNCTION windlass.wrong_state(p_verb text, p_state int) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('code', 'wrong_state', 'verb', p_verb, 'state', windlass.state_name(p_state)) $$;

-- One text for all when all are the same.
CREATE OR REPLACE FUNCTION windlass.same(p_all text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN p_all[1] = ALL (p_all) THEN p_all[1:1] ELSE p_all END $$;

-- What a call owes those who wait: [queue, jobs] to ring and the leases to tell of.
CREATE OR REPLACE FUNCTION windlass.owed(p_now bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  v_rings jsonb := '[]'; v_touched text := coalesce(current_setting('windlass.touched', true), ''); v_woken text := coalesce(current_setting('windlass.woken', true), '');
  v_queue text; q record; c record; v_room bigint; v_open record;
BEGIN
  FOREACH v_queue IN ARRAY string_to_array(v_touched, E'\n') LOOP
    CONTINUE WHEN v_queue = '';
    SELECT * INTO q FROM windlass.qstate WHERE queue = v_queue ORDER BY v DESC LIMIT 1;
    CONTINUE WHEN NOT FOUND OR q.counts[2] = 0;
    SELECT * INTO c FROM windlass.queue WHERE name = v_queue;
    v_room := least(q.counts[2], c.concurrency - q.counts[3]);
    CONTINUE WHEN c.paused OR v_room <= 0 OR NOT EXISTS (SELECT FROM windlass.in_order(v_queue, q.front_entry, q.front_vt, q.front_key, 1));
    SELECT * INTO v_open FROM windlass.queue_open(c.concurrency, q.counts[3], q.hold_until, c.rate_count, c.rate_period, c.rate_burst, q.tat_ms, q.tat_frac, p_now);
    IF v_open.ok THEN
      v_rings := v_rings || jsonb_build_array(jsonb_build_array(v_queue, v_room));
    ELSIF v_open.at IS NOT NULL THEN
      UPDATE windlass.qstate SET timer_at = v_open.at WHERE queue = v_queue;
    END IF;
  END LOOP;
  IF v_woken <> '' THEN
    FOR v_queue IN SELECT DISTINCT t FROM unnest(string_to_array(v_woken, E'\n')) t WHERE t <> '' LOOP
      v_rings := v_rings || jsonb_build_array(jsonb_build_array(v_queue, 1));
    END LOOP;
  END IF;
  RETURN jsonb_build_object('rings', v_rings, 'notices',
    coalesce(nullif(current_setting('windlass.notices', true), ''), '[]')::jsonb);
END $$;
