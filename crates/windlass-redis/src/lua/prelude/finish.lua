-- The end of a call: everything that changed is written back, and what it owes to whoever waits is told.

-- For the files that follow.
local save_all

do
  -- A member too long for a listpack, and a time that never comes: Redis looks through a whole listpack at every step,
  -- and with this in it the set of leases is none, however few they are.
  local LONG_MEMBER, NEVER = ('\0'):rep(65), '+inf'

  -- Rings for queues in which something has become claimable: their names, with how many jobs may be taken.
  local function rings()
    local out = {}
    for name, q in pairs(Now.touched) do
      local standing = 0
      for i = 1, PRIORITIES do standing = standing + q.standing[i] end
      if standing > 0 then
        local shut, at = queue_shut(q)
        if not shut then
          local n = q.counts[READY + 1]
          if q.settings.concurrency then n = min(n, q.settings.concurrency - q.running) end
          out[#out + 1] = spack('>Bc0I4', #name, name, n)
        elseif at then
          set_queue_timer(q, at)
        end
      end
    end
    return out
  end

  function save_all()
    Plain.settle()
    local whole = Now.writes
    for _, j in pairs(Now.jobs) do
      if j and (j.changed or j.unsaved) then Job.save(j, whole) end
    end
    for from = 1, #whole, 1000 do call('MSET', tunpack(whole, from, min(from + 999, #whole))) end
    Now.writes = {}
    Plain.save()
    save_index()
    save_ended()
    save_gone()
    local deleted = Now.deleted
    for from = 1, #deleted, 1000 do call('DEL', tunpack(deleted, from, min(from + 999, #deleted))) end
    Now.deleted = {}
    for _, q in pairs(Now.queues) do
      if q and q.plans then
        q.plans = nil
        plan_retention(q)
      end
    end
    for _, lane in pairs(Now.lanes) do
      if lane.changed then Lane.save(lane) end
    end
    for _, m in pairs(Now.limits) do
      if m.changed then Limit.save(m) end
    end
    Group.save_all()
    Sorted.save()
    for _, q in pairs(Now.queues) do
      if q and q.changed then Queue.save(q) end
    end
    for worker, by in pairs(Now.held) do
      if by ~= 0 and call('HINCRBY', key(Key.held), worker, by) <= 0 then call('HDEL', key(Key.held), worker) end
    end
    Now.held = {}
    local released = Now.released
    for from = 1, #released, 1000 do
      call('ZREM', key(Key.leases), tunpack(released, from, min(from + 999, #released)))
    end
    Now.released = {}
    local leases = Now.leases
    for from = 1, #leases, 2000 do
      call('ZADD', key(Key.leases), NEVER, LONG_MEMBER, tunpack(leases, from, min(from + 1999, #leases)))
    end
    Now.leases = {}
  end

  -- Answers with `value` and what the call owes to whoever waits: rings, notices, the next due time, and whether
  -- there are new events. Other processes are told the same.
  function Call.finish(value)
    local told, notices = rings(), Now.notices
    save_all()
    write_events()
    local s = Now.state
    if s then
      call('SET', key(Key.state), mpack({ s.seq, s.counter, s.entry, s.bytes, s.jobs, s.first }))
    end
    local bell = ''
    if #told > 0 or #notices > 0 or Now.due or #Now.events > 0 then
      bell = spack('>c8I6BHH', Now.sender, Now.due or 0, #Now.events > 0 and 1 or 0, #told, #notices)
        .. concat(told) .. concat(notices)
      call('PUBLISH', NS .. ':bell', bell)
    end
    return { Now.tag, value, bell }
  end
end
