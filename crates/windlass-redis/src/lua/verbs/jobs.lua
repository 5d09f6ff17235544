-- Reading jobs: one in full, lists, reasons.

verb('get', { 'no-writes' }, function()
  local id = arg()
  local j = Job.load(id)
  if not j then return false end
  local children = {}
  for _, child in ipairs(children_of(j)) do
    if call('EXISTS', key(Key.job, child)) == 1 then children[#children + 1] = child end
  end
  local extra = Job.has(j, Flag.EXTRA) and call('HGETALL', key(Key.extra, id)) or {}
  return { Job.record(j), extra, children }
end)

-- Whole records of the first of these jobs, false for one that is not there, up to so many bytes, but one at least.
verb('bodies', { 'no-writes' }, function()
  local n, most, bytes, out = argn(), argn(), 0, {}
  for i = 1, n do
    local raw = call('GET', key(Key.job, arg()))
    bytes = bytes + (raw and #raw or 0)
    if i > 1 and bytes > most then break end
    out[i] = raw
  end
  return out
end)

verb('logs', { 'no-writes' }, function()
  local id, attempt = arg(), arg()
  local j = Job.load(id)
  if not j then return false end
  return { Extra.get(j, 'l' .. attempt) or '' }
end)

local function shown(number, j)
  return { number, j.id, Job.record(j), Extra.get(j, 'e') or '' }
end

-- Jobs by id.
verb('list_ids', { 'no-writes' }, function()
  local n, out = argn(), {}
  for i = 1, n do
    local j = Job.load(arg())
    out[i] = j and shown(0, j) or false
  end
  return out
end)

local function wanted(states, j)
  return states == '' or states:find(char(48 + j.state), 1, true)
end

-- A stretch of a queue's index of jobs, behind a number: those in the states wanted, how many were looked at, and
-- the number of the last one.
verb('list', { 'no-writes' }, function()
  local queue, from, most, states = arg(), argn() or -1, argn(), arg()
  local out, examined, last = {}, 0, from
  local first = max(floor(from / PAGE), 0)
  while examined < most do
    local page = call('ZRANGEBYSCORE', key(Key.pages, queue), first, '+inf', 'LIMIT', 0, 1)[1]
    if not page then break end
    local numbers, ids = {}, {}
    for slot, id in pairs(read_page(queue, page)) do
      local number = page * PAGE + slot
      if number > from then numbers[#numbers + 1], ids[number] = number, id end
    end
    table.sort(numbers)
    for _, number in ipairs(numbers) do
      if examined == most then break end
      examined, last = examined + 1, number
      local j = Job.load(ids[number])
      if j and wanted(states, j) then out[#out + 1] = shown(int(number), j) end
    end
    first = tonumber(page) + 1
  end
  return { out, examined, int(last) }
end)

-- The same for its ended jobs of one state, the newest first, before a place in their order.
verb('list_ended', { 'no-writes' }, function()
  local queue, how, before, most = arg(), argn(), argn(), argn()
  local q = Queue.get(queue)
  if not q then return { {}, 0, '' } end
  local name = ended_key(q, how)
  -- How many entries lie before that place, by bisection.
  local low, high = 0, call('LLEN', name)
  while before and low < high do
    local middle = floor((low + high) / 2)
    local _, _, seq = read_ended(call('LINDEX', name, middle))
    if seq < before then low = middle + 1 else high = middle end
  end
  local out, examined, last = {}, 0, ''
  if high > 0 then
    local entries = call('LRANGE', name, max(high - most, 0), high - 1)
    for i = #entries, 1, -1 do
      local id, _, seq = read_ended(entries[i])
      examined, last = examined + 1, int(seq)
      local j = Job.load(id)
      if is_ended(j, how, seq) then out[#out + 1] = shown(last, j) end
    end
  end
  return { out, examined, last }
end)

-- Why is it not running? The reason's word and what the sentence about it needs.
local function why_ready(j)
  local lane = lane_of(j)
  local g, q = lane.g, lane.g.q
  if q.settings.paused then return { 'queue_paused', q.name } end
  if g.ordered and place_head(g) ~= j.id then
    local head = place_head(g)
    local other = head and Job.load(head)
    return { 'ordered_behind', head or '', other and STATE_WORDS[other.state + 1] or 'gone' }
  end
  local most = q.settings.concurrency
  if most and q.running >= most then return { 'queue_concurrency', q.name, int(most) } end
  local shut, at = queue_shut(q)
  if shut and at then return { 'rate_limited', 'the rate of queue ' .. q.name .. ' is used up, or it is held', int(at) } end
  local how, opens = group_shut(g)
  if how == 'full' then return { 'group_concurrency', q.name, int(g.settings.concurrency), int(g.running) } end
  if how then return { 'rate_limited', 'the rate of its group is used up, or it is held', int(opens) } end
  local m, opens_at
  if lane.stands == WAITS then m = Limit.get(lane.limit) else m, opens_at = limits_shut(lane.set) end
  if m then
    local bound, cost = m.settings.concurrency, cost_of(lane.set, m.name)
    if bound and m.in_use + cost > bound then return { 'limit', m.name, int(bound), int(m.in_use), int(cost) } end
    opens_at = opens_at or (m.timer > Now.at and m.timer) or nil
    return { 'rate_limited', 'the rate of limit ' .. m.name .. ' is used up, or it is held', opens_at and int(opens_at) or '' }
  end
  if q.running == 0 and not has_worker(q.name) then return { 'no_worker', q.name } end
  local _, first = Lane.peek(lane)
  local ahead = min(max(j.seq - (first or j.seq), 0), max(g.counts[READY + 1] - 1, 0))
  local standing = 0
  for i = 1, PRIORITIES do standing = standing + q.standing[i] end
  return { 'fair_share', int(g.settings.weight), int(standing), int(j.priority), int(ahead) }
end

verb('why', { 'allow-oom' }, function()
  local id = arg()
  local j = Job.load(id)
  if not j then return false end
  local how = j.state
  if how == RUNNING then return { 'running', int(j.attempt), int(j.started) } end
  if how >= COMPLETED then return { 'ended', STATE_WORDS[how + 1], int(j.when) } end
  if how == RETRYING then
    return { 'retry_backoff', int(j.failures), int(j.losses), Extra.get(j, 'e') or 'none', int(j.when) }
  end
  if how == SCHEDULED and Job.has(j, Flag.NO_HANDLER) then
    return { 'no_handler', int(j.no_handler), j.kind, int(j.when) }
  end
  if how == SCHEDULED and Job.has(j, Flag.SNOOZED) then return { 'snoozed', Extra.get(j, 'r') or '', int(j.when) } end
  if how == SCHEDULED then return { 'scheduled', int(j.when) } end
  if how == BLOCKED then
    local waits = { 'waiting_on_parents' }
    for _, parent in ipairs(Job.options(j).parents) do
      local p = Job.load(parent.id)
      if #waits < 4 and p and not released_by(p.state, parent.always) then waits[#waits + 1] = parent.id end
    end
    return waits
  end
  return why_ready(j)
end)
