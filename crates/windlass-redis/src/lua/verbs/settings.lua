-- Settings changed live, and what people see of queues, groups and limits.

local ORDER_IS_FIXED = 'ordered can be changed only while the group has no live or dead jobs'

local function has_live_jobs(g)
  for how = SCHEDULED, DEAD do
    if how ~= COMPLETED and g.counts[how + 1] > 0 then return true end
  end
  return false
end

-- Switches an empty group between places and lanes, and lets a dead head go that shuts the group no longer.
local function set_ordered(g, ordered)
  if g.ordered ~= ordered and not g.entry and not g.parked then g.ordered, g.changed = ordered, true end
  while g.ordered do
    local head = place_head(g)
    local j = head and Job.load(head)
    if not j or j.state ~= DEAD or keeps_place(j, DEAD) then break end
    leave_place(j)
    j.seq = take_seq()
    enter_ended(j, j.when)
  end
end

local function apply_group_settings(g)
  g.settings = g.own and parse_settings(g.own, 'group') or g.q.settings.groups
  set_ordered(g, g.settings.ordered)
  g.tat_ms, g.tat_fraction = rebased(g.settings.rate, g.tat_ms, g.tat_fraction)
  g.changed = true
  unpark(g)
end

-- Each group of a queue; walked only when the groups' defaults change.
local function each_group(q, act)
  for _, name in ipairs(call('ZRANGE', key(Key.groups, q.name), 0, -1)) do
    local g = Group.get(q, name)
    if g and act(g) then return true end
  end
  return false
end

local function groups_part(text)
  return text:match('"groups":(%b{})')
end

local function set_queue(q, text)
  local old = call('HGET', key(Key.queue, q.name), 's') or DEFAULT_QUEUE
  local settings = parse_settings(text, 'queue')
  if settings.groups.ordered ~= q.settings.groups.ordered
    and each_group(q, function(g) return not g.own and has_live_jobs(g) end) then
    return invalid('settings', ORDER_IS_FIXED)
  end
  q.settings = settings
  q.tat_ms, q.tat_fraction = rebased(settings.rate, q.tat_ms, q.tat_fraction)
  call('HSET', key(Key.queue, q.name), 's', text)
  call('ZADD', key(Key.queues), 0, q.name)
  if groups_part(old) ~= groups_part(text) then
    each_group(q, function(g)
      if g.own then unpark(g) else apply_group_settings(g) end
      return false
    end)
  end
  for _, g in pairs(Now.groups) do
    if g and g.q == q and not g.own then g.settings = settings.groups end
  end
  q.plans, q.changed = true, true
  touch(q)
  return ''
end

verb('set_queue', { 'allow-oom' }, function()
  local name, text = arg(), arg()
  return set_queue(Queue.get(name, true), text)
end)

verb('pause', { 'allow-oom' }, function()
  local name, paused = arg(), arg()
  local q = Queue.get(name, true)
  local text = call('HGET', key(Key.queue, name), 's') or DEFAULT_QUEUE
  return set_queue(q, (text:gsub('"paused":%a+', '"paused":' .. paused, 1)))
end)

verb('set_group', { 'allow-oom' }, function()
  local queue, name, text = arg(), arg(), arg()
  local q = Queue.get(queue, true)
  local ordered
  if text == '' then ordered = q.settings.groups.ordered else ordered = parse_settings(text, 'group').ordered end
  local g = Group.get(q, name)
  if g and g.ordered ~= ordered and has_live_jobs(g) then return invalid('settings', ORDER_IS_FIXED) end
  g = Group.get(q, name, true)
  g.own = text ~= '' and text or false
  apply_group_settings(g)
  touch(q)
  return ''
end)

local LIMITS_MAX = 1000000

verb('set_limit', { 'allow-oom' }, function()
  local name, text = arg(), arg()
  local m = Limit.get(name)
  if text == '' and not m.known then return reject('not_found', ',"what":"limit ' .. name .. '"') end
  if not m.known and call('ZCARD', key(Key.limits)) >= LIMITS_MAX then
    return invalid('limit', 'this store has 1,000,000 named limits')
  end
  m.text = text ~= '' and text or false
  m.settings = m.text and parse_settings(m.text, 'limit') or UNLIMITED
  m.hold, m.changed = 0, true
  m.tat_ms, m.tat_fraction = rebased(m.settings.rate, m.tat_ms, m.tat_fraction)
  Limit.wake(m)
  return ''
end)

local function ints(list)
  local out = {}
  for i, n in ipairs(list) do out[i] = int(n) end
  return out
end

verb('queue_names', { 'no-writes' }, function()
  return call('ZRANGE', key(Key.queues), 0, -1)
end)

verb('queues', { 'allow-oom' }, function()
  local n, out = argn(), {}
  for _ = 1, n do
    local name = arg()
    local q = Queue.get(name)
    if q then
      local oldest = oldest_ready(q)
      out[#out + 1] = {
        name, call('HGET', key(Key.queue, name), 's') or DEFAULT_QUEUE, ints(q.counts), ints(q.totals),
        oldest and int(oldest) or '', int(q.groups), call('HGETALL', key(Key.histograms, name)), int(last_minute(q)),
      }
    end
  end
  return out
end)

verb('series', { 'no-writes' }, function()
  local q = Queue.get(arg())
  if not q then return false end
  return { int(Now.at), call('HGETALL', key(Key.series, q.name)), ints(q.charts) }
end)

verb('groups', { 'no-writes' }, function()
  local queue, after, limit = arg(), arg(), argn()
  local q, out = Queue.get(queue), {}
  if not q then return out end
  local from = after == '' and '-' or '(' .. after:sub(2)
  for _, name in ipairs(call('ZRANGEBYLEX', key(Key.groups, queue), from, '+', 'LIMIT', 0, limit)) do
    local g = Group.get(q, name)
    if g then
      local head = g.ordered and place_head(g)
      local j = head and Job.load(head)
      local text = g.own or groups_part(call('HGET', key(Key.queue, queue), 's') or DEFAULT_QUEUE)
      out[#out + 1] = {
        name, text, g.own and 1 or 0, ints(g.counts), int(g.claimed), g.hold > Now.at and int(g.hold) or '',
        j and j.state == DEAD and head or '',
      }
    end
  end
  return out
end)

verb('limits', { 'no-writes' }, function()
  local after, limit = arg(), argn()
  local out = {}
  local from = after == '' and '-' or '(' .. after:sub(2)
  for _, name in ipairs(call('ZRANGEBYLEX', key(Key.limits), from, '+', 'LIMIT', 0, limit)) do
    local m = Limit.get(name)
    local _, at = Limit.shut(m, 1)
    local waiting = 0
    for _, n in pairs(m.lines) do waiting = waiting + n end
    out[#out + 1] = { name, m.text or '', int(m.in_use), int(waiting), at and int(at) or '' }
  end
  return out
end)

verb('errors', { 'no-writes' }, function()
  local out = {}
  for print, packed in pairs_of(call('HGETALL', key(Key.failures, arg()))) do
    local m = munpack(packed)
    out[#out + 1] = { print, m[1], m[2], int(m[3]), int(m[4]), int(m[5]), int(m[6]), m[7] }
  end
  return out
end)
