-- Parents and children. An end or a retry leaves an errand for its children; the errands are run one child at a time, a
-- thousand in the verb's own step and the rest by upkeep. No recursion: a chain of any length takes no stack.

CREATE OR REPLACE FUNCTION windlass.released_by(p_state int, p_always boolean) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN p_always THEN p_state >= 5 ELSE p_state = 5 END $$;

CREATE OR REPLACE FUNCTION windlass.state_of(p_id uuid) RETURNS int LANGUAGE sql STABLE AS
$$ SELECT (windlass.spot_of(p_id)).state $$;

-- How a removed job ended, as far as it is remembered.
CREATE OR REPLACE FUNCTION windlass.gone_as(p_id uuid, p_now bigint) RETURNS int LANGUAGE sql STABLE AS
$$ SELECT state::int FROM windlass.gone WHERE id = p_id AND at + 86400000 > p_now $$;

-- Whether a job has to wait for one of its parents as they stand now; one that is gone has let go.
CREATE OR REPLACE FUNCTION windlass.must_wait(p_id uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE e record; v_state int;
BEGIN
  FOR e IN SELECT parent, always FROM windlass.edge WHERE child = p_id LOOP
    v_state := windlass.state_of(e.parent);
    IF v_state IS NOT NULL AND NOT windlass.released_by(v_state, e.always) THEN RETURN true; END IF;
  END LOOP;
  RETURN false;
END $$;

CREATE OR REPLACE FUNCTION windlass.has_live_children(p_id uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM windlass.edge e WHERE e.parent = p_id AND EXISTS (
    SELECT FROM windlass.job j WHERE j.id = e.child AND NOT EXISTS (SELECT FROM windlass.ended d WHERE d.job = e.child)
      AND NOT EXISTS (SELECT FROM windlass.run r WHERE r.job = e.child AND r.done_at > 0))) $$;

CREATE OR REPLACE FUNCTION windlass.parent_ended(p_id uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM windlass.edge WHERE parent = p_id) THEN
    PERFORM windlass.need_wide();
    INSERT INTO windlass.errand (parent, what) VALUES (p_id, 0);
  END IF;
END $$;

-- Lets a blocked job go: ready, or scheduled when its own time lies ahead.
CREATE OR REPLACE FUNCTION windlass.unblock(s windlass.spot, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_due bigint;
BEGIN
  SELECT due INTO v_due FROM windlass.blocked WHERE job = s.id;
  PERFORM windlass.leave(s, CASE WHEN v_due > p_now THEN 0 ELSE 1 END, p_now);
  PERFORM windlass.tell(p_now, 12, 0, s.queue, s.id, s.kind, s.grp, s.attempt);
  IF v_due > p_now THEN PERFORM windlass.enter_deferred(s, 0, v_due, 0); ELSE PERFORM windlass.enter_ready(s, p_now); END IF;
END $$;

-- Does for one child what its parent's end means.
CREATE OR REPLACE FUNCTION windlass.release_child(p_parent uuid, p_child uuid, p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE s windlass.spot := windlass.spot_of(p_child); v_state int; v_always boolean;
BEGIN
  IF s.id IS NULL OR s.state <> 4 THEN RETURN; END IF;
  SELECT always INTO v_always FROM windlass.edge WHERE child = p_child AND parent = p_parent ORDER BY n LIMIT 1;
  IF NOT FOUND THEN RETURN; END IF;
  v_state := windlass.state_of(p_parent);
  IF v_state IS NOT NULL AND NOT windlass.released_by(v_state, v_always) THEN
    IF v_state >= 5 THEN PERFORM windlass.end_cancelled(s, 5, p_now); END IF;
  ELSIF NOT windlass.must_wait(p_child) THEN
    PERFORM windlass.unblock(s, p_now);
  END IF;
END $$;

-- Blocked jobs that have just come: a parent may have ended in the meantime.
CREATE OR REPLACE FUNCTION windlass.judge(p_ids uuid[], p_now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE v_id uuid; e record; s windlass.spot; v_gone int;
BEGIN
  FOREACH v_id IN ARRAY p_ids LOOP
    FOR e IN SELECT parent, always FROM windlass.edge WHERE child = v_id ORDER BY n LOOP
      s := windlass.spot_of(v_id);
      EXIT WHEN s.id IS NULL OR s.state <> 4;
      IF windlass.state_of(e.parent) >= 5 THEN
        PERFORM windlass.release_child(e.parent, v_id, p_now);
      ELSIF windlass.state_of(e.parent) IS NULL AND NOT e.always AND windlass.gone_as(e.parent, p_now) IN (6, 7) THEN
        PERFORM windlass.end_cancelled(s, 5, p_now);
      END IF;
    END LOOP;
    s := windlass.spot_of(v_id);
    IF s.state = 4 AND NOT windlass.must_wait(v_id) THEN PERFORM windlass.unblock(s, p_now); END IF;
  END LOOP;
END $$;

-- Whether a job was cancelled by a parent's end and none of its parents forbids it any more.
CREATE OR REPLACE FUNCTION windlass.is_revivable(s windlass.spot, p_now bigint) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE e record; v_state int;
BEGIN
  IF s.id IS NULL OR s.state <> 7 OR (SELECT cause FROM windlass.extra WHERE job = s.id) IS DISTINCT FROM 5 THEN RETURN false; END IF;
  FOR e IN SELECT parent, always FROM windlass.edge WHERE child = s.id LOOP
    v_state := coalesce(windlass.state_of(e.parent), windlass.gone_as(e.parent, p_now));
    IF v_state >= 5 AND NOT windlass.released_by(v_state, e.always) THEN RETURN false; END IF;
  END LOOP;
  RETURN true;
END $$;

-- Runs errands, at most that many children; answers how many it looked at.
CREATE OR REPLACE FUNCTION windlass.run_errands(p_budget int, p_now bigint) RETURNS int LANGUAGE plpgsql AS $$
DECLARE r record; e record; v_done int := 0; v_some boolean;
BEGIN
  -- Whoever leaves an errand holds the whole namespace; what others have left is upkeep's.
  IF NOT windlass.is_wide() THEN RETURN 0; END IF;
  WHILE v_done < p_budget LOOP
    SELECT * INTO r FROM windlass.errand ORDER BY id LIMIT 1;
    EXIT WHEN NOT FOUND;
    v_some := false;
    FOR e IN SELECT n, child FROM windlass.edge WHERE parent = r.parent AND n > r.after ORDER BY n LIMIT p_budget - v_done LOOP
      v_some := true; v_done := v_done + 1; r.after := e.n;
      IF r.what = 0 THEN
        PERFORM windlass.release_child(r.parent, e.child, p_now);
      ELSIF windlass.is_revivable(windlass.spot_of(e.child), p_now) THEN
        -- A child whose unique key is taken meanwhile stays cancelled; that is its answer.
        PERFORM windlass.retry_one(e.child, p_now);
      END IF;
    END LOOP;
    IF v_some THEN UPDATE windlass.errand SET after = r.after WHERE id = r.id;
    ELSE DELETE FROM windlass.errand WHERE id = r.id; END IF;
  END LOOP;
  RETURN v_done;
END $$;
