-- What is about no single job: events, readers, workers, values, what the store is.

verb('events', { 'no-writes' }, function()
  local from, index, limit = arg(), argn(), argn()
  local s = state()
  s.changed = false
  local number
  if from == 'earliest' then number = s.first elseif from == 'latest' then number = s.entry else number = tonumber(from) end
  if number > s.entry then return false end
  local gap = 0
  if number < s.first then
    gap = number ~= 0 and 1 or 0
    number, index = s.first, 0
  end
  local entries, out = call('XRANGE', key(Key.events), int(number) .. '-0', '+', 'COUNT', limit), {}
  for i, entry in ipairs(entries) do out[i] = { entry[1]:match('^(%d+)'), entry[2][2] } end
  return { int(number), int(index), gap, int(s.entry), out }
end)

verb('set_reader', { 'allow-oom' }, function()
  local name, place = arg(), arg()
  call('HSET', key(Key.readers), name, place)
  return ''
end)

verb('delete_reader', { 'allow-oom' }, function()
  call('HDEL', key(Key.readers), arg())
  return ''
end)

verb('readers', { 'no-writes' }, function()
  return call('HGETALL', key(Key.readers))
end)

verb('hello', { 'allow-oom' }, function()
  local worker, text = arg(), arg()
  local is_new = call('HSET', key(Key.workers), worker, text) == 1
  call('HSET', key(Key.workers) .. SEP .. 'seen', worker, Now.at)
  if is_new then
    for silent, seen in pairs_of(call('HGETALL', key(Key.workers) .. SEP .. 'seen')) do
      if tonumber(seen) + FORGOTTEN_MS < Now.at then
        call('HDEL', key(Key.workers), silent)
        call('HDEL', key(Key.workers) .. SEP .. 'seen', silent)
      end
    end
  end
  return ''
end)

verb('bye', { 'allow-oom' }, function()
  local worker = arg()
  call('HDEL', key(Key.workers), worker)
  call('HDEL', key(Key.workers) .. SEP .. 'seen', worker)
  return ''
end)

verb('workers', { 'no-writes' }, function()
  local out = {}
  for worker, text in pairs_of(call('HGETALL', key(Key.workers))) do
    local seen = seen_of(worker)
    if is_there(worker, seen) then
      out[#out + 1] = { text, seen, call('HGET', key(Key.held), worker) or '0' }
    end
  end
  return out
end)

verb('meta', { 'no-writes' }, function()
  local raw = call('HGET', key(Key.meta), arg())
  if not raw then return { '0', '' } end
  local version, at = sunpack('>I8', raw)
  return { int(version), raw:sub(at) }
end)

verb('set_meta', {}, function()
  local name, value, given = arg(), arg(), argn()
  local raw = call('HGET', key(Key.meta), name)
  local current = raw and (sunpack('>I8', raw)) or 0
  if given ~= current then
    return reject('version_conflict', ',"given":' .. int(given) .. ',"current":' .. int(current))
  end
  call('HSET', key(Key.meta), name, spack('>I8', current + 1) .. value)
  return int(current + 1)
end)

verb('info', { 'no-writes' }, function()
  local s = state()
  s.changed = false
  return { int(s.jobs), int(s.bytes) }
end)

-- Whether something is claimable now in one of these queues; where only time opens one, upkeep is told when.
verb('work', { 'allow-oom' }, function()
  local n, work = argn(), false
  for _ = 1, n do
    local q = Queue.get(arg())
    if q then
      local standing = 0
      for i = 1, PRIORITIES do standing = standing + q.standing[i] end
      if standing > 0 then
        local shut, at = queue_shut(q)
        if not shut then
          work = true
        elseif at then
          set_queue_timer(q, at)
        end
      end
    end
  end
  return work and 1 or 0
end)
