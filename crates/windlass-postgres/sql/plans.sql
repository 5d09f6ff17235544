-- How the verbs are planned: by index and nested loops, always. Their plans are kept for as long as a connection lives, and
-- a plan that was made while a table was empty must not read a million rows an hour later. What reads in the order of an
-- index never sorts.
DO $plans$
DECLARE v record;
BEGIN
  FOR v IN SELECT p.oid::regprocedure AS name, p.proname IN ('in_order', 'sweep', 'events', 'event_horizon', 'groups', 'queues', 'list', 'list_ids') AS in_order FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname || '.' = 'windlass.' AND p.proname IN ('claim', 'enqueue_lots', 'enqueue_each', 'people', 'upkeep', 'retain', 'sweep', 'plan', 'heartbeat', 'report', 'take_up_all', 'events', 'event_horizon', 'groups', 'queues', 'has_work', 'in_order', 'few_of', 'list', 'list_ids') LOOP
    EXECUTE format('ALTER FUNCTION %s SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off SET jit = off SET plan_cache_mode = force_generic_plan', v.name);
    IF v.in_order THEN EXECUTE format('ALTER FUNCTION %s SET enable_sort = off', v.name); END IF;
  END LOOP;
END $plans$;
