-- What people ask. Nothing here changes anything.

CREATE OR REPLACE FUNCTION windlass.cause_name(p int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT (ARRAY['none','fatal','exhausted','lost','expired','parent_failed','requested','grace_over','no_handler','shutdown','rate_limited','retention','restart','unique'])[p + 1] $$;

CREATE OR REPLACE FUNCTION windlass.hex(p bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(to_hex(p), 16, '0') $$;

-- What a list shows of a job.
CREATE OR REPLACE FUNCTION windlass.view(p_id uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('id', j.id, 'state', windlass.state_name(s.state), 'queue', j.queue, 'kind', j.kind, 'group', nullif(j.grp, ''),
    'priority', j.prio, 'tags', coalesce(j.options->'tags', '[]'), 'attempt', s.attempt, 'failures', coalesce(x.failures, 0), 'losses', coalesce(x.losses, 0),
    'snoozes', coalesce(x.snoozes, 0), 'enqueued_at', j.at, 'since', s.since, 'last_error', x.last_error, 'fingerprint', windlass.hex(x.fingerprint),
    'cause', CASE WHEN coalesce(x.cause, 0) <> 0 THEN windlass.cause_name(x.cause) WHEN s.state = 7 THEN 'requested' END)
  FROM windlass.job j CROSS JOIN LATERAL windlass.spot_of(j.id) s LEFT JOIN windlass.extra x ON x.job = j.id WHERE j.id = p_id $$;

CREATE OR REPLACE FUNCTION windlass.get(p_id uuid) RETURNS TABLE (view jsonb, detail jsonb, payload bytea, result bytea, checkpoint bytea) LANGUAGE sql STABLE AS $$
  SELECT windlass.view(j.id), jsonb_build_object('options', j.options, 'percent', x.percent, 'message', x.message,
      'done', EXISTS (SELECT FROM windlass.done f WHERE f.job = j.id),
      'children', (SELECT coalesce(jsonb_agg(c.child ORDER BY c.n), '[]') FROM windlass.edge c WHERE c.parent = j.id AND EXISTS (SELECT FROM windlass.job k WHERE k.id = c.child)),
      'attempts', (SELECT coalesce(jsonb_agg(jsonb_build_array(a.attempt, a.worker, a.started_at, a.ended_at, a.outcome, a.error) ORDER BY a.attempt), '[]') FROM windlass.attempt a WHERE a.job = j.id),
      'completed', CASE WHEN r.done_at > 0 THEN jsonb_build_array(r.attempt, r.worker, r.started_at, r.done_at) END,
      'lease', CASE WHEN r.done_at = 0 THEN jsonb_build_array(r.attempt, r.worker, r.started_at, r.deadline, r.grace_until > 0) END),
    j.payload, r.result, x.checkpoint
  FROM windlass.job j LEFT JOIN windlass.extra x ON x.job = j.id LEFT JOIN windlass.run r ON r.job = j.id WHERE j.id = p_id $$;

-- What the first of these jobs bring to their handlers, up to so many bytes of payload, but one at least.
CREATE OR REPLACE FUNCTION windlass.bodies(p_ids uuid[], p_bytes bigint) RETURNS TABLE (payload bytea, prio smallint, options jsonb) LANGUAGE sql STABLE AS $$
  SELECT x.payload, x.prio, x.options FROM (SELECT u.n, j.payload, j.prio, j.options, sum(coalesce(octet_length(j.payload), 0)) OVER (ORDER BY u.n) AS bytes
    FROM unnest(p_ids) WITH ORDINALITY u(id, n) LEFT JOIN windlass.job j ON j.id = u.id) x WHERE x.n = 1 OR x.bytes <= p_bytes ORDER BY x.n $$;

-- The jobs of a queue that has at most 1,000, from wherever one may stand; none of a larger one, nor where some wait for
-- parents: those stand in no order of queues.
CREATE OR REPLACE FUNCTION windlass.few_of(p_queue text) RETURNS uuid[] LANGUAGE plpgsql STABLE AS $$
DECLARE v_most CONSTANT int := 1000; v_jobs uuid[];
BEGIN
  IF (SELECT s.counts[5] FROM windlass.qstate s WHERE s.queue = p_queue ORDER BY s.v DESC LIMIT 1) > 0 THEN RETURN NULL; END IF;
  SELECT array_agg(x.job) INTO v_jobs FROM (
    SELECT u.job FROM windlass.incoming i CROSS JOIN LATERAL unnest(i.jobs) u(job) WHERE i.queue = p_queue
    UNION ALL SELECT r.job FROM windlass.ready r WHERE r.queue = p_queue AND r.job IS NOT NULL
    UNION ALL SELECT u.job FROM windlass.ready r CROSS JOIN LATERAL unnest(r.jobs) u(job) WHERE r.queue = p_queue AND r.jobs IS NOT NULL
    UNION ALL SELECT d.job FROM windlass.deferred d WHERE d.queue = p_queue
    UNION ALL SELECT u.job FROM windlass.term t CROSS JOIN LATERAL unnest(t.jobs) u(job) WHERE t.queue = p_queue
    UNION ALL SELECT e.job FROM windlass.ended e WHERE e.queue = p_queue
    UNION ALL SELECT u.job FROM windlass.finished f CROSS JOIN LATERAL unnest(f.jobs) u(job) WHERE f.queue = p_queue
    LIMIT v_most + 1) x;
  RETURN CASE WHEN coalesce(cardinality(v_jobs), 0) <= v_most THEN coalesce(v_jobs, '{}') END;
END $$;

-- One page of jobs, and a last row where it would go on. Ended jobs of one queue and state come newest first; anything
-- else by id, in a small queue without a look at the jobs of others.
CREATE OR REPLACE FUNCTION windlass.list(p jsonb, p_after uuid, p_before bigint, p_limit int, p_budget bigint, p_needle bytea)
RETURNS TABLE (view jsonb, id uuid, seq bigint, n bigint, matches boolean) LANGUAGE plpgsql STABLE AS $$
DECLARE v_states int[] := ARRAY(SELECT array_position(ARRAY['scheduled','ready','running','retrying','blocked','completed','dead','cancelled'], x) - 1 FROM jsonb_array_elements_text(coalesce(p->'states', '[]')) x);
  r record; v_got int := 0; v_queue text := p->>'queue'; v_rows refcursor; v_few uuid[];
BEGIN
  n := 0;
  IF v_queue IS NOT NULL AND v_states = '{5}' THEN
    -- Completions stand in rows of up to 1,000; a place among them is the row's number and the place in it.
    OPEN v_rows FOR SELECT u.job, f.seq * 1024 + u.n AS seq FROM (SELECT o.* FROM windlass.finished o
        WHERE o.queue = v_queue AND o.seq <= coalesce(p_before / 1024, 9223372036854775807) ORDER BY o.seq DESC LIMIT p_budget + 2) f
      CROSS JOIN LATERAL unnest(f.jobs) WITH ORDINALITY u(job, n)
      WHERE f.seq * 1024 + u.n < coalesce(p_before, 9223372036854775807) ORDER BY 2 DESC LIMIT p_budget + 1;
  ELSIF v_queue IS NOT NULL AND v_states = '{7}' THEN
    OPEN v_rows FOR SELECT e.job, e.seq FROM windlass.ended e WHERE e.queue = v_queue AND e.state = v_states[1] AND NOT e.shut
      AND e.seq < coalesce(p_before, 9223372036854775807) ORDER BY e.seq DESC LIMIT p_budget + 1;
  ELSE
    IF v_queue IS NOT NULL THEN v_few := windlass.few_of(v_queue); END IF;
    IF v_few IS NOT NULL THEN
      OPEN v_rows FOR SELECT j.id AS job, 0::bigint AS seq FROM windlass.job j
        WHERE j.id = ANY (v_few) AND j.queue = v_queue AND j.id > coalesce(p_after, '00000000-0000-0000-0000-000000000000') ORDER BY j.id LIMIT p_budget + 1;
    ELSE
      OPEN v_rows FOR SELECT j.id AS job, 0::bigint AS seq FROM windlass.job j
        WHERE j.id > coalesce(p_after, '00000000-0000-0000-0000-000000000000') ORDER BY j.id LIMIT p_budget + 1;
    END IF;
  END IF;
  LOOP
    FETCH v_rows INTO r;
    EXIT WHEN NOT FOUND;
    id := r.job; seq := r.seq; view := NULL;
    IF n >= p_budget OR v_got >= p_limit THEN
      matches := NULL;
      RETURN NEXT;
      EXIT;
    END IF;
    n := n + 1;
    matches := windlass.passes(r.job, p, v_states, p_needle);
    IF matches THEN
      view := windlass.view(r.job);
      v_got := v_got + 1;
    END IF;
    RETURN NEXT;
  END LOOP;
  CLOSE v_rows;
END $$;

-- Whether a job passes a filter.
CREATE OR REPLACE FUNCTION windlass.passes(p_id uuid, p jsonb, p_states int[], p_needle bytea) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT coalesce((SELECT
    (p->>'queue' IS NULL OR j.queue = p->>'queue') AND (p->>'group' IS NULL OR j.grp = p->>'group') AND (p->>'kind' IS NULL OR j.kind = p->>'kind')
    AND (p->>'after' IS NULL OR j.at >= (p->>'after')::numeric) AND (p->>'before' IS NULL OR j.at < (p->>'before')::numeric)
    AND (p->>'tag' IS NULL OR coalesce(j.options->'tags' ? (p->>'tag'), false)) AND (p_needle IS NULL OR position(p_needle IN j.payload) > 0)
    AND (p_states = '{}' OR windlass.state_of(j.id) = ANY (p_states))
    AND (p->>'fingerprint' IS NULL OR coalesce(windlass.hex(x.fingerprint) = p->>'fingerprint', false))
    AND (p->>'error_contains' IS NULL OR coalesce(position(p->>'error_contains' IN x.last_error) > 0, false))
  FROM windlass.job j LEFT JOIN windlass.extra x ON x.job = j.id WHERE j.id = p_id), false) $$;

CREATE OR REPLACE FUNCTION windlass.list_ids(p jsonb, p_ids uuid[], p_needle bytea) RETURNS TABLE (view jsonb, n bigint) LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN windlass.passes(u.id, p, ARRAY(SELECT array_position(ARRAY['scheduled','ready','running','retrying','blocked','completed','dead','cancelled'], x) - 1
    FROM jsonb_array_elements_text(coalesce(p->'states', '[]')) x), p_needle) THEN windlass.view(u.id) END, u.n
  FROM unnest(p_ids) WITH ORDINALITY u(id, n) ORDER BY u.n $$;

CREATE OR REPLACE FUNCTION windlass.hist_of(p_queue text, p_what int, p_sum numeric, p_max bigint) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_array(p_sum::bigint, p_max) || coalesce(jsonb_agg(v ORDER BY bucket, k), '[]') FROM
    (SELECT h.bucket, x.k, x.v FROM (SELECT bucket, sum(n)::bigint AS n FROM windlass.hist_now WHERE queue = p_queue AND what = p_what GROUP BY bucket) h
     CROSS JOIN LATERAL (VALUES (0, h.bucket::bigint), (1, h.n)) x(k, v)) y $$;

CREATE OR REPLACE FUNCTION windlass.queues(p_at bigint, p_name text) RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('name', q.name, 'settings', q.settings, 'counts', to_jsonb(s.counts), 'totals', to_jsonb(s.totals),
    'oldest_ready', CASE WHEN s.counts[2] > 0 THEN (SELECT r.since FROM windlass.ready r WHERE r.queue = q.name ORDER BY r.queue, r.seq + 0 LIMIT 1) END,
    'groups', (SELECT count(*) FROM windlass.grp WHERE queue = q.name),
    'wait_ms', windlass.hist_of(q.name, 0, s.wait_sum, s.wait_max), 'run_ms', windlass.hist_of(q.name, 1, s.run_sum, s.run_max),
    'completed_last_minute', (SELECT coalesce(sum(n), 0) FROM windlass.series_now WHERE queue = q.name AND what = 1 AND width = 1000 AND slot > windlass.now_ms(p_at) / 1000 - 60))
  FROM windlass.queue q JOIN windlass.qstate s ON s.queue = q.name WHERE p_name IS NULL OR q.name = p_name ORDER BY q.name $$;

CREATE OR REPLACE FUNCTION windlass.series_of(p_at bigint, p_queue text) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT CASE WHEN EXISTS (SELECT FROM windlass.queue WHERE name = p_queue) THEN
    (SELECT coalesce(jsonb_agg(jsonb_build_array(what, width, slot * width, n) ORDER BY what, width, slot), '[]') FROM
     (SELECT what, width, slot, sum(n)::bigint AS n FROM windlass.series_now WHERE queue = p_queue
      AND slot > windlass.now_ms(p_at) / width - CASE width WHEN 1000 THEN 300 WHEN 60000 THEN 1440 ELSE 168 END GROUP BY what, width, slot) x) END $$;

-- Without those whose key is none, as below.
CREATE OR REPLACE FUNCTION windlass.groups(p_at bigint, p_queue text, p_after text, p_limit int) RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('key', nullif(g.key, ''), 'settings', coalesce(g.own, q.settings->'groups', '{}'), 'own_settings', g.own IS NOT NULL, 'counts', to_jsonb(g.counts),
    'claimed', g.claimed, 'held_until', CASE WHEN g.hold_until > windlass.now_ms(p_at) THEN g.hold_until END,
    'shut_by', CASE WHEN g.ordered THEN (SELECT e.job FROM windlass.ended e WHERE e.job = windlass.head(g.queue, g.key) AND e.state = 6) END)
  FROM windlass.grp g JOIN windlass.queue q ON q.name = g.queue WHERE g.queue = p_queue AND (p_after IS NULL OR g.key > p_after)
    AND g.key !~ '[\u0001-\u001f\u007f-\u009f]' ORDER BY g.key LIMIT p_limit $$;

-- Without those whose name is none: jobs that were written past the checks have named them.
CREATE OR REPLACE FUNCTION windlass.limits(p_at bigint, p_after text, p_limit int) RETURNS SETOF jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('name', l.name, 'settings', coalesce(l.settings, '{}'), 'in_use', greatest(l.in_use, 0),
    'waiting_lanes', (SELECT count(*) FROM windlass.lane WHERE standing = 2 AND at_limit = l.name),
    'closed_until', (SELECT o.at FROM windlass.queue_open(l.concurrency, l.in_use, l.hold_until, l.rate_count, l.rate_period, l.rate_burst, l.tat_ms, l.tat_frac, windlass.now_ms(p_at)) o WHERE NOT o.ok))
  FROM windlass.lim l WHERE (p_after IS NULL OR l.name > p_after) AND windlass.is_name(to_jsonb(l.name)) ORDER BY l.name LIMIT p_limit $$;

-- Why is it not running? Read from where the job stands: [reason, detail, eta, ahead].
-- The reason, a sentence, an ETA, jobs ahead; of a concurrency that is full the facts, as windlass-core's why.rs words them.
CREATE OR REPLACE FUNCTION windlass.why(p_at bigint, p_id uuid) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_now bigint := windlass.now_ms(p_at); s windlass.spot := windlass.spot_of(p_id); x windlass.extra; q record; g windlass.grp; v_open record; h windlass.spot;
  v_ahead bigint; a windlass.lane; l windlass.lim; v_limit text; v_at bigint; v_cost bigint; v_head uuid;
BEGIN
  IF s.id IS NULL THEN RETURN NULL; END IF;
  SELECT * INTO x FROM windlass.extra WHERE job = p_id;
  IF s.state = 2 THEN RETURN jsonb_build_array('running', format('attempt %s since %s', s.attempt, windlass.clock(s.since)), NULL, NULL); END IF;
  IF s.state >= 5 THEN RETURN jsonb_build_array('ended', format('%s at %s', windlass.state_name(s.state), windlass.clock(s.since)), NULL, NULL); END IF;
  IF s.state = 3 THEN
    RETURN jsonb_build_array('retry_backoff', format('failed %s and was lost %s times; last error: %s', x.failures, x.losses, coalesce(x.last_error, 'none')), s.since, NULL);
  END IF;
  IF s.state = 0 AND s.why = 2 THEN
    RETURN jsonb_build_array('no_handler', format('given back %s times: no worker that claimed it knows kind %s, or its payload does not decode, and then the attempt''s log says why',
      x.no_handler, s.kind), s.since, NULL);
  END IF;
  IF s.state = 0 AND s.why = 1 THEN RETURN jsonb_build_array('snoozed', coalesce(x.reason, 'postponed by its worker'), s.since, NULL); END IF;
  IF s.state = 0 THEN RETURN jsonb_build_array('scheduled', 'due at ' || windlass.clock(s.since), s.since, NULL); END IF;
  IF s.state = 4 THEN
    RETURN jsonb_build_array('waiting_on_parents', 'waits for ' || (SELECT coalesce(string_agg(w.parent::text, ', '), '') FROM (SELECT e.parent FROM windlass.edge e
      WHERE e.child = p_id AND NOT coalesce(windlass.released_by(windlass.state_of(e.parent), e.always), true) ORDER BY e.n LIMIT 3) w), NULL, NULL);
  END IF;
  SELECT * INTO q FROM windlass.queue c JOIN windlass.qstate t ON t.queue = c.name WHERE c.name = s.queue;
  SELECT * INTO g FROM windlass.grp WHERE queue = s.queue AND key = s.grp;
  IF q.paused THEN RETURN jsonb_build_array('queue_paused', format('queue %s is paused', s.queue), NULL, NULL); END IF;
  v_head := windlass.head(s.queue, s.grp);
  IF g.ordered AND v_head <> s.id THEN
    h := windlass.spot_of(v_head);
    RETURN jsonb_build_array('ordered_behind', format('its group goes in order; %s is before it (%s)', v_head, windlass.state_name(h.state)), NULL, NULL);
  END IF;
  IF q.counts[3] >= q.concurrency THEN
    RETURN jsonb_build_object('queue', jsonb_build_object('queue', s.queue, 'most', q.concurrency));
  END IF;
  SELECT * INTO v_open FROM windlass.queue_open(q.concurrency, q.counts[3], q.hold_until, q.rate_count, q.rate_period, q.rate_burst, q.tat_ms, q.tat_frac, v_now);
  IF NOT v_open.ok THEN RETURN jsonb_build_array('rate_limited', format('the rate of queue %s is used up, or it is held', s.queue), v_open.at, NULL); END IF;
  SELECT * INTO v_open FROM windlass.queue_open(CASE WHEN g.own IS NULL THEN q.g_concurrency ELSE g.concurrency END, g.counts[3], g.hold_until,
    CASE WHEN g.own IS NULL THEN q.g_rate_count ELSE g.rate_count END, CASE WHEN g.own IS NULL THEN q.g_rate_period ELSE g.rate_period END,
    CASE WHEN g.own IS NULL THEN q.g_rate_burst ELSE g.rate_burst END, g.tat_ms, g.tat_frac, v_now);
  IF NOT v_open.ok AND v_open.at IS NULL THEN
    RETURN jsonb_build_object('group', jsonb_build_object('queue', s.queue, 'most', CASE WHEN g.own IS NULL THEN q.g_concurrency ELSE g.concurrency END, 'running', g.counts[3]));
  END IF;
  IF NOT v_open.ok THEN RETURN jsonb_build_array('rate_limited', 'the rate of its group is used up, or it is held', v_open.at, NULL); END IF;
  IF s.lset <> '' THEN
    SELECT * INTO a FROM windlass.lane WHERE queue = s.queue AND grp = s.grp AND prio = s.prio AND lset = s.lset;
    SELECT o.refuses, o.at INTO v_limit, v_at FROM windlass.limits_open(s.lset, v_now) o;
    IF a.standing = 2 AND NOT EXISTS (SELECT FROM windlass.wake WHERE queue = s.queue AND lim = a.at_limit) THEN v_limit := coalesce(v_limit, a.at_limit); END IF;
    IF v_limit IS NOT NULL THEN
      SELECT * INTO l FROM windlass.lim WHERE name = v_limit;
      v_cost := windlass.cost(s.lset, v_limit);
      IF l.in_use + v_cost > l.concurrency THEN
        RETURN jsonb_build_object('limit', jsonb_build_object('limit', v_limit, 'most', l.concurrency, 'in_use', l.in_use, 'cost', v_cost));
      END IF;
      RETURN jsonb_build_array('rate_limited', format('the rate of limit %s is used up, or it is held', v_limit), coalesce(v_at, CASE WHEN l.timer_at > v_now THEN l.timer_at END), NULL);
    END IF;
  END IF;
  IF q.counts[3] = 0 AND NOT EXISTS (SELECT FROM windlass.worker w, jsonb_array_elements(w.hello->'queues') k WHERE k->>0 = s.queue AND (k->>1)::bigint > 0
      AND (w.seen_at >= v_now - 60000 OR EXISTS (SELECT FROM windlass.term t WHERE t.worker = w.id AND t.held > 0))) THEN
    RETURN jsonb_build_array('no_worker', format('no worker asks for queue %s', s.queue), NULL, NULL);
  END IF;
  SELECT coalesce(sum(b.n), 0) INTO v_ahead FROM (SELECT CASE WHEN seq = s.seq THEN coalesce(array_position(jobs, s.id), 1) - 1 ELSE coalesce(cardinality(jobs), 1) END AS n
    FROM windlass.ready WHERE queue = s.queue AND grp = s.grp AND lset = s.lset AND prio = s.prio AND seq <= s.seq LIMIT 10000) b;
  RETURN jsonb_build_array('fair_share', format('its turn comes: weight %s, priority %s', CASE WHEN g.own IS NULL THEN q.g_weight ELSE g.weight END, s.prio), NULL, v_ahead);
END $$;

CREATE OR REPLACE FUNCTION windlass.clock(p_ms bigint) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT to_char(to_timestamp(p_ms / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') $$;

-- Whether something of these queues could be claimed now.
CREATE OR REPLACE FUNCTION windlass.has_work(p_at bigint, p_queues text[]) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN EXISTS (SELECT FROM windlass.incoming i LEFT JOIN windlass.queue q ON q.name = i.queue WHERE i.queue = ANY (p_queues) AND i.state = 1 AND NOT coalesce(q.paused, false))
    OR EXISTS (SELECT FROM windlass.queue q JOIN windlass.qstate s ON s.queue = q.name WHERE q.name = ANY (p_queues) AND NOT q.paused
      AND EXISTS (SELECT FROM windlass.in_order(q.name, s.front_entry, s.front_vt, s.front_key, 1))
      AND (windlass.queue_open(q.concurrency, s.counts[3], s.hold_until, q.rate_count, q.rate_period, q.rate_burst, s.tat_ms, s.tat_frac, windlass.now_ms(p_at))).ok);
END $$;

-- How far the event log can be read, and how far it has been written: transactions below the first get no more events.
CREATE OR REPLACE FUNCTION windlass.event_horizon(OUT horizon bigint, OUT written bigint, OUT newest bigint, OUT trimmed bigint) LANGUAGE sql VOLATILE AS $$
  SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint, coalesce((SELECT xid FROM windlass.event ORDER BY xid DESC, id DESC LIMIT 1)::text::bigint, 0),
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint, (SELECT t.trimmed::text::bigint FROM windlass.schema t) $$;

CREATE OR REPLACE FUNCTION windlass.events(p_place bigint, p_index bigint, p_horizon bigint, p_limit bigint)
RETURNS TABLE (xid bigint, n bigint, at bigint, type smallint, cause smallint, queue text, job uuid, kind text, grp text, attempt int, worker bigint, body text, result bytea) LANGUAGE sql STABLE AS $$
  SELECT * FROM (
    SELECT e.xid::text::bigint AS xid, row_number() OVER (PARTITION BY e.xid ORDER BY e.id, u.n) AS n, e.at, e.type, e.cause, e.queue, u.job,
      e.kinds[least(u.n, cardinality(e.kinds))], nullif(e.grps[least(u.n, cardinality(e.grps))], ''), coalesce(e.attempts[least(u.n, cardinality(e.attempts))], 0), e.worker, u.body, u.result
    FROM (SELECT y.*, sum(cardinality(y.jobs)) OVER (ORDER BY y.xid, y.id) - cardinality(y.jobs) AS before FROM (
        (SELECT * FROM windlass.event WHERE xid = p_place::text::xid8 AND p_place < p_horizon)
        UNION ALL (SELECT * FROM windlass.event WHERE xid > p_place::text::xid8 AND xid < p_horizon::text::xid8 ORDER BY xid, id LIMIT p_limit)) y) e
    CROSS JOIN LATERAL unnest(e.jobs, e.texts, e.results) WITH ORDINALITY u(job, body, result, n)
    WHERE e.before < p_limit + p_index) x
  WHERE x.xid > p_place OR x.n > p_index ORDER BY x.xid, x.n LIMIT p_limit $$;
