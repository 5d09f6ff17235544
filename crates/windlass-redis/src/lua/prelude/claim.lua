-- T2 and T3: what is due becomes ready, and workers take jobs in the order of priority, fairness and arrival, as
-- far as limits admit.

-- For the files that follow.
local Claim, PROMOTED_MAX, promote, promote_due

do
  Claim = {}
  -- Lanes and groups that one claim moves out of the order before it answers with what it has.
  local MOVES_MAX = 1000
  -- The least time until a worker is told to ask again.
  local AGAIN_MS_MIN = 50
  -- Due jobs that a claim promotes before it looks.
  PROMOTED_MAX = 100

  -- T2: its time has come.
  function promote(j, cause)
    emit(j, Event.PROMOTED, cause)
    make_ready(j)
  end

  function promote_due(budget)
    local ids = call('ZRANGEBYSCORE', key(Key.due), '-inf', int(Now.at), 'LIMIT', '0', int(budget))
    for _, id in ipairs(ids) do
      local j = Job.load(id)
      if j and (j.state == SCHEDULED or j.state == RETRYING) then
        promote(j, Cause.NONE)
      else
        call('ZREM', key(Key.due), id)
      end
    end
    return #ids
  end

  -- The lane that runs next in a queue, or the name of the group whose turn it was and as fourth the job; or nil and, if the look was cut short or time alone opens it, when to look
  -- again. What turns out to be held back leaves the order on the way.
  function Claim.look(q, want)
    while true do
      local index
      for i = q.top or PRIORITIES, 1, -1 do
        if q.standing[i] > 0 then
          index = i
          break
        end
      end
      if not index then return nil end
      q.top = index
      local shut, at = queue_shut(q)
      if shut then
        if at then set_queue_timer(q, at) end
        return nil, at, true
      end
      if Now.moves >= MOVES_MAX then return nil, Now.at, true end
      local order = order_of(q, index)
      local name, read = Sorted.first(order, want)
      if read and #read > 1 then Group.fetch_named(q, read) end
      local job = name and q.standing[index] > 1 and Turn.take(q, name, index, order)
      if job then return name, nil, nil, job end
      if not name then
        -- The order was lost behind our back: upkeep's repair finds its groups again.
        q.standing[index], q.changed = 0, true
      else
        local g = Group.get(q, name, true)
        local how, opens = group_shut(g)
        local lane = not how and first_lane(g, index)
        if how then
          park(g, how, opens)
          Now.moves = Now.moves + 1
        elseif not lane then
          Sorted.drop(order, name)
          q.standing[index], q.changed = q.standing[index] - 1, true
          g.entry, g.changed = false, true
        elseif lane.set == '' then
          return lane
        else
          local m = stands_behind(lane, lane.set)
          local opens_at
          if not m then m, opens_at = limits_shut(lane.set) end
          if not m then return lane end
          wait_at_limit(lane, m, opens_at)
          Now.moves = Now.moves + 1
        end
      end
    end
  end

  -- How many jobs of the lane may be taken in one go: more than one only where nothing could come between them.
  function Claim.run_length(lane, want)
    local g, q = lane.g, lane.g.q
    if g.ordered or lane.set ~= '' or g.settings.rate or q.settings.rate then return 1 end
    if q.standing[lane.priority] > 1 then return 1 end
    if g.with_limits and g.with_limits[lane.priority] then return 1 end
    local n = min(want, lane.n)
    if q.settings.concurrency then n = min(n, q.settings.concurrency - q.running) end
    if g.settings.concurrency then n = min(n, g.settings.concurrency - g.running) end
    return n
  end

  -- The next jobs of a lane, taken out of it: at most `n`.
  function Claim.take_out(lane, n)
    local at, ids = Lane.store(lane), {}
    if lane.g.ordered then
      local head = place_head(lane.g)
      if head then
        Lane.clear_standing(lane)
        ids[1] = head
      end
      return ids
    end
    if lane.g.name == '' then
      local entries = call('XRANGE', at, '-', '+', 'COUNT', n)
      for i = 1, #entries do ids[i] = entries[i][2][2] end
      if #ids > 0 then
        -- They are read in order, so whatever lies before the last one has been read too.
        lane.first = tonumber(entries[#ids][1]:match('^(%d+)')) + 1
        call('XTRIM', at, 'MINID', '=', int(lane.first))
        Lane.shrink(lane, #ids)
      else
        -- Its entries went away behind our back.
        Lane.shrink(lane, lane.n)
      end
      return ids
    end
    if lane.stale == 0 then
      local seq, from = lane.first, 1
      for i, entry in ipairs(call('LPOP', at, n) or {}) do
        seq, from = sunpack('>I6', entry)
        ids[i] = entry:sub(from)
      end
      lane.first = seq + 1
      -- Fewer than it says: its entries went away behind our back.
      Lane.shrink(lane, #ids < n and lane.n or n)
      return ids
    end
    while #ids < n do
      local id, seq = Lane.peek(lane)
      if not id then
        Lane.shrink(lane, lane.n)
        break
      end
      call('LPOP', at)
      ids[#ids + 1] = id
      lane.first = seq + 1
      Lane.shrink(lane, 1)
      if lane.n == 0 then break end
    end
    return ids
  end

  -- Reads whole records, since their payloads leave with the answer.
  function Claim.load(ids)
    local keys, wanted = {}, {}
    for _, id in ipairs(ids) do
      local j = Now.jobs[id]
      if j then
        Job.whole(j)
      else
        keys[#keys + 1], wanted[#wanted + 1] = NS .. 'j' .. id, id
      end
    end
    if #keys == 0 then return end
    for i, raw in ipairs(call('MGET', tunpack(keys))) do
      Now.jobs[wanted[i]] = raw and Job.join(Job.parse(wanted[i], raw, true))
    end
  end

  -- T3 for one job: its lease, its slots, its counts. The caller charges its group.
  function Claim.start(j, lane, worker, nonce)
    local g, q, s = lane.g, lane.g.q, state()
    record(q, 'w', Now.at - j.when)
    change_state(j, RUNNING)
    extend(j)
    j.attempt = j.attempt + 1
    j.counter, j.nonce, j.worker, j.started = s.counter, nonce, worker, Now.at
    j.deadline, j.grace = Now.at + q.settings.lease_ms, 0
    s.counter = s.counter + 1
    if j.attempt == 1 then
      if j.expires ~= 0 then call('ZREM', key(Key.expiry), j.id) end
      local unique = Job.options(j).unique
      if unique and unique.until_start then
        free_unique(j)
        Job.set(j, Flag.GIVEN_UP, true)
      end
    end
    local leases = Now.leases
    leases[#leases + 1] = j.deadline
    leases[#leases + 1] = j.id
    hold(j, 1)
    g.running, q.running, g.claimed = g.running + 1, q.running + 1, g.claimed + 1
    if lane.set ~= '' then take_limits(lane.set) end
    local rate = g.settings.rate
    if rate then
      local ms, fraction = admit(rate, g.tat_ms, g.tat_fraction, 1)
      if ms then g.tat_ms, g.tat_fraction = ms, fraction end
    end
    rate = q.settings.rate
    if rate then
      local ms, fraction = admit(rate, q.tat_ms, q.tat_fraction, 1)
      if ms then q.tat_ms, q.tat_fraction = ms, fraction end
    end
    total(q, 'claimed')
    emit(j, Event.CLAIMED, Cause.NONE, worker)
  end

  -- Takes up to `want` jobs of a lane, to be started with those held or started at once; answers how many.
  local function take_from(lane, q, want, worker, nonce, taken, held)
    local g = lane.g
    local ids = Claim.take_out(lane, Claim.run_length(lane, want))
    local n = #ids
    if not Plain.hold(lane, ids, held) then
      -- Those held come before them.
      local missing = Plain.start(held, q, worker, nonce, taken, Claim.start)
      n = 0
      Claim.load(ids)
      for _, id in ipairs(ids) do
        local j = Job.load(id)
        if j and j.state == READY then
          Claim.start(j, lane, worker, nonce)
          local t = #taken
          taken[t + 1], taken[t + 2], taken[t + 3] = id, j, false
          Now.starts[#Now.starts + 1] = t + 2
          n = n + 1
        end
      end
      Now.moves = Now.moves + (#ids - n) + missing
    end
    if n > 0 then
      local weight = g.settings.weight
      q.floor = max(q.floor, n > 1 and charge(g.vt, weight, n - 1) or g.vt)
      set_vt(g, charge(g.vt, weight, n))
      if lane.woken ~= '' then Lane.pass_on(lane) end
    end
    return n
  end

  -- Takes up to `want` jobs of a queue; answers when to ask again if that may help. Those that may be plain are
  -- started together.
  function Claim.from(q, want, worker, nonce, taken)
    local held, again, before = Plain.held(), nil, #taken
    local left = want
    while left > 0 do
      local lane, at, told, job = Claim.look(q, left)
      if job then
        Plain.hold_one(job, lane, held)
        left = left - 1
      elseif lane then
        left = left - take_from(lane, q, left, worker, nonce, taken, held)
      else
        again = at
        if not told then again = Claim.later(q) end
        break
      end
    end
    Plain.start(held, q, worker, nonce, taken, Claim.start)
    -- Records that were deleted behind our back: others run in their place.
    local missing = want - left - (#taken - before) / 3
    if missing > 0 then return Claim.from(q, missing, worker, nonce, taken) end
    return again
  end

  -- When time may bring something into a queue that has nothing now: an early guess costs the worker a question.
  function Claim.later(q)
    local c, at = q.counts, nil
    if c[SCHEDULED + 1] + c[RETRYING + 1] > 0 then
      at = tonumber(call('ZRANGE', key(Key.due), 0, 0, 'WITHSCORES')[2])
    end
    if c[READY + 1] > 0 then
      local opens = tonumber(call('ZRANGE', key(Key.timers), 0, 0, 'WITHSCORES')[2])
      if opens and (not at or opens < at) then at = opens end
    end
    return at and max(at, Now.at + AGAIN_MS_MIN)
  end
end
