-- What has to happen on a clock, in bounded steps, by whoever comes: every step looks again at what it found.

local function on_timer(member)
  local what, name = member:sub(1, 1), member:sub(2)
  if what == 'g' then
    local queue, group = name:match('^([^\1]*)\1(.*)$')
    local q = Queue.get(queue)
    local g = q and Group.get(q, group)
    if g then
      g.timer, g.changed = 0, true
      unpark(g)
    end
  elseif what == 'm' then
    local m = Limit.get(name)
    m.timer, m.changed = 0, true
    Limit.wake(m)
  else
    local q = Queue.get(name)
    if q then
      q.timer, q.changed = 0, true
      touch(q)
    end
  end
end

-- T7 or T10: the lease ran out, or its grace did; or a heartbeat has moved it meanwhile.
local function on_lease(id)
  local j = Job.load(id)
  if not j or j.state ~= RUNNING then
    call('ZREM', key(Key.leases), id)
    return
  end
  local ends = j.grace ~= 0 and min(j.deadline, j.grace) or j.deadline
  if ends > Now.at then
    set_lease_timer(j, ends)
    return
  end
  notify_holder(j)
  if j.grace ~= 0 and j.grace <= Now.at then Flow.cancel(j, Cause.GRACE_OVER) else Settle.lose(j, Cause.LOST) end
end

local function on_expiry(id)
  call('ZREM', key(Key.expiry), id)
  local j = Job.load(id)
  if j and j.attempt == 0 and j.generation == 0 and (j.state == SCHEDULED or j.state == READY or j.state == BLOCKED) then
    Flow.cancel(j, Cause.EXPIRED)
  end
end

local function on_due(id)
  local j = Job.load(id)
  if j and (j.state == SCHEDULED or j.state == RETRYING) then
    promote(j, Cause.NONE)
  else
    call('ZREM', key(Key.due), id)
  end
end

local on_retention
do
  -- Ended jobs that one look at a queue removes at most.
  local REMOVED_A_LOOK = 100
  -- What stands for an entry that is not there.
  local NO_ENTRY = ('\0'):rep(28)

  -- Removes ended jobs of a queue that are too old or too many, oldest first. One with live children goes to the end
  -- of its line instead: it is asked again later. None that ended at `keeps_from` or later goes: a reader needs it.
  -- Answers how many it has looked at, and how many of them went.
  local function look_at_ended(q, how, most, keeps_from)
    local name, keep = ended_key(q, how), q.settings.keep[how]
    local too_many = max(q.counts[how + 1] - keep[2], 0)
    if too_many < most then
      local first = call('LINDEX', name, int(too_many))
      local _, at = read_ended(first or NO_ENTRY)
      if not first or at + keep[1] > Now.at then most = too_many end
    end
    if most == 0 then return 0, 0 end
    local ids, places, kept = {}, {}, 0
    for i, entry in ipairs(call('LRANGE', name, '0', int(most - 1))) do
      local id, at, seq = read_ended(entry)
      if i > too_many and at + keep[1] > Now.at or keeps_from and at >= keeps_from then break end
      ids[i], places[i] = id, seq
    end
    if #ids == 0 then return 0, 0 end
    Plain.remove(q, how, ids, places, function(i)
      local j = Job.load(ids[i])
      if is_ended(j, how, places[i]) then
        if has_live_children(j) then
          j.seq, j.changed = take_seq(), true
          enter_ended(j, Now.at)
          kept = kept + 1
        else
          remove(j, Cause.RETENTION)
        end
      end
    end)
    call('LPOP', name, #ids)
    return #ids, #ids - kept
  end

  local function remove_ended(q, how, budget, keeps_from)
    local looked, removed = 0, 0
    while removed == 0 and looked < REMOVED_A_LOOK do
      local passed
      passed, removed = look_at_ended(q, how, min(budget, REMOVED_A_LOOK - looked), keeps_from)
      if passed == 0 then break end
      looked = looked + passed
    end
    return removed
  end

  function on_retention(name, budget)
    local q = Queue.get(name)
    if not q then
      call('ZREM', key(Key.retention), name)
      return 1
    end
    local removed, keeps_from = 0, Event.kept_from()
    for _, how in ipairs(ENDED) do
      if removed < budget then removed = removed + remove_ended(q, how, budget - removed, keeps_from) end
    end
    save_ended()
    if removed == 0 then q.rests_until, q.changed = Now.at + REST_MS, true end
    plan_retention(q)
    return max(removed, 1)
  end
end

local function due_members(letter, most)
  return call('ZRANGEBYSCORE', key(letter), '-inf', Now.at, 'LIMIT', 0, most)
end

-- Times and expiries as they came due, one after the other.
local function on_clock(budget)
  local due = call('ZRANGEBYSCORE', key(Key.due), '-inf', Now.at, 'WITHSCORES', 'LIMIT', 0, budget)
  local expired = call('ZRANGEBYSCORE', key(Key.expiry), '-inf', Now.at, 'WITHSCORES', 'LIMIT', 0, budget)
  local d, e, done = 1, 1, 0
  while done < budget and (due[d] or expired[e]) do
    if due[d] and (not expired[e] or tonumber(due[d + 1]) <= tonumber(expired[e + 1])) then
      on_due(due[d])
      d = d + 2
    else
      on_expiry(expired[e])
      e = e + 2
    end
    done = done + 1
  end
  return done
end

-- The earliest time in a set; those of leases hold one that never comes.
local function first_score(letter)
  local first = tonumber(call('ZRANGE', key(letter), 0, 0, 'WITHSCORES')[2])
  return first ~= math.huge and first or nil
end

-- After the server came back every live lease gets one full lease again: nobody's ran out while nobody could send a
-- heartbeat. The server that was last seen is written down, so one look does it for all processes.
local function renew_after_restart()
  local run = call('INFO', 'server'):match('run_id:(%x+)') or ''
  local seen = key(Key.meta) .. SEP .. 'server'
  if call('HGET', seen, 'run') == run then return end
  call('HSET', seen, 'run', run)
  for _, id in ipairs(call('ZRANGE', key(Key.leases), 0, -1)) do
    local j = Job.load(id)
    if j and j.state == RUNNING then
      j.deadline, j.changed = max(j.deadline, Now.at + queue_of(j).settings.lease_ms), true
      call('ZADD', key(Key.leases), j.grace ~= 0 and min(j.deadline, j.grace) or j.deadline, id)
    end
  end
end

verb('renew', { 'allow-oom' }, function()
  renew_after_restart()
  return ''
end)

-- The queues named are those that somebody waits for: what is claimable in them rings, in case a ring was lost.
verb('upkeep', { 'allow-oom' }, function()
  local budget, waited_for = argn(), argn()
  renew_after_restart()
  for _ = 1, waited_for do
    local q = Queue.get(arg())
    if q then touch(q) end
  end
  Now.kids = min(1000, budget)
  local done = Flow.go_on(budget)
  if done < budget then done = done + expire_unique(budget - done) end
  if done < budget then
    for _, member in ipairs(due_members(Key.timers, budget - done)) do
      call('ZREM', key(Key.timers), member)
      on_timer(member)
      done = done + 1
    end
  end
  if done < budget then
    for _, id in ipairs(due_members(Key.leases, budget - done)) do
      on_lease(id)
      done = done + 1
    end
  end
  while done < budget do
    local n = on_clock(budget - done)
    if n == 0 then break end
    done = done + n
  end
  while done < budget do
    local names = due_members(Key.retention, 1)
    if #names == 0 then break end
    done = done + on_retention(names[1], budget - done)
  end
  -- What this call changed may be due again: it is written before the next time is looked up.
  save_all()
  local at
  if call('EXISTS', key(Key.errands)) == 1 then at = Now.at end
  for _, letter in ipairs({ Key.due, Key.expiry, Key.leases, Key.timers, Key.retention, Key.unique_ends, Key.schedules_due }) do
    local first = first_score(letter)
    if first and (not at or first < at) then at = first end
  end
  local tick = first_score(Key.schedules_due)
  return { done, at and int(at) or '', tick and tick <= Now.at and 1 or 0, int(Now.at) }
end)
