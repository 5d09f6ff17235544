-- Named limits: what is in use, which lanes wait for what, and who is let back when something frees.
--
-- Jobs that take named limits stand in lanes (group, priority, set of limits). A lane whose head a limit refuses leaves
-- the order and waits in that limit's line, one line per queue, by priority and virtual time; a claim never looks at it
-- again until the limit can admit it. When something frees, a row in `wake` lets one lane of each queue try: that row is
-- all that one queue ever writes for another. A lane that was woken and leaves the order passes its turn on.

CREATE OR REPLACE FUNCTION windlass.uses(p_lset text) RETURNS TABLE (name text, cost bigint) LANGUAGE sql IMMUTABLE AS $$
  SELECT split_part(u, '=', 1), split_part(u, '=', 2)::bigint FROM unnest(string_to_array(nullif(p_lset, ''), ',')) u $$;

CREATE OR REPLACE FUNCTION windlass.cost(p_lset text, p_limit text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT coalesce((SELECT u.cost FROM windlass.uses(p_lset) u WHERE u.name = p_limit), 1) $$;

-- The most that a limit could ever admit at once.
CREATE OR REPLACE FUNCTION windlass.most(p_concurrency bigint, p_burst bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT least(coalesce(nullif(p_concurrency, 0), 4294967295), coalesce(p_burst, 4294967295)) $$;

CREATE OR REPLACE FUNCTION windlass.ensure_limits(p_lset text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO windlass.lim (name) SELECT u.name FROM windlass.uses(p_lset) u
  WHERE NOT EXISTS (SELECT FROM windlass.lim l WHERE l.name = u.name) ON CONFLICT DO NOTHING;
END $$;

-- Whether one limit admits that cost now; if not, when time alone opens it.
CREATE OR REPLACE FUNCTION windlass.limit_open(p_name text, p_cost bigint, p_now bigint, OUT ok boolean, OUT at bigint) LANGUAGE plpgsql AS $$
DECLARE l windlass.lim;
BEGIN
  SELECT * INTO l FROM windlass.lim WHERE name = p_name;
  IF NOT FOUND THEN ok := true; RETURN; END IF;
  IF l.concurrency IS NOT NULL AND l.in_use + p_cost > l.concurrency THEN ok := false; RETURN; END IF;
  IF l.hold_until > p_now THEN ok := false; at := l.hold_until; RETURN; END IF;
  SELECT a.ok, a.at INTO ok, at FROM windlass.admit(l.rate_count, l.rate_period, l.rate_burst, l.tat_ms, l.tat_frac, p_now, p_cost) a;
END $$;

-- The first limit of a set that refuses, or none.
CREATE OR REPLACE FUNCTION windlass.limits_open(p_lset text, p_now bigint, OUT refuses text, OUT at bigint) LANGUAGE plpgsql AS $$
DECLARE u record; v record;
BEGIN
  FOR u IN SELECT * FROM windlass.uses(p_lset) LOOP
    SELECT * INTO v FROM windlass.limit_open(u.name, u.cost, p_now);
    IF NOT v.ok THEN refuses := u.name; at := v.at; RETURN; END IF;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION windlass.take_limits(p_lset text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE u record;
BEGIN
  FOR u IN SELECT * FROM windlass.uses(p_lset) LOOP
    UPDATE windlass.lim l SET in_use = in_use + u.cost,
      (tat_ms, tat_frac) = (SELECT CASE WHEN a.ok THEN a.tat_ms ELSE l.tat_ms END, CASE WHEN a.ok THEN a.tat_frac ELSE l.tat_frac END
        FROM windlass.admit(l.rate_count, l.rate_period, l.rate_burst, l.tat_ms, l.tat_frac, p_now, u.cost) a)
    WHERE l.name = u.name;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION windlass.free_limits(p_lset text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE u record;
BEGIN
  PERFORM windlass.lock_limits();
  FOR u IN SELECT * FROM windlass.uses(p_lset) LOOP
    UPDATE windlass.lim SET in_use = in_use - u.cost WHERE name = u.name;
    PERFORM windlass.wake_limit(u.name);
  END LOOP;
END $$;

-- Something of the limit is free: one lane of each queue may try.
CREATE OR REPLACE FUNCTION windlass.wake_limit(p_limit text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_queue text;
BEGIN
  FOR v_queue IN SELECT DISTINCT queue FROM windlass.lane WHERE standing = 2 AND at_limit = p_limit LOOP
    INSERT INTO windlass.wake (queue, lim) VALUES (v_queue, p_limit) ON CONFLICT DO NOTHING;
    PERFORM set_config('windlass.woken', coalesce(current_setting('windlass.woken', true), '') || v_queue || E'\n', true);
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION windlass.set_limit_timer(p_limit text, p_at bigint, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE windlass.lim SET timer_at = p_at WHERE name = p_limit AND (timer_at IS NULL OR timer_at > p_at OR timer_at <= p_now);
END $$;

-- The limit in whose line others come before this lane: a job that takes little must not pass one that waits for much.
CREATE OR REPLACE FUNCTION windlass.stands_behind(p_queue text, p_prio int, p_lset text, p_woken_by text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE u record; v_most bigint;
BEGIN
  FOR u IN SELECT * FROM windlass.uses(p_lset) LOOP
    CONTINUE WHEN u.name = p_woken_by;
    SELECT windlass.most(concurrency, rate_burst) INTO v_most FROM windlass.lim WHERE name = u.name;
    IF EXISTS (SELECT FROM windlass.lane WHERE standing = 2 AND at_limit = u.name AND queue = p_queue AND prio >= p_prio
               AND windlass.cost(lset, u.name) <= coalesce(v_most, 4294967295)) THEN
      RETURN u.name;
    END IF;
  END LOOP;
  RETURN NULL;
END $$;

-- Puts a lane that has something to run into its group's order.
CREATE OR REPLACE FUNCTION windlass.lane_stand(p_queue text, p_grp text, p_prio int, p_lset text, p_head bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE windlass.lane SET standing = 1, head = p_head, at_limit = NULL
  WHERE queue = p_queue AND grp = p_grp AND prio = p_prio AND lset = p_lset;
  PERFORM windlass.refresh(p_queue, p_grp);
END $$;

CREATE OR REPLACE FUNCTION windlass.lane_wait(p_queue text, p_grp text, p_prio int, p_lset text, p_limit text, p_opens_at bigint, p_now bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_woken text;
BEGIN
  SELECT woken_by INTO v_woken FROM windlass.lane WHERE queue = p_queue AND grp = p_grp AND prio = p_prio AND lset = p_lset;
  UPDATE windlass.lane SET standing = 2, at_limit = p_limit, line_seq = head, woken_by = NULL,
    line_vt = (SELECT vt FROM windlass.grp WHERE queue = p_queue AND key = p_grp)
  WHERE queue = p_queue AND grp = p_grp AND prio = p_prio AND lset = p_lset;
  PERFORM windlass.refresh(p_queue, p_grp);
  IF p_opens_at IS NOT NULL THEN PERFORM windlass.set_limit_timer(p_limit, p_opens_at, p_now); END IF;
  IF v_woken IS NOT NULL AND v_woken <> p_limit THEN PERFORM windlass.wake_one(v_woken, p_queue, p_now); END IF;
END $$;

-- Takes a lane out of wherever it stands and passes on a turn that it was woken for.
CREATE OR REPLACE FUNCTION windlass.lane_clear(p_queue text, p_grp text, p_prio int, p_lset text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r windlass.lane;
BEGIN
  SELECT * INTO r FROM windlass.lane WHERE queue = p_queue AND grp = p_grp AND prio = p_prio AND lset = p_lset;
  IF NOT FOUND OR r.standing = 0 THEN RETURN; END IF;
  UPDATE windlass.lane SET standing = 0, at_limit = NULL, woken_by = NULL
  WHERE queue = p_queue AND grp = p_grp AND prio = p_prio AND lset = p_lset;
  PERFORM windlass.refresh(p_queue, p_grp);
  IF r.standing = 2 THEN
    PERFORM windlass.wake_one(r.at_limit, p_queue, p_now);
  ELSIF r.woken_by IS NOT NULL THEN
    PERFORM windlass.wake_one(r.woken_by, p_queue, p_now);
  END IF;
END $$;

-- A job has left a lane of a group without order: the next one is its head, or it is gone.
CREATE OR REPLACE FUNCTION windlass.lane_left(p_queue text, p_grp text, p_prio int, p_lset text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_head bigint;
BEGIN
  SELECT seq INTO v_head FROM windlass.ready WHERE queue = p_queue AND grp = p_grp AND lset = p_lset AND prio = p_prio ORDER BY seq LIMIT 1;
  IF NOT FOUND THEN
    PERFORM windlass.lane_clear(p_queue, p_grp, p_prio, p_lset, p_now);
    DELETE FROM windlass.lane WHERE queue = p_queue AND grp = p_grp AND prio = p_prio AND lset = p_lset;
  ELSE
    UPDATE windlass.lane SET head = v_head
    WHERE queue = p_queue AND grp = p_grp AND prio = p_prio AND lset = p_lset AND head IS DISTINCT FROM v_head;
  END IF;
END $$;

-- Lets the first lane of a queue's line back into the order, if the limit admits its head. One that cannot stand now
-- (its group is parked) is let back too, but the next one is asked.
CREATE OR REPLACE FUNCTION windlass.wake_one(p_limit text, p_queue text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE r record; v_most bigint; v_vt bigint; v_parked boolean; v_open record;
BEGIN
  SELECT windlass.most(concurrency, rate_burst) INTO v_most FROM windlass.lim WHERE name = p_limit;
  LOOP
    SELECT * INTO r FROM windlass.lane WHERE standing = 2 AND at_limit = p_limit AND queue = p_queue
      AND windlass.cost(lset, p_limit) <= coalesce(v_most, 4294967295)
    ORDER BY prio DESC, line_vt, grp, line_seq LIMIT 1;
    IF NOT FOUND THEN RETURN; END IF;
    SELECT vt, parked INTO v_vt, v_parked FROM windlass.grp WHERE queue = p_queue AND key = r.grp;
    IF v_vt <> r.line_vt THEN
      -- The group was served since it came here: it takes its turn behind those that were not.
      UPDATE windlass.lane SET line_vt = v_vt WHERE standing = 2 AND at_limit = p_limit AND queue = p_queue AND prio = r.prio AND grp = r.grp;
      CONTINUE;
    END IF;
    SELECT * INTO v_open FROM windlass.limit_open(p_limit, windlass.cost(r.lset, p_limit), p_now);
    IF NOT v_open.ok THEN
      IF v_open.at IS NOT NULL THEN PERFORM windlass.set_limit_timer(p_limit, v_open.at, p_now); END IF;
      RETURN;
    END IF;
    PERFORM windlass.lane_stand(p_queue, r.grp, r.prio, r.lset, r.head);
    PERFORM windlass.touch(p_queue);
    IF NOT v_parked THEN
      UPDATE windlass.lane SET woken_by = p_limit WHERE queue = p_queue AND grp = r.grp AND prio = r.prio AND lset = r.lset;
      RETURN;
    END IF;
  END LOOP;
END $$;

-- What others have freed for lanes of this queue, and what time has opened.
CREATE OR REPLACE FUNCTION windlass.wakes(p_queue text, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_limit text;
BEGIN
  IF EXISTS (SELECT FROM windlass.lim WHERE timer_at <= p_now) THEN
    FOR v_limit IN UPDATE windlass.lim SET timer_at = NULL WHERE timer_at <= p_now RETURNING name LOOP
      PERFORM windlass.wake_limit(v_limit);
    END LOOP;
  END IF;
  FOR v_limit IN DELETE FROM windlass.wake WHERE queue = p_queue RETURNING lim LOOP
    PERFORM windlass.wake_one(v_limit, p_queue, p_now);
  END LOOP;
END $$;
