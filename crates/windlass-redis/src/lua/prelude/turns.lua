-- A group's turn, done to its bytes: the common case of many groups with one plain lane each, of which a batch moves a
-- hundred by one job. What is out of the ordinary about a group is left to `Group` and `Lane`, which do the same; a
-- group that is not in this call's hands as bytes (`Group.fetch`) too.

-- For the files that follow.
local Turn

do
  Turn = {}

  -- A group without settings of its own, with one plain lane or with none.
  local NONE, ONE = Group.LAYOUT, Group.LAYOUT .. Group.LANE_LAYOUT:sub(2)
  local NONE_BYTES, ONE_BYTES = 80, 96
  -- The lane of priority 0.
  local MIDDLE = 10

  local function bytes_of(id)
    return not Now.groups[id] and Now.packed[id]
  end

  local function keep(id, raw)
    Now.packed[id], Now.patched[id] = raw, true
  end

  -- Where the jobs of a group's plain lane lie.
  local function list_of(id, index)
    return NS .. Key.list .. id .. Lane.priority_part[index]
  end

  -- The group's plain lane of priority 0 is `k` jobs longer, the first of them at that place. Answers where they lie,
  -- or nil when nothing was done.
  function Turn.grow(q, id, name, k, place)
    local raw = bytes_of(id)
    if not raw or (#raw ~= NONE_BYTES and #raw ~= ONE_BYTES) then return nil end
    local has_lane = #raw == ONE_BYTES
    local parked, running, c1, c2, c3, c4, c5, c6, c7, c8, vt, tat_ms, tat_fraction, hold, claimed, timer, entry,
      woken, ordered, lanes, length, index, n, first, stands, stale = sunpack(has_lane and ONE or NONE, raw)
    if parked + woken + ordered + length ~= 0 then return nil end
    if has_lane then
      if lanes ~= 1 or index ~= MIDDLE or entry ~= MIDDLE or n == 0 or stands ~= STANDS then return nil end
    else
      if lanes ~= 0 or entry ~= 0 then return nil end
      n, first, stale = 0, place, 0
      vt = max(vt, q.floor)
      Sorted.put(Lane.oldest_of(q), name .. Lane.priority_part[MIDDLE], place)
      Sorted.put(order_of(q, MIDDLE), name, vt)
      q.standing[MIDDLE] = q.standing[MIDDLE] + 1
      if q.top and MIDDLE > q.top then q.top = MIDDLE end
    end
    keep(id, spack(ONE, 0, running, c1, c2 + k, c3, c4, c5, c6, c7, c8, vt, tat_ms, tat_fraction, hold, claimed, timer,
      MIDDLE, 0, 0, 1, 0, MIDDLE, n + k, first, STANDS, stale))
    return list_of(id, MIDDLE)
  end

  -- Takes the next job out of a group whose turn it is at a priority, and counts it as running; answers its id, or nil
  -- when nothing was done.
  function Turn.take(q, name, index, order)
    local settings = q.settings
    local shares = settings.groups
    if name == '' or settings.rate or shares.rate or next(Now.jobs) then return nil end
    local id = q.name .. SEP .. name
    local raw = bytes_of(id)
    if not raw or #raw ~= ONE_BYTES then return nil end
    local parked, running, c1, c2, c3, c4, c5, c6, c7, c8, vt, tat_ms, tat_fraction, hold, claimed, timer, entry,
      woken, ordered, lanes, length, lane, n, first, stands, stale = sunpack(ONE, raw)
    if parked + woken + ordered + length + stale ~= 0 or lanes ~= 1 or lane ~= index or entry ~= index or n == 0
      or stands ~= STANDS or hold > Now.at or (shares.concurrency and running >= shares.concurrency) then
      return nil
    end
    local popped = call('LPOP', list_of(id, index))
    if not popped then return nil end
    local place, rest = sunpack('>I6', popped)
    q.floor = max(q.floor, vt)
    vt = charge(vt, shares.weight, 1)
    if n == 1 then
      Sorted.drop(Lane.oldest_of(q), name .. Lane.priority_part[index])
      Sorted.drop(order, name)
      q.standing[index] = q.standing[index] - 1
      keep(id, spack(NONE, 0, running + 1, c1, c2 - 1, c3 + 1, c4, c5, c6, c7, c8, vt, tat_ms, tat_fraction, hold,
        claimed + 1, timer, 0, 0, 0, 0, 0))
    else
      Sorted.put(order, name, vt)
      keep(id, spack(ONE, 0, running + 1, c1, c2 - 1, c3 + 1, c4, c5, c6, c7, c8, vt, tat_ms, tat_fraction, hold,
        claimed + 1, timer, index, 0, 0, 1, 0, index, n - 1, place + 1, STANDS, 0))
    end
    local counts, totals = q.counts, q.totals
    counts[READY + 1], counts[RUNNING + 1] = counts[READY + 1] - 1, counts[RUNNING + 1] + 1
    q.running, totals[2], q.changed = q.running + 1, totals[2] + 1, true
    return popped:sub(rest)
  end

  -- For a test that the long way alone answers the same.
  if LONG_WAY then
    Turn.take = function() return nil end
  end
end
