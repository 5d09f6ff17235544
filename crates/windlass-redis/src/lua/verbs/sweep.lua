-- The repair sweep: what somebody deleted behind our back is put right from the records, which are the truth.
--
-- A stretch of a queue's index at a time; every job is looked for in the structures of its state, and put back where it
-- is missing. Nothing here runs in the way of workers, and a whole store costs it nothing but reads.

-- A List up to this long is searched for an entry; a longer one is only measured.
local LOOKED_FOR_MAX = 1000
-- Jobs of a queue that are counted again in one step.
local COUNTED_MAX = 20000

local function is_in_lane(lane, j)
  local at = Lane.store(lane)
  if lane.g.name == '' then return #call('XRANGE', at, int(j.seq) .. '-0', int(j.seq) .. '-0') > 0 end
  local length = call('LLEN', at)
  if length <= LOOKED_FOR_MAX then return call('LPOS', at, spack('>I6', j.seq) .. j.id) ~= false end
  return length == lane.n + lane.stale
end

-- A lane whose length is not what it should be is believed to be as long as it is.
local function measure(lane)
  if lane.measured or lane.g.ordered then return end
  lane.measured = true
  local at = Lane.store(lane)
  local length = lane.g.name == '' and call('XLEN', at) or call('LLEN', at)
  if length == lane.n + lane.stale then return end
  lane.n, lane.stale = length, 0
  lane.first = 0
  changed(lane)
  if length == 0 then Lane.clear_standing(lane) elseif lane.stands == IDLE then Lane.stand(lane) end
end

-- Puts a group and a lane of it back into the orders in which they believe to stand; answers whether they were not.
local function put_back(lane)
  local g, q, found = lane.g, lane.g.q, 0
  if lane.set ~= '' then
    local standing = call('ZCARD', key(Key.standing, q.name, g.name, lane.priority))
    if standing ~= (g.with_limits and g.with_limits[lane.priority] or 0) then
      g.with_limits = g.with_limits or {}
      g.with_limits[lane.priority] = standing > 0 and standing or nil
      if not next(g.with_limits) then g.with_limits = false end
      g.changed, found = true, 1
    end
  end
  if g.entry and not Sorted.score(order_of(q, g.entry), g.name) then
    Sorted.put(order_of(q, g.entry), g.name, g.vt)
    found = 1
  end
  if not g.entry and not g.parked then refresh(g) end
  if g.parked then unpark(g) end
  if lane.set ~= '' and lane.stands ~= IDLE then
    local where = lane.stands == WAITS and key(Key.line_lanes, lane.limit, q.name, lane.priority, g.name)
      or key(Key.standing, q.name, g.name, lane.priority)
    if not call('ZSCORE', where, lane.set) then
      lane.stands, lane.limit, lane.woken = IDLE, '', ''
      Lane.stand(lane)
      found = 1
    end
  elseif lane.stands == IDLE and (g.ordered or lane.n > 0) then
    Lane.stand(lane)
    found = 1
  end
  return found
end

local function check_ready(j)
  local lane = lane_of(j)
  local found = 0
  if lane.g.ordered then
    if not call('ZSCORE', places(lane.g), j.id) then
      Job.set(j, Flag.LINKED, false)
      enter(j)
      found = 1
    end
    local head = place_head(lane.g)
    if head ~= j.id then return found end
  else
    measure(lane)
    if not is_in_lane(lane, j) then
      j.seq, j.changed = take_seq(), true
      enter(j)
      found = 1
    end
  end
  return found + put_back(lane)
end

local function check_timer(letter, at, j)
  if call('ZSCORE', key(letter), j.id) then return 0 end
  call('ZADD', key(letter), at, j.id)
  due_at(at)
  return 1
end

local function check(j)
  local how = j.state
  if how == READY then return check_ready(j) end
  if how == RUNNING then
    return check_timer(Key.leases, j.grace ~= 0 and min(j.grace, j.deadline) or j.deadline, j)
  end
  if how == SCHEDULED or how == RETRYING then return check_timer(Key.due, j.when, j) end
  if how == BLOCKED and not must_wait(Job.options(j).parents) then
    emit(j, Event.UNBLOCKED, Cause.NONE)
    if j.until_due > Now.at then move_to(j, SCHEDULED, j.until_due) else make_ready(j) end
    return 1
  end
  return 0
end

-- Counts a queue's jobs again, where they are few enough for one step.
local function recount(q)
  local pages = call('ZRANGE', key(Key.pages, q.name), 0, -1)
  if #pages * PAGE > COUNTED_MAX then return 0 end
  local counts, running, groups = zeros(8), 0, {}
  for _, page in ipairs(pages) do
    for _, id in pairs(read_page(q.name, page)) do
      local j = Job.load(id)
      if j then
        counts[j.state + 1] = counts[j.state + 1] + 1
        groups[j.group] = groups[j.group] or zeros(8)
        groups[j.group][j.state + 1] = groups[j.group][j.state + 1] + 1
      end
    end
  end
  local found = 0
  for i = 1, 8 do
    if q.counts[i] ~= counts[i] then found = 1 end
  end
  for _, name in ipairs(call('ZRANGE', key(Key.groups, q.name), 0, -1)) do groups[name] = groups[name] or zeros(8) end
  local standing = zeros(PRIORITIES)
  for name, sums in pairs(groups) do
    local g = Group.get(q, name, true)
    for i = 1, 8 do
      if g.counts[i] ~= sums[i] then found, g.changed = 1, true end
    end
    g.counts = sums
    if g.running ~= sums[RUNNING + 1] then g.running, g.changed, found = sums[RUNNING + 1], true, 1 end
    running = running + g.running
    if g.entry then standing[g.entry] = standing[g.entry] + 1 end
  end
  for i = 1, PRIORITIES do
    if q.standing[i] ~= standing[i] then found = 1 end
  end
  q.counts, q.running, q.standing, q.changed = counts, running, standing, true
  q.plans = true
  return found
end

-- Looks at a stretch of a queue's jobs behind a number; answers where to go on ('' at the end), and how much was put
-- right. Jobs whose records are gone leave the index; at the end the counts are compared with what is there.
verb('sweep', { 'allow-oom' }, function()
  local name, from, budget = arg(), argn() or -1, argn()
  local q = Queue.get(name, true)
  local found, examined, first = 0, 0, max(floor(from / PAGE), 0)
  while examined < budget do
    local page = call('ZRANGEBYSCORE', key(Key.pages, name), first, '+inf', 'LIMIT', 0, 1)[1]
    if not page then
      -- The names themselves may have been lost: a number that is too small would be given twice.
      q.number = max(q.number, first * PAGE)
      save_index()
      return { '', found + recount(q) }
    end
    for slot, id in pairs(read_page(name, page)) do
      local j = Job.load(id)
      if j then
        found = found + check(j)
      else
        unindex(name, page * PAGE + slot)
        Now.heads[id] = false
        found = found + 1
      end
      examined = examined + 1
    end
    first = tonumber(page) + 1
  end
  return { int(first * PAGE - 1), found }
end)
