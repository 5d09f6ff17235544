-- Named limits: what is in use, who waits for what, and who is let back when something frees.
--
-- A lane whose head a limit refuses waits in that limit's line, one line a queue and priority, in the order of its
-- group's virtual time, and within a group by the place of its head. When a slot frees, one lane of each queue is
-- woken. Whoever was woken and leaves the order, for whatever reason, passes the slot on, so none is left lying.

-- For the files that follow.
local UNLIMITED, uses_of, cost_of, most_of, limits_shut, take_limits, line_lanes, stands_behind, wait_at_limit,
  free_limits

do
  UNLIMITED = {}

  function Limit.get(name)
    local m = Now.limits[name]
    if m then return m end
    local raw = call('GET', key(Key.limit, name))
    if raw then
      local t = munpack(raw)
      m = {
        name = name, text = t[1], in_use = t[2], tat_ms = t[3], tat_fraction = t[4], hold = t[5], timer = t[6],
        lines = t[7], named = t[8], known = true,
      }
      m.settings = m.text and parse_settings(m.text, 'limit') or UNLIMITED
    else
      m = {
        name = name, text = false, in_use = 0, tat_ms = 0, tat_fraction = 0, hold = 0, timer = 0, lines = {},
        named = 0,
        settings = UNLIMITED,
      }
    end
    Now.limits[name] = m
    return m
  end

  function Limit.save(m)
    m.changed = false
    local waits = next(m.lines) ~= nil
    if not m.text and m.in_use == 0 and m.named == 0 and m.hold <= Now.at and not waits then
      if m.known then
        call('DEL', key(Key.limit, m.name))
        call('ZREM', key(Key.limits), m.name)
        m.known = false
      end
      return
    end
    if not m.known then
      call('ZADD', key(Key.limits), 0, m.name)
      m.known = true
    end
    call('SET', key(Key.limit, m.name), mpack({
      m.text, m.in_use, m.tat_ms, m.tat_fraction, m.hold, m.timer, m.lines, m.named,
    }))
  end

  -- The limits and costs of a set, by its text.
  local Sets = { [''] = {} }
  local sets_known = 0

  function uses_of(set)
    local uses = Sets[set]
    if uses then return uses end
    uses = {}
    for name, cost in set:gmatch('([^\1]+)\1([^\1]+)') do uses[#uses + 1] = { name, tonumber(cost) } end
    sets_known = sets_known + 1
    if sets_known > 1000 then Sets, sets_known = { [''] = {} }, 1 end
    Sets[set] = uses
    return uses
  end

  function cost_of(set, name)
    for _, use in ipairs(uses_of(set)) do
      if use[1] == name then return use[2] end
    end
    return 1
  end

  -- A lane that names these limits has got its first job, or (`by` = -1) lost its last.
  function Limit.count_lane(set, by)
    for _, use in ipairs(uses_of(set)) do
      local m = Limit.get(use[1])
      m.named, m.changed = m.named + by, true
    end
  end

  -- The most that a limit can ever admit at once.
  function most_of(m)
    local s = m.settings
    -- A concurrency of 0 closes the limit for a while.
    local most = s.concurrency ~= 0 and s.concurrency or 4294967295
    return s.rate and min(most, s.rate.burst) or most
  end

  -- Whether a limit refuses that cost: nil when it admits it, else true, and when time alone opens it.
  function Limit.shut(m, cost)
    local s = m.settings
    if s.concurrency and m.in_use + cost > s.concurrency then return true end
    if m.hold > Now.at then return true, m.hold end
    if s.rate then
      local ms, at = admit(s.rate, m.tat_ms, m.tat_fraction, cost)
      if not ms then return true, at end
    end
    return nil
  end

  -- The first limit of a set that refuses, and when time alone opens it: together or not at all.
  function limits_shut(set)
    if set == '' then return nil end
    for _, use in ipairs(uses_of(set)) do
      local m = Limit.get(use[1])
      local shut, at = Limit.shut(m, use[2])
      if shut then return m, at end
    end
    return nil
  end

  -- Takes slots and charges rates for a job that starts now.
  function take_limits(set)
    for _, use in ipairs(uses_of(set)) do
      local m = Limit.get(use[1])
      m.in_use, m.changed = m.in_use + use[2], true
      local rate = m.settings.rate
      if rate then
        local ms, fraction = admit(rate, m.tat_ms, m.tat_fraction, use[2])
        if ms then m.tat_ms, m.tat_fraction = ms, fraction end
      end
    end
  end

  local function set_limit_timer(m, at)
    local old = m.timer
    if old == at or (old ~= 0 and old <= at and old > Now.at) then return end
    set_timer('m' .. m.name, at, old)
    m.timer, m.changed = at, true
  end

  local function line_key(m, queue, index)
    return key(Key.line, m.name, queue, index)
  end

  function line_lanes(m, queue, index, group)
    return key(Key.line_lanes, m.name, queue, index, group)
  end

  function Limit.join_line(m, lane, seq)
    local g = lane.g
    local queue = g.q.name
    call('ZADD', line_key(m, queue, lane.priority), 'NX', g.vt, g.name)
    call('ZADD', line_lanes(m, queue, lane.priority, g.name), seq, lane.set)
    lane.line_seq = seq
    m.lines[queue] = (m.lines[queue] or 0) + 1
    m.changed = true
  end

  function Limit.leave_line(m, lane)
    local g = lane.g
    local queue = g.q.name
    local lanes = line_lanes(m, queue, lane.priority, g.name)
    if call('ZREM', lanes, lane.set) == 0 then return end
    if call('EXISTS', lanes) == 0 then call('ZREM', line_key(m, queue, lane.priority), g.name) end
    m.lines[queue] = m.lines[queue] - 1
    if m.lines[queue] == 0 then m.lines[queue] = nil end
    m.changed = true
  end

  -- The first lane of a group in line whose cost the limit can admit at all. One whose cost has become impossible,
  -- since the limit was lowered, holds back nobody but itself.
  local function possible(m, queue, index, group)
    local most, from = most_of(m), 0
    while true do
      local sets = call('ZRANGE', line_lanes(m, queue, index, group), from, from)
      if not sets[1] then return nil end
      if cost_of(sets[1], m.name) <= most then return sets[1] end
      from = from + 1
    end
  end

  -- The first group in line at a priority that has such a lane: the group, its time in the line, the lane's set.
  local function first_possible(m, queue, index)
    local from = 0
    while true do
      local first = call('ZRANGE', line_key(m, queue, index), from, from, 'WITHSCORES')
      if not first[1] then return nil end
      local set = possible(m, queue, index, first[1])
      if set then return first[1], tonumber(first[2]), set end
      from = from + 1
    end
  end

  -- The limit in whose line others of the queue wait that come before this lane: a job that takes little must not
  -- pass one that waits for much, for ever. A lane that was woken, or is of a higher priority than all that wait,
  -- stands behind nobody.
  function stands_behind(lane, set)
    local queue = lane.g.q.name
    for _, use in ipairs(uses_of(set)) do
      if use[1] ~= lane.woken then
        local m = Limit.get(use[1])
        if m.lines[queue] then
          for index = PRIORITIES, lane.priority, -1 do
            if first_possible(m, queue, index) then return m end
          end
        end
      end
    end
    return nil
  end

  -- Moves a standing lane into the line of the limit that refused its head.
  function wait_at_limit(lane, m, opens_at)
    local g, woken = lane.g, lane.woken
    local _, seq = Lane.peek(lane)
    lane.woken = ''
    Lane.clear_standing(lane)
    lane.stands, lane.limit = WAITS, m.name
    changed(lane)
    Limit.join_line(m, lane, seq)
    if opens_at then set_limit_timer(m, opens_at) end
    if woken ~= '' then
      g.woken_lanes, g.changed = g.woken_lanes - 1, true
      if woken ~= m.name then Limit.wake_one(Limit.get(woken), g.q) end
    end
  end

  -- The lane of a queue that the limit lets back next.
  local function first_in_line(m, q)
    for index = PRIORITIES, 1, -1 do
      while true do
        local name, at, set = first_possible(m, q.name, index)
        if not name then break end
        local g = Group.get(q, name, true)
        if g.vt == at then return Lane.get(g, index, set) end
        -- The group was served since it came here: it takes its turn behind those that were not.
        call('ZADD', line_key(m, q.name, index), g.vt, name)
      end
    end
    return nil
  end

  -- Lets the first lane of a queue's line back into the order, if the limit admits its head. One that cannot stand
  -- now (its group is parked) is let back too, but the next one is asked.
  function Limit.wake_one(m, q)
    while m.lines[q.name] do
      local lane = first_in_line(m, q)
      if not lane then return end
      local shut, at = Limit.shut(m, cost_of(lane.set, m.name))
      if shut then
        if at then set_limit_timer(m, at) end
        return
      end
      Limit.leave_line(m, lane)
      lane.stands, lane.limit = IDLE, ''
      Lane.stand(lane)
      touch(q)
      if not lane.g.parked then
        lane.woken = m.name
        lane.g.woken_lanes, lane.g.changed = lane.g.woken_lanes + 1, true
        return
      end
    end
  end

  -- Something of the limit is free: one lane of each queue may try.
  function Limit.wake(m)
    local names = {}
    for name in pairs(m.lines) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do Limit.wake_one(m, Queue.get(name, true)) end
  end

  -- Gives slots back when a job's lease ends, and wakes who waits.
  function free_limits(set)
    for _, use in ipairs(uses_of(set)) do
      local m = Limit.get(use[1])
      m.in_use, m.changed = m.in_use - use[2], true
      Limit.wake(m)
    end
  end
end
