-- Groups: what each keeps of its place in the fair order, and the counts of jobs by state, group and failure.

-- For the files that follow.
local Group, unpark, new_lane, unpack_lane, pack_lane, queue_of, group_of, group_shut, count_failure,
  count_dead, count, change_state

do
  Group = {}

  function new_lane(g, priority, set)
    return { g = g, priority = priority, set = set, n = 0, first = 0, stands = 0, stale = 0, woken = '', limit = '', line_seq = 0 }
  end

  function unpack_lane(g, priority, set, t)
    return {
      g = g, priority = priority, set = set, n = t[1], first = t[2], stands = t[3], stale = t[4], woken = t[5],
      limit = t[6], line_seq = t[7],
    }
  end

  function pack_lane(l)
    return { l.n, l.first, l.stands, l.stale, l.woken, l.limit, l.line_seq }
  end

  -- A group as it was read, or a new one.
  local function take(q, id, name, raw)
    local g
    if raw then
      g = Group.unpack(q, id, name, raw)
      g.changed = Now.patched[id] or false
    else
      g = {
        q = q, id = id, name = name, vt = q.floor, tat_ms = 0, tat_fraction = 0, hold = 0, running = 0, claimed = 0,
        counts = zeros(8), parked = false, timer = 0, entry = false, own = false, woken_lanes = 0,
        ordered = q.settings.groups.ordered, lanes = {}, with_limits = false, changed = true,
      }
      call('ZADD', key(Key.groups, q.name), 0, name)
      q.groups, q.changed = q.groups + 1, true
    end
    Now.packed[id], Now.patched[id] = nil, nil
    g.settings = g.own and parse_settings(g.own, 'group') or q.settings.groups
    Now.groups[id] = g
    return g
  end

  -- The group of that key ('' for jobs without one), or nil; `make` makes it.
  function Group.get(q, name, make)
    local id = q.name .. SEP .. name
    local g = Now.groups[id]
    if g then return g end
    if g == false and not make then return nil end
    local raw = Now.packed[id]
    if raw == nil then raw = call('GET', NS .. Key.group .. id) end
    if not raw and not make then
      Now.groups[id] = false
      return nil
    end
    return take(q, id, name, raw)
  end

  -- Reads groups of these ids that this call has not read, in one go.
  function Group.fetch(ids)
    local wanted, keys, n = {}, {}, 0
    for i = 1, #ids do
      local id = ids[i]
      if not Now.groups[id] and Now.packed[id] == nil then
        n = n + 1
        wanted[n], keys[n] = id, NS .. Key.group .. id
      end
    end
    if n == 0 then return end
    local raws = call('MGET', tunpack(keys))
    for i = 1, n do Now.packed[wanted[i]] = raws[i] end
  end

  function Group.fetch_named(q, names)
    local ids = {}
    for i = 1, #names do ids[i] = q.name .. SEP .. names[i] end
    Group.fetch(ids)
  end

  -- The group as it is kept: whether it is parked, what runs and its counts, other numbers, then its plain lanes that
  -- hold something, then what few groups have.
  local COUNTS, COUNTS_END = '>BI4I4I4I4I4I4I4I4I4', 38
  local GROUP, GROUP_LANE = COUNTS .. 'I8I6I4I6I4I6bI4BBI2', '>BI4I6BI4'

  Group.LAYOUT, Group.LANE_LAYOUT = GROUP, GROUP_LANE

  function Group.unpack(q, id, name, raw)
    local parked, running, c1, c2, c3, c4, c5, c6, c7, c8, vt, tat_ms, tat_fraction, hold, claimed, timer, entry,
      woken_lanes, ordered, lanes, length, at = sunpack(GROUP, raw)
    -- With every field at once: a table that grows field by field is made anew again and again.
    local g = {
      q = q, id = id, name = name, vt = vt, entry_vt = vt, tat_ms = tat_ms, tat_fraction = tat_fraction, hold = hold,
      running = running, claimed = claimed, counts = { c1, c2, c3, c4, c5, c6, c7, c8 }, parked = parked == 1,
      timer = timer, entry = entry > 0 and entry, own = false, woken_lanes = woken_lanes, ordered = ordered == 1,
      lanes = {}, with_limits = false, changed = false, settings = false,
    }
    for _ = 1, lanes do
      local index, n, first, stands, stale
      index, n, first, stands, stale, at = sunpack(GROUP_LANE, raw, at)
      g.lanes[index] = {
        g = g, priority = index, set = '', n = n, first = first, stands = stands, stale = stale, woken = '', limit = '',
        line_seq = 0, store = false, changed = false,
      }
    end
    if length > 0 then
      local rest = munpack(raw:sub(at, at + length - 1))
      g.own, g.with_limits = rest[1], rest[2]
    end
    return g
  end

  -- Counts jobs of a group that have completed and gone, in its bytes if nothing else follows from it.
  function Group.settle(q, id, name, completed, removed)
    local raw = not Now.groups[id] and Now.packed[id]
    if raw then
      local parked, running, c1, c2, c3, c4, c5, c6, c7, c8 = sunpack(COUNTS, raw)
      running, c3, c6 = running - completed, c3 - completed, c6 + completed - removed
      if parked == 0 and c3 >= 0 and c1 + c2 + c3 + c4 + c5 + c6 + c7 + c8 > 0 then
        Now.packed[id] = spack(COUNTS, 0, running, c1, c2, c3, c4, c5, c6, c7, c8) .. raw:sub(COUNTS_END)
        Now.patched[id] = true
        return
      end
    end
    local g = Group.get(q, name, true)
    local counts = g.counts
    g.running, counts[RUNNING + 1] = g.running - completed, counts[RUNNING + 1] - completed
    counts[COMPLETED + 1] = counts[COMPLETED + 1] + completed - removed
    g.changed = true
    if completed > 0 and g.parked then unpark(g) end
  end

  local function pack(g)
    local lanes, n = '', 0
    for index, lane in pairs(g.lanes) do
      if lane.n > 0 or lane.stands ~= 0 or lane.stale > 0 then
        lanes, n = lanes .. spack(GROUP_LANE, index, lane.n, lane.first, lane.stands, lane.stale), n + 1
      end
    end
    if n == 0 and not g.with_limits and Group.forget(g) then return nil end
    local rest = (g.own or g.with_limits) and mpack({ g.own, g.with_limits }) or ''
    local c = g.counts
    return spack(GROUP, g.parked and 1 or 0, g.running, c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], g.vt, g.tat_ms,
      g.tat_fraction, g.hold, g.claimed, g.timer, g.entry or 0, g.woken_lanes, g.ordered and 1 or 0, n, #rest)
      .. lanes .. rest
  end

  -- Writes the groups that have changed.
  function Group.save_all()
    local writes, n, prefix = {}, 0, NS .. Key.group
    for id, g in pairs(Now.groups) do
      if g and g.changed then
        g.changed = false
        local raw = pack(g)
        if raw then
          writes[n + 1], writes[n + 2] = prefix .. id, raw
          n = n + 2
        end
      end
    end
    for id in pairs(Now.patched) do
      writes[n + 1], writes[n + 2] = prefix .. id, Now.packed[id]
      n = n + 2
    end
    Now.patched = {}
    for from = 1, n, 1000 do call('MSET', tunpack(writes, from, min(from + 999, n))) end
  end

  -- Forgets a group that nothing refers to and that stands level anyway.
  function Group.forget(g)
    if g.entry or g.own or g.hold > Now.at or g.tat_ms > Now.at then return false end
    for i = 8, 1, -1 do
      if g.counts[i] ~= 0 then return false end
    end
    if g.vt > g.q.floor then
      -- It comes up again when the others have caught up.
      if g.timer <= Now.at then
        g.timer = Now.at + 60000
        call('ZADD', key(Key.timers), g.timer, 'g' .. g.q.name .. SEP .. g.name)
      end
      return false
    end
    if g.timer ~= 0 then call('ZREM', key(Key.timers), 'g' .. g.q.name .. SEP .. g.name) end
    call('DEL', key(Key.group, g.q.name, g.name))
    call('ZREM', key(Key.groups, g.q.name), g.name)
    g.q.groups, g.q.changed = g.q.groups - 1, true
    Now.groups[g.q.name .. SEP .. g.name] = nil
    return true
  end

  function queue_of(j)
    local q = j.in_queue
    if not q then
      q = Queue.get(j.queue, true)
      j.in_queue = q
    end
    return q
  end

  function group_of(j)
    local g = j.in_group
    if not g then
      g = Group.get(queue_of(j), j.group, true)
      j.in_group = g
    end
    return g
  end

  -- Whether a group may start one more job: nil when it may, else 'full' or 'until' and that time.
  function group_shut(g)
    local s = g.settings
    if s.concurrency and g.running >= s.concurrency then return 'full' end
    if g.hold > Now.at then return 'until', g.hold end
    if s.rate then
      local ms, at = admit(s.rate, g.tat_ms, g.tat_fraction, 1)
      if not ms then return 'until', at end
    end
    return nil
  end

  -- Failure modes of a queue: a hash of packed entries by fingerprint; beyond the bound all others are one.
  local MODES_MAX = 1000

  local function mode_of(q, print)
    local raw = call('HGET', key(Key.failures, q.name), print)
    return raw and munpack(raw)
  end

  function count_failure(q, j, title, print)
    local name = key(Key.failures, q.name)
    local mode = mode_of(q, print)
    if not mode and call('HLEN', name) >= MODES_MAX then
      print, title = NONE8, 'other'
      mode = mode_of(q, print)
    end
    mode = mode or { title, j.kind, 0, 0, Now.at, Now.at, j.id }
    mode[2], mode[4], mode[6], mode[7] = j.kind, mode[4] + 1, Now.at, j.id
    call('HSET', name, print, mpack(mode))
  end

  function count_dead(q, j, by)
    local name, print = key(Key.failures, q.name), j.print
    local mode = mode_of(q, print)
    if not mode then
      print = NONE8
      mode = mode_of(q, print)
    end
    if mode then
      mode[3] = max(mode[3] + by, 0)
      call('HSET', name, print, mpack(mode))
    end
  end

  -- Counts a job that is new (`by` = 1) or leaves (`by` = -1).
  function count(j, by)
    local g = group_of(j)
    local q, i = g.q, j.state + 1
    g.counts[i] = g.counts[i] + by
    q.counts[i] = q.counts[i] + by
    g.changed, q.changed = true, true
  end

  -- Moves a job from one state to another in every count.
  function change_state(j, to)
    local g = group_of(j)
    local q, from = g.q, j.state
    g.counts[from + 1] = g.counts[from + 1] - 1
    g.counts[to + 1] = g.counts[to + 1] + 1
    q.counts[from + 1] = q.counts[from + 1] - 1
    q.counts[to + 1] = q.counts[to + 1] + 1
    g.changed, q.changed, j.changed = true, true, true
    j.state = to
    if from == DEAD then count_dead(q, j, -1) elseif to == DEAD then count_dead(q, j, 1) end
  end
end
