-- Schedules: kept and ticked here, computed in Rust. A tick is applied only if nobody has dealt with it.
--
-- A schedule is a packed list: its text, every tick up to here was dealt with, the last tick, the last job, the next
-- tick, how many made a job, how many were skipped.

local SCHEDULES_MAX = 10000

local function schedule_of(name)
  local raw = call('HGET', key(Key.schedules), name)
  return raw and munpack(raw)
end

local function put_schedule(name, t)
  call('HSET', key(Key.schedules), name, mpack(t))
  if t[5] == '' then
    call('ZREM', key(Key.schedules_due), name)
  else
    call('ZADD', key(Key.schedules_due), t[5], name)
    due_at(tonumber(t[5]))
  end
end

verb('set_schedule', {}, function()
  local name, queue, text, next_tick = arg(), arg(), arg(), arg()
  local old = schedule_of(name)
  if not old and call('HLEN', key(Key.schedules)) >= SCHEDULES_MAX then
    return invalid('schedule', 'this store has 10,000 schedules')
  end
  Queue.get(queue, true)
  put_schedule(name, {
    text, int(Now.at), old and old[3] or '', old and old[4] or '', next_tick, old and old[6] or '0', old and old[7] or '0',
  })
  return ''
end)

verb('delete_schedule', { 'allow-oom' }, function()
  local name = arg()
  if call('HDEL', key(Key.schedules), name) == 0 then
    return reject('not_found', ',"what":"schedule ' .. name .. '"')
  end
  call('ZREM', key(Key.schedules_due), name)
  return ''
end)

verb('schedules', { 'no-writes' }, function()
  local out = {}
  for name, raw in pairs_of(call('HGETALL', key(Key.schedules))) do out[#out + 1] = { name, munpack(raw) } end
  return out
end)

verb('due_schedules', { 'no-writes' }, function()
  local out = {}
  for i, name in ipairs(call('ZRANGEBYSCORE', key(Key.schedules_due), '-inf', Now.at, 'LIMIT', 0, argn())) do
    out[i] = { name, schedule_of(name) }
  end
  return { int(Now.at), out }
end)

-- Applies ticks: those that made a job, in order, each with how many before it were skipped; then where the schedule
-- stands. `through` must be what the one who computed them saw.
verb('tick', {}, function()
  local name, through, n = arg(), arg(), argn()
  local t = schedule_of(name)
  if not t or t[2] ~= through then return 'gone' end
  local skips = arg() == '1'
  for _ = 1, n do
    local tick, skipped = arg(), argn()
    local a = Enqueue.read()
    local last = t[4] ~= '' and Job.load(t[4])
    t[2], t[3] = tick, tick
    if skips and last and last.state < COMPLETED then
      t[7] = int(tonumber(t[7]) + skipped + 1)
    else
      local refused = is_refusal(Enqueue.take_in(a, false))
      t[7] = int(tonumber(t[7]) + skipped)
      if not refused then
        t[6] = int(tonumber(t[6]) + 1)
        t[4] = a.id
      end
    end
  end
  local skipped, reached, next_tick = argn(), arg(), arg()
  if skipped > 0 or n == 0 then
    t[7] = int(tonumber(t[7]) + skipped)
    t[2], t[3] = reached, reached
  end
  t[5] = next_tick
  put_schedule(name, t)
  return ''
end)
