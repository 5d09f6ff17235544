-- Plain jobs, done without a table for each: the common case, and most of what a busy server does.
--
-- A job is plain as long as nothing but its names, its payload and its first lease is written about it: no options, no
-- failure, no child, no place in an ordered group. The record of such a job stays as it was enqueued; its lease, and
-- then its completion, stand beside it as its *head*, so that a batch of them is a few commands and no payload is cut
-- up. Each step here does to heads what the long way does through `Job`, `move_to` and their kin; whatever is out of the
-- ordinary is left to the long way, which is the one to read, and which makes the record whole (`Job.join`). Without
-- this file nothing would change but the speed, and a test holds it to that.

-- For the files that follow.
local Plain

do
  Plain = {}

  -- A head: state (1), token (16), worker (8), started (6), place among the ended (6), deadline or end (6), number (6),
  -- names. `Job.join` reads it too.
  local TOKEN, WORKER, PLACE, NUMBER, NAMES = 2, 18, 32, 44, 50
  local DONE = '\5'
  -- What the first three bytes of a record say, state and flags, of a plain job that waits or has a head.
  local WAITING = '\1\0\0'
  -- Where the names, the time and the number stand in such a record.
  local RECORD_WHEN, RECORD_NUMBER, RECORD_NAMES = 11, 23, 29
  -- Event, cause, flags and attempt in an entry of the event log.
  local ENQUEUE, CLAIM = '\0\0\0\0\0\0\0', '\2\0\1\0\0\0\1'
  local COMPLETION, REMOVAL = '\3\0\1\0\0\0\1', '\14\11\0\0\0\0\1'

  -- What plain jobs of equal names share in this call: their queue and group, and what became of them since it was
  -- last written down. `all` are names; their groups are read in one go.
  local function share(all)
    local ids, n = {}, 0
    for i = 1, #all do
      local names = all[i]
      if not Now.shared[names] then
        local queue, _, group = sunpack('Bc0Bc0Bc0', names)
        local q, id = Queue.get(queue, true), queue .. SEP .. group
        Now.shared[names] = {
          q = q, group = group, id = id, names = names, completed = 0, removed = 0, worker = false, tail = '',
        }
        n = n + 1
        ids[n] = id
      end
    end
    Group.fetch(ids)
  end

  -- The names in a record without its second part.
  local function names_at(raw, from)
    local queue = byte(raw, from)
    local kind = byte(raw, from + 1 + queue)
    local group = byte(raw, from + 2 + queue + kind)
    return raw:sub(from, from + 2 + queue + kind + group)
  end

  -- The heads of jobs in that state, and their names; false for every other job.
  local function read(ids, how)
    if #ids == 0 then return {}, {} end
    local heads, names, distinct, n = call('HMGET', NS .. Key.heads, tunpack(ids)), {}, {}, 0
    local last, length = '', -1
    for i = 1, #ids do
      local id = ids[i]
      local pending = Now.heads[id]
      local head = pending == nil and heads[i] or pending
      if head and byte(head) == how and Now.jobs[id] == nil then
        if #head ~= length or not head:find(last, NAMES, true) then
          last, length = head:sub(NAMES), #head
          n = n + 1
          distinct[n] = last
        end
        names[i] = last
      else
        head = false
      end
      heads[i] = head
    end
    share(distinct)
    return heads, names
  end

  -- Takes new jobs of equal names in, if they can be taken in this way; answers whether it did. They are the `n` ids
  -- and keys after `before`; their payloads stand among the call's arguments, two apart, from `at` on.
  function Plain.enqueue(names, ids, keys, before, n, at, answers)
    local c = Now.shared[names]
    local q, s, is_list = c.q, state(), c.group ~= ''
    if q.settings.max_waiting then return false end
    local g, lane
    local store = is_list and Turn.grow(q, c.id, c.group, n, s.seq)
    if not store then
      g = Group.get(q, c.group, true)
      if g.ordered then return false end
      lane = Lane.get(g, 10, '')
      store = Lane.store(lane)
    end
    local writes, events, args, now = Now.writes, Now.events, Now.args, Now.at
    local prefix = spack('>BHbI6I6', READY, 0, 0, now, now)
    local created = char(0, READY)
    local seq, number, w, e = s.seq, q.number, #writes, #events
    local first, entries = seq, {}
    local slots, taken
    for i = 1, n do
      local id = ids[before + i]
      writes[w + 1] = keys[before + i]
      writes[w + 2] = prefix .. spack('>I6I6', seq, number) .. names .. args[at]
      w, at = w + 2, at + 2
      if is_list then
        entries[i] = spack('>I6', seq) .. id
      else
        call('XADD', store, string.format('%d-0', seq), '', id)
      end
      if not slots or number % PAGE == 0 then
        slots = index_slots(q.name, number)
        taken = #slots
      end
      taken = taken + 1
      slots[taken] = id
      events[e + 1], events[e + 2], events[e + 3] = ENQUEUE, id, names
      e = e + 3
      answers[before + i] = created
      seq, number = seq + 1, number + 1
    end
    Now.event_count = Now.event_count + n
    s.seq, s.jobs, q.number = seq, s.jobs + n, number
    for at_entry = 1, #entries, 1000 do
      call('RPUSH', store, tunpack(entries, at_entry, min(at_entry + 999, #entries)))
    end
    q.counts[READY + 1], q.totals[1], q.changed = q.counts[READY + 1] + n, q.totals[1] + n, true
    if lane then
      Lane.grow(lane, n, first)
      g.counts[READY + 1], g.changed = g.counts[READY + 1] + n, true
      if lane.stands == IDLE then Lane.stand(lane) end
    end
    count_in_chart(q, 'e', n)
    touch(q)
    return true
  end

  -- Reads what plain jobs of these names share, before they are enqueued.
  Plain.share = share

  -- Jobs that were taken out of their lanes and are to start together.
  function Plain.held()
    return { ids = {}, lanes = {}, n = 0 }
  end

  -- Counts jobs of a lane as running that `Plain.start` is to start; answers false when the lane has no short way.
  function Plain.hold(lane, ids, held)
    local g = lane.g
    local q, n, at = g.q, #ids, held.n
    if lane.set ~= '' or g.ordered or g.settings.rate or q.settings.rate then return false end
    if next(Now.jobs) then
      for i = 1, n do
        if Now.jobs[ids[i]] ~= nil then return false end
      end
    end
    for i = 1, n do held.ids[at + i] = ids[i] end
    -- The lane of those that follow, up to the next; or the name of a group that had its turn.
    held.lanes[at + 1] = lane
    held.n = at + n
    local gc, qc = g.counts, q.counts
    gc[READY + 1], qc[READY + 1] = gc[READY + 1] - n, qc[READY + 1] - n
    gc[RUNNING + 1], qc[RUNNING + 1] = gc[RUNNING + 1] + n, qc[RUNNING + 1] + n
    g.running, q.running, g.claimed = g.running + n, q.running + n, g.claimed + n
    q.totals[2] = q.totals[2] + n
    g.changed, q.changed = true, true
    return true
  end

  -- The same for a job that a group's turn has taken out.
  function Plain.hold_one(id, name, held)
    local at = held.n + 1
    held.ids[at], held.lanes[at], held.n = id, name, at
  end

  -- Takes back what `Plain.hold` has counted for one job.
  local function let_go(lane)
    local g = lane.g
    local q = g.q
    local gc, qc = g.counts, q.counts
    gc[READY + 1], qc[READY + 1] = gc[READY + 1] + 1, qc[READY + 1] + 1
    gc[RUNNING + 1], qc[RUNNING + 1] = gc[RUNNING + 1] - 1, qc[RUNNING + 1] - 1
    g.running, q.running, g.claimed = g.running - 1, q.running - 1, g.claimed - 1
    q.totals[2] = q.totals[2] - 1
  end

  -- Starts the jobs held of a queue in their order, those that are not plain by `start`, which is the long way; answers
  -- how many could not be started.
  function Plain.start(held, q, worker, nonce, taken, start)
    local ids, lanes, s, keys, prefix, total = held.ids, held.lanes, state(), {}, NS .. Key.job, held.n
    if total == 0 then return 0 end
    held.ids, held.lanes, held.n = {}, {}, 0
    for i = 1, total do keys[i] = prefix .. ids[i] end
    local at, deadline = Now.at, Now.at + q.settings.lease_ms
    local score = int(deadline)
    local lease = nonce .. worker .. spack('>I6I6I6', at, 0, deadline)
    local events, leases, heads, counter = Now.events, Now.leases, Now.heads, s.counter
    local e, l, t = #events, #leases, #taken
    local n, missing, names, tail, since, alike = 0, 0, nil, nil, nil, 0
    local raws = call('MGET', tunpack(keys))
    local lane
    for i = 1, total do
      local id, raw = ids[i], raws[i]
      lane = lanes[i] or lane
      if raw and raw:find(WAITING, 1, true) == 1 then
        if not names or raw:find(names, RECORD_NAMES, true) ~= RECORD_NAMES then
          names = names_at(raw, RECORD_NAMES)
          tail = names .. worker
        end
        if not since or raw:find(since, RECORD_WHEN, true) ~= RECORD_WHEN then
          if alike > 0 then record(q, 'w', at - sunpack('>I6', since), alike) end
          since, alike = raw:sub(RECORD_WHEN, RECORD_WHEN + 5), 0
        end
        alike = alike + 1
        local head = spack('>BI8', RUNNING, counter) .. lease .. raw:sub(RECORD_NUMBER, RECORD_NAMES - 1) .. names
        counter = counter + 1
        heads[id] = head
        leases[l + 1], leases[l + 2] = score, id
        events[e + 1], events[e + 2], events[e + 3] = CLAIM, id, tail
        taken[t + 1], taken[t + 2], taken[t + 3] = id, raw, head
        l, e, t = l + 2, e + 3, t + 3
        n = n + 1
      else
        if type(lane) == 'string' then lane = Lane.get(Group.get(q, lane, true), 10, '') end
        let_go(lane)
        local j = raw and Job.parse(id, raw, true)
        Now.jobs[id] = j
        if j and j.state == READY then
          s.counter = counter
          start(j, lane, worker, nonce)
          counter, l, e = s.counter, #leases, #events
          taken[t + 1], taken[t + 2], taken[t + 3] = id, j, false
          Now.starts[#Now.starts + 1] = t + 2
          t = t + 3
        else
          missing = missing + 1
        end
      end
    end
    s.counter = counter
    Now.event_count = Now.event_count + n
    if alike > 0 then record(q, 'w', at - sunpack('>I6', since), alike) end
    Now.held[worker] = (Now.held[worker] or 0) + n
    return missing
  end

  -- Completes jobs that have no result, the others among them by `other`, which is the long way. Answers stand in
  -- `answers` after `before`. The counts follow with `Plain.settle`.
  function Plain.complete(ids, tokens, answers, before, other)
    local heads, names = read(ids, RUNNING)
    local s, at, pending, events, released, lines = state(), Now.at, Now.heads, Now.events, Now.released, {}
    local e, r = #events, #released
    local lease, worker, ran
    local n, held, shared, jobs = 0, Now.held, Now.shared, Now.jobs
    for i = 1, #ids do
      local id, head, token = ids[i], heads[i], tokens[i]
      -- One that stands here twice, or that another's completion has changed, is not what was read any more.
      if head and (pending[id] == nil or pending[id] == head) and jobs[id] == nil
        and head:find(token, TOKEN, true) == TOKEN then
        local c = shared[names[i]]
        local q, seq = c.q, s.seq
        s.seq = seq + 1
        if not lease or head:find(lease, WORKER, true) ~= WORKER then
          lease = head:sub(WORKER, WORKER + 13)
          worker, ran = lease:sub(1, 8), at - sunpack('>I6', lease, 9)
        end
        local place = spack('>I6I6', seq, at)
        pending[id] = DONE .. token .. lease .. place .. head:sub(NUMBER)
        local line = lines[q]
        if not line then
          line = ended_line(q, COMPLETED)
          lines[q] = line
        end
        line[#line + 1] = place .. id
        if c.worker ~= worker then c.worker, c.tail = worker, c.names .. worker end
        events[e + 1], events[e + 2], events[e + 3] = COMPLETION, id, c.tail
        released[r + 1] = id
        e, r, n = e + 3, r + 1, n + 1
        held[worker] = (held[worker] or 0) - 1
        record(q, 'r', ran)
        c.completed = c.completed + 1
        answers[before + i] = ''
      else
        Now.unsettled = Now.unsettled or n > 0
        answers[before + i] = other(id, token)
        e, r = #events, #released
      end
    end
    Now.event_count = Now.event_count + n
    Now.unsettled = Now.unsettled or n > 0
  end

  -- Removes ended jobs of a queue, the others among them by `other`, which is the long way. `places` is what stands in
  -- the order of the ended of each: a job that is not there has been retried since.
  function Plain.remove(q, how, ids, places, other)
    if how ~= COMPLETED then
      for i = 1, #ids do other(i) end
      return
    end
    local heads, names = read(ids, how)
    local s, pending, deleted, events, prefix = state(), Now.heads, Now.deleted, Now.events, NS .. Key.job
    local gone, gone_ids, counts, shared = Now.gone, Now.gone_ids, q.counts, Now.shared
    local e, d, n = #events, #deleted, 0
    local slots, page
    for i = 1, #ids do
      local id, head = ids[i], heads[i]
      local place, _, number
      if head and pending[id] == nil then place, _, number = sunpack('>I6I6I6', head, PLACE) end
      if place == places[i] then
        local c = shared[names[i]]
        if not slots or floor(number / PAGE) ~= page then
          slots, page = unindex(q.name, number), floor(number / PAGE)
        else
          slots[#slots + 1] = number % PAGE
        end
        deleted[d + 1] = prefix .. id
        events[e + 1], events[e + 2], events[e + 3] = REMOVAL, id, names[i]
        d, e = d + 1, e + 3
        gone[id], pending[id], gone_ids[#gone_ids + 1] = how, false, id
        counts[how + 1], c.removed, n = counts[how + 1] - 1, c.removed + 1, n + 1
      else
        other(i)
        e, d = #events, #deleted
      end
    end
    Now.event_count = Now.event_count + n
    q.changed, s.jobs, Now.unsettled = true, s.jobs - n, true
  end

  -- Brings the counts up to date with what was completed and removed since.
  function Plain.settle()
    if not Now.unsettled then return end
    Now.unsettled = false
    local completed = {}
    for _, c in pairs(Now.shared) do
      local n, q = c.completed, c.q
      if n > 0 or c.removed > 0 then
        Group.settle(q, c.id, c.group, n, c.removed)
        c.completed, c.removed = 0, 0
        completed[q] = (completed[q] or 0) + n
      end
    end
    for q, n in pairs(completed) do
      if n > 0 then
        q.counts[RUNNING + 1], q.counts[COMPLETED + 1] = q.counts[RUNNING + 1] - n, q.counts[COMPLETED + 1] + n
        q.running, q.totals[3], q.changed = q.running - n, q.totals[3] + n, true
        count_in_chart(q, 'c', n)
        look_at_retention(q, COMPLETED)
        if q.settings.concurrency then touch(q) end
      end
    end
  end

  -- A field too long for a listpack, which Redis would look through at every step: with it the hash of heads is none,
  -- however few they are.
  local LONG_FIELD = ('\0'):rep(65)

  -- Writes the heads that this call has made, and takes away those of records that are whole again or gone.
  function Plain.save()
    local made, dropped, m, d = { LONG_FIELD, '' }, {}, 2, 0
    for id, head in pairs(Now.heads) do
      if head then
        made[m + 1], made[m + 2] = id, head
        m = m + 2
      else
        d = d + 1
        dropped[d] = id
      end
    end
    Now.heads = {}
    local name = NS .. Key.heads
    if m > 2 then
      for from = 1, m, 2000 do call('HSET', name, tunpack(made, from, min(from + 1999, m))) end
    end
    for from = 1, d, 1000 do call('HDEL', name, tunpack(dropped, from, min(from + 999, d))) end
  end

  -- For a test that the long way alone answers the same.
  if LONG_WAY then
    Plain.enqueue = function() return false end
    Plain.hold = function() return false end
    Plain.complete = function(ids, tokens, answers, before, other)
      for i = 1, #ids do answers[before + i] = other(ids[i], tokens[i]) end
    end
    Plain.remove = function(_, _, ids, _, other)
      for i = 1, #ids do other(i) end
    end
  end
end
