-- Plain jobs, done without a table for each: the common case, and most of what a busy server does.
--
-- A job is plain as long as nothing but its names, its payload and its lease is written about it: no options, no
-- failure, no child, no place in an ordered group. Each step here does to the bytes of such a job what the long way
-- does through `Job`, `move_to` and their kin; whatever is out of the ordinary is left to the long way, which is the
-- one to read. Without this file nothing would change but the
-- speed, and a test holds it to that.

-- For the files that follow.
local Plain

do
  Plain = {}

  -- Where the parts of a record stand that has its second part; the names begin behind it.
  local TOKEN, WORKER, STARTED, ACK, PRINT, NAMES = 57, 73, 81, 99, 116, 128
  -- What the first three bytes say, state and flags, of a plain job that waits, runs, has completed.
  local WAITING, HELD, COMPLETED_FLAGS, ENDED_FLAGS = '\1\0\0', '\2\0\1', '\5\1\1', '\1\1'
  -- The end of what is read of a record: all before its names, and the names if they are not long. As text, since Redis
  -- writes every number that it is given out as text.
  local LAST, WHOLE = '191', 192
  -- Event, cause and what follows, in an entry of the event log: a completion, a removal by retention.
  local COMPLETION, REMOVAL = '\3\0\1', '\14\11\0'
  -- How a completed attempt was settled.
  local SETTLED = '\1'

  -- What plain jobs of equal names share in this call: their queue, group and lane, and what became of them since
  -- it was last written down.
  local function shared(names)
    local c = Now.shared[names]
    if not c then
      local queue, kind, group = sunpack('Bc0Bc0Bc0', names)
      local q = Queue.get(queue, true)
      c = { q = q, g = Group.get(q, group, true), names = names, completed = 0, removed = 0 }
      Now.shared[names] = c
    end
    return c
  end

  -- The names in a record that has its second part (`from` = NAMES) or not.
  local function names_at(raw, from)
    local queue = byte(raw, from)
    local kind = byte(raw, from + 1 + queue)
    local group = kind and byte(raw, from + 2 + queue + kind)
    return group and raw:sub(from, from + 2 + queue + kind + group)
  end

  -- The beginning of a plain job's record and its names, if its state and flags are those.
  local function read(id, flags)
    if Now.jobs[id] ~= nil then return nil end
    local raw = call('GETRANGE', NS .. 'j' .. id, '0', LAST)
    if raw:sub(1, 3) ~= flags then
      if #raw < WHOLE then Now.jobs[id] = raw ~= '' and Job.parse(id, raw, true) end
      return nil
    end
    local names = Now.names
    if raw:sub(NAMES, NAMES - 1 + #names) ~= names or names == '' then
      names = names_at(raw, NAMES)
      -- Longer than what was read.
      if not names or #names > #raw - NAMES + 1 then return nil end
      Now.names = names
    end
    return raw, names
  end

  -- Takes new jobs of equal names in, if they can be taken in this way; answers whether it did.
  function Plain.enqueue(names, ids, payloads, answers, from)
    local c, n = shared(names), #ids
    local q, g, s = c.q, c.g, state()
    if g.ordered or q.settings.max_waiting then return false end
    local lane = Lane.get(g, 10, '')
    local writes, events, at = Now.writes, Now.events, Now.at
    local prefix = spack('>BHbI6I6', READY, 0, 0, at, at)
    local event = spack('>BBBI4', Event.ENQUEUED, 0, 0, 0)
    local created = char(0, READY)
    local store, is_list = Lane.store(lane), g.name ~= ''
    local seq, number, w, e = s.seq, q.number, #writes, #events
    local first, entries = seq, {}
    local page, slots
    for i = 1, n do
      local id = ids[i]
      writes[w + 1] = NS .. 'j' .. id
      writes[w + 2] = prefix .. spack('>I6I6', seq, number) .. names .. payloads[i]
      w = w + 2
      if is_list then
        entries[i] = spack('>I6', seq) .. id
      else
        call('XADD', store, int(seq) .. '-0', '', id)
      end
      if not slots or number % PAGE == 0 then slots = index_slots(q.name, number) end
      slots[#slots + 1] = id
      e = e + 1
      events[e] = event .. id .. names
      answers[from + i] = created .. id
      seq, number = seq + 1, number + 1
    end
    Now.event_count = Now.event_count + n
    s.seq, s.jobs, q.number = seq, s.jobs + n, number
    for at_entry = 1, #entries, 1000 do
      call('RPUSH', store, tunpack(entries, at_entry, min(at_entry + 999, #entries)))
    end
    Lane.grow(lane, n, first)
    q.counts[READY + 1], g.counts[READY + 1] = q.counts[READY + 1] + n, g.counts[READY + 1] + n
    q.totals[1] = q.totals[1] + n
    q.changed, g.changed = true, true
    count_in_chart(q, 'e', n)
    if lane.stands == IDLE then Lane.stand(lane) end
    touch(q)
    return true
  end

  -- Starts jobs of a lane in their order, the others among them by `start`, which is the long way; answers how many, or
  -- nil when there is no short way for this lane.
  function Plain.start(lane, ids, worker, nonce, taken, start)
    local g, q, s = lane.g, lane.g.q, state()
    if lane.set ~= '' or g.ordered or g.settings.rate or q.settings.rate then return nil end
    local keys = {}
    for i, id in ipairs(ids) do
      if Now.jobs[id] ~= nil then return nil end
      keys[i] = NS .. 'j' .. id
    end
    local at, deadline = Now.at, Now.at + q.settings.lease_ms
    local score = int(deadline)
    local before = spack('>I4HBHHI4BI6I6', 1, 0, 0, 0, 0, 0, 0, 0, 0)
    local after = nonce .. worker .. spack('>I6I6I6I8c8Bc8I4', at, deadline, 0, 0, NONE8, 0, NONE8, 0)
    local event = spack('>BBBI4', Event.CLAIMED, 0, 1, 1)
    local writes, events, leases, waits = Now.writes, Now.events, Now.leases, {}
    local n, others, names = 0, 0, ''
    for i, raw in ipairs(call('MGET', tunpack(keys))) do
      local id = ids[i]
      if raw and raw:sub(1, 3) == WAITING then
        if names == '' or raw:sub(29, 28 + #names) ~= names then names = names_at(raw, 29) end
        local counter = s.counter
        s.counter = counter + 1
        raw = HELD .. raw:sub(4, 28) .. before .. spack('>I8', counter) .. after .. raw:sub(29)
        local w, l = #writes, #leases
        writes[w + 1], writes[w + 2] = keys[i], raw
        leases[l + 1], leases[l + 2] = score, id
        events[#events + 1] = event .. id .. names .. worker
        local since = sunpack('>I6', raw, 11)
        waits[since] = (waits[since] or 0) + 1
        taken[#taken + 1] = { id, raw, false }
        n = n + 1
      else
        local j = raw and Job.parse(id, raw, true)
        Now.jobs[id] = j
        if j and j.state == READY then
          start(j, lane, worker, nonce)
          taken[#taken + 1] = j
          others = others + 1
        end
      end
    end
    Now.event_count = Now.event_count + n
    for since, k in pairs(waits) do record(q, 'w', at - since, k) end
    g.counts[READY + 1], q.counts[READY + 1] = g.counts[READY + 1] - n, q.counts[READY + 1] - n
    g.counts[RUNNING + 1], q.counts[RUNNING + 1] = g.counts[RUNNING + 1] + n, q.counts[RUNNING + 1] + n
    g.running, q.running, g.claimed = g.running + n, q.running + n, g.claimed + n
    q.totals[2] = q.totals[2] + n
    g.changed, q.changed = true, true
    Now.held[worker] = (Now.held[worker] or 0) + n
    return n + others
  end

  -- Completes a plain job without a result; answers whether it did. The counts follow with `Plain.settle`.
  function Plain.complete(id, token)
    local raw, names = read(id, HELD)
    if not raw or raw:sub(TOKEN, TOKEN + 15) ~= token then return false end
    local c, s, at = shared(names), state(), Now.at
    local worker, seq = raw:sub(WORKER, WORKER + 7), s.seq
    s.seq = seq + 1
    local place = spack('>I6I6', at, seq)
    call('SETRANGE', NS .. 'j' .. id, '0', COMPLETED_FLAGS .. raw:sub(4, 10) .. place .. raw:sub(23, ACK - 1) .. token
      .. SETTLED .. raw:sub(PRINT, NAMES - 1))
    local line = ended_line(c.q, COMPLETED)
    line[#line + 1] = spack('>I6I6', seq, at) .. id
    local events = Now.events
    events[#events + 1] = COMPLETION .. raw:sub(29, 32) .. id .. names .. worker
    Now.event_count = Now.event_count + 1
    Now.released[#Now.released + 1] = id
    Now.held[worker] = (Now.held[worker] or 0) - 1
    record(c.q, 'r', at - sunpack('>I6', raw, STARTED))
    c.completed = c.completed + 1
    Now.unsettled = true
    return true
  end

  -- Removes an ended plain job; answers whether it did, or could not since it is another job than the entry says.
  function Plain.remove(id, how, seq)
    local raw, names = read(id, char(how) .. ENDED_FLAGS)
    if not raw or sunpack('>I6', raw, 17) ~= seq then return false end
    local c, number = shared(names), sunpack('>I6', raw, 23)
    unindex(c.q.name, number)
    local deleted, events = Now.deleted, Now.events
    deleted[#deleted + 1] = NS .. 'j' .. id
    events[#events + 1] = REMOVAL .. raw:sub(29, 32) .. id .. names
    Now.event_count = Now.event_count + 1
    Now.gone[id], Now.jobs[id] = how, false
    local q, g, s = c.q, c.g, state()
    q.counts[how + 1], g.counts[how + 1] = q.counts[how + 1] - 1, g.counts[how + 1] - 1
    q.changed, g.changed = true, true
    s.jobs = s.jobs - 1
    return true
  end

  -- Brings the counts up to date with what was completed since.
  function Plain.settle()
    if not Now.unsettled then return end
    Now.unsettled = false
    for _, c in pairs(Now.shared) do
      local n, q, g = c.completed, c.q, c.g
      if n > 0 then
        c.completed = 0
        g.counts[RUNNING + 1], q.counts[RUNNING + 1] = g.counts[RUNNING + 1] - n, q.counts[RUNNING + 1] - n
        g.counts[COMPLETED + 1], q.counts[COMPLETED + 1] = g.counts[COMPLETED + 1] + n, q.counts[COMPLETED + 1] + n
        g.running, q.running = g.running - n, q.running - n
        g.changed, q.changed = true, true
        q.totals[3] = q.totals[3] + n
        count_in_chart(q, 'c', n)
        look_at_retention(q, COMPLETED)
        if q.settings.concurrency then touch(q) end
        if g.parked then unpark(g) end
      end
    end
  end

  -- For a test that the long way alone answers the same.
  if LONG_WAY then
    local function never() return false end
    Plain.enqueue, Plain.complete, Plain.remove = never, never, never
    Plain.start = function() return nil end
  end
end
