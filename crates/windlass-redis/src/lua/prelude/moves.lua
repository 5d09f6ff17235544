-- How a job moves from state to state: out of the structures of the old one, into those of the new one.

-- For the files that follow.
local Ack, CANCEL_GRACE_MS, REST_MS, ENDED, is_terminal, holder_of, take_unique, free_unique, expire_unique,
  remembered, ended_key, removable_at, plan_retention, enter_ended, leave_ended, set_lease_timer, hold,
  notify_holder, detach, move_to, make_ready, acknowledge, count_end, remove, Extra, numbers

do
  -- How a settled attempt ended, for a second acknowledgement.
  Ack = { COMPLETED = 1, FAILED = 2, SNOOZED = 3, RELEASED = 4, CANCELLED = 5 }

  local ERROR_HISTORY_MAX = 25
  local REMEMBERED_MS, REMEMBERED_MAX = 86400000, 1000000
  CANCEL_GRACE_MS = 30000
  -- How long retention rests when all that it looked at has live children.
  REST_MS = 1000
  ENDED = { COMPLETED, DEAD, CANCELLED }

  function is_terminal(state)
    return state >= COMPLETED
  end

  -- Unique keys ------------------------------------------------------------------------------------------------------

  -- Who holds a key: the job, and until when it stays taken whatever becomes of it (0 without a time to live).
  function holder_of(name)
    local raw = call('HGET', key(Key.unique), name)
    if not raw then return nil end
    local ends, at = sunpack('>I8', raw)
    if ends ~= 0 and ends <= Now.at then return nil end
    return raw:sub(at), ends
  end

  function take_unique(name, id, ends)
    ends = min(ends, 2 ^ 53)
    call('HSET', key(Key.unique), name, spack('>I8', ends) .. id)
    if ends ~= 0 then
      call('ZADD', key(Key.unique_ends), ends, name)
      due_at(ends)
    else
      call('ZREM', key(Key.unique_ends), name)
    end
  end

  function free_unique(j)
    local unique = Job.options(j).unique
    if not unique or Job.has(j, Flag.GIVEN_UP) then return end
    local id, ends = holder_of(unique.key)
    if id == j.id and ends == 0 then call('HDEL', key(Key.unique), unique.key) end
  end

  -- Lets go of keys whose time is over.
  function expire_unique(budget)
    local names = call('ZRANGEBYSCORE', key(Key.unique_ends), '-inf', Now.at, 'LIMIT', 0, budget)
    for _, name in ipairs(names) do
      local raw = call('HGET', key(Key.unique), name)
      local ends = raw and sunpack('>I8', raw)
      if ends and ends ~= 0 and ends <= Now.at then call('HDEL', key(Key.unique), name) end
      call('ZREM', key(Key.unique_ends), name)
    end
    return #names
  end

  -- Remembered ids ---------------------------------------------------------------------------------------------------

  -- The state in which a removed job ended, or nil when nobody remembers it.
  function remembered(id)
    local raw = call('HGET', key(Key.gone), id)
    if not raw then return nil end
    local at, how = sunpack('>I6B', raw)
    if at + REMEMBERED_MS <= Now.at then return nil end
    return how
  end

  local function remember(id, how)
    call('HSET', key(Key.gone), id, spack('>I6B', Now.at, how))
    local n = call('RPUSH', key(Key.gone_line), spack('>I6', Now.at) .. id)
    for _ = 1, 4 do
      local oldest = call('LINDEX', key(Key.gone_line), 0)
      if not oldest then return end
      local at, rest = sunpack('>I6', oldest)
      if n <= REMEMBERED_MAX and at + REMEMBERED_MS > Now.at then return end
      call('LPOP', key(Key.gone_line))
      call('HDEL', key(Key.gone), oldest:sub(rest))
      n = n - 1
    end
  end

  -- Ended jobs -------------------------------------------------------------------------------------------------------

  function ended_key(q, how)
    return key(Key.ended, q.name, how)
  end

  local function oldest_ended(q, how)
    local entry = call('XRANGE', ended_key(q, how), '-', '+', 'COUNT', 1)[1]
    if not entry then return nil end
    local at, rest = sunpack('>I6', entry[2][2])
    return entry[2][2]:sub(rest), at, entry[1]
  end

  -- When the queue's oldest ended job of that state may go, by age, or because there are too many (then at once).
  function removable_at(q, how)
    local id, at, entry = oldest_ended(q, how)
    if not id then return nil end
    local keep = q.settings.keep[how]
    if call('XLEN', ended_key(q, how)) > keep[2] then return 0, id, entry end
    return at + keep[1], id, entry
  end

  function plan_retention(q)
    local wanted
    for _, how in ipairs(ENDED) do
      local at = removable_at(q, how)
      if at and (not wanted or at < wanted) then wanted = at end
    end
    if wanted then
      local rest = q.rests_until <= Now.at + REST_MS and q.rests_until or 0
      wanted = max(wanted, rest, 1)
    else
      wanted = 0
    end
    if wanted == q.retention_at then return end
    q.retention_at, q.changed = wanted, true
    if wanted == 0 then
      call('ZREM', key(Key.retention), q.name)
    else
      call('ZADD', key(Key.retention), wanted, q.name)
      due_at(wanted)
    end
  end

  -- Puts a job that has just ended behind the others of its queue and state.
  function enter_ended(j, at)
    local q = queue_of(j)
    call('XADD', ended_key(q, j.state), int(j.seq) .. '-0', '', spack('>I6', at) .. j.id)
    Job.set(j, Flag.PLACED, true)
    local keep = q.settings.keep[j.state]
    -- Only the first one, or one too many, moves the queue's next removal.
    if q.retention_at == 0 or q.retention_at > at + keep[1] or q.counts[j.state + 1] > keep[2] then q.plans = true end
    q.changed = true
  end

  function leave_ended(j)
    if not Job.has(j, Flag.PLACED) then return end
    call('XDEL', ended_key(queue_of(j), j.state), int(j.seq) .. '-0')
    Job.set(j, Flag.PLACED, false)
  end

  -- A job has ended or gone: parents that were kept for its sake may go.
  local function wake_retention(j)
    if not Job.has(j, Flag.PARENTS) then return end
    for _, parent in ipairs(Job.options(j).parents) do
      local p = Job.load(parent.id)
      local q = p and queue_of(p)
      if q and q.rests_until ~= 0 then
        q.rests_until, q.plans, q.changed = 0, true, true
      end
    end
  end

  -- Leases -----------------------------------------------------------------------------------------------------------

  function set_lease_timer(j, at)
    call('ZADD', key(Key.leases), at, j.id)
    due_at(at)
  end

  -- Counts the leases of a worker.
  function hold(j, by)
    Now.held[j.worker] = (Now.held[j.worker] or 0) + by
  end

  -- Ends the lease of a running job and gives back what it held. Its state is still running.
  local function end_lease(j)
    hold(j, -1)
    call('ZREM', key(Key.leases), j.id)
    Job.set(j, Flag.CANCEL, false)
    j.grace = 0
    local g = group_of(j)
    local q = g.q
    g.running, q.running = g.running - 1, q.running - 1
    g.changed, q.changed = true, true
    if q.settings.concurrency then touch(q) end
    if g.parked then unpark(g) end
    local set = Job.options(j).limits
    if set ~= '' then free_limits(set) end
  end

  -- Tells the holder of a running job that something about its lease changed.
  function notify_holder(j)
    local notices = Now.notices
    notices[#notices + 1] = spack('>c8c16I4I8c8I6', j.worker, j.id, j.attempt, j.counter, j.nonce, j.deadline)
  end

  -- Moves ------------------------------------------------------------------------------------------------------------

  -- Takes a job out of the structures of its state, on the way to `to` (nil when it goes away).
  function detach(j, to)
    local was = j.state
    if was == SCHEDULED or was == RETRYING then
      call('ZREM', key(Key.due), j.id)
    elseif was == READY then
      leave(j, to)
    elseif was == RUNNING then
      end_lease(j)
    elseif was >= COMPLETED then
      local in_place = Job.has(j, Flag.LINKED)
      if not in_place then
        leave_ended(j)
      elseif to ~= READY then
        leave_place(j)
      end
      -- A second ack of the completion is still one after the job was retried.
    end
    if was < COMPLETED and was ~= READY and Job.has(j, Flag.LINKED) and not (to and keeps_place(j, to)) then
      leave_place(j)
    end
    if was ~= RUNNING and j.attempt == 0 and j.expires ~= 0 and (not to or is_terminal(to)) then
      call('ZREM', key(Key.expiry), j.id)
    end
  end

  -- Moves a job to a state with a due or end time. Ready goes through `make_ready`, running through claims.
  function move_to(j, to, at)
    detach(j, to)
    change_state(j, to)
    j.when = at
    j.flags = band(j.flags, 0xffff - Flag.SNOOZED - Flag.NO_HANDLER)
    if to == SCHEDULED or to == RETRYING then
      call('ZADD', key(Key.due), at, j.id)
      due_at(at)
    elseif to >= COMPLETED then
      free_unique(j)
      wake_retention(j)
      -- A dead head keeps its place, and retention leaves it alone.
      if not Job.has(j, Flag.LINKED) then
        j.seq = take_seq()
        enter_ended(j, at)
      end
    end
  end

  -- The job is ready from now on, behind all that are.
  function make_ready(j)
    if j.state == READY then return end
    detach(j, READY)
    change_state(j, READY)
    j.when = Now.at
    j.flags = band(j.flags, 0xffff - Flag.SNOOZED - Flag.NO_HANDLER)
    if not Job.has(j, Flag.LINKED) then j.seq = take_seq() end
    enter(j)
  end

  -- Remembers how the attempt was settled.
  function acknowledge(j, outcome)
    j.ack_counter, j.ack_nonce, j.ack = j.counter, j.nonce, outcome
    j.changed = true
  end

  -- The attempt's end in every count.
  function count_end(j)
    record(queue_of(j), 'r', Now.at - j.started)
  end

  -- Takes a job out of everything.
  function remove(j, cause)
    emit(j, Event.REMOVED, cause)
    wake_retention(j)
    detach(j, nil)
    free_unique(j)
    count(j, -1)
    if Job.has(j, Flag.LINKED) then leave_place(j) end
    call('XDEL', key(Key.index, j.queue), int(j.number) .. '-0')
    if Job.has(j, Flag.EXTRA) then call('DEL', key(Key.extra, j.id)) end
    if Job.has(j, Flag.CHILDREN) then call('DEL', key(Key.children, j.id)) end
    if j.state == DEAD then count_dead(queue_of(j), j, -1) end
    local s = state()
    s.jobs = s.jobs - 1
    remember(j.id, j.state)
    j.gone, j.changed = true, true
    Job.save(j)
    Now.jobs[j.id] = false
  end

  -- What a job keeps beside its record: attempts, logs, texts, checkpoint, progress, result -----------------------------

  Extra = {}

  function Extra.put(j, ...)
    call('HSET', key(Key.extra, j.id), ...)
    Job.set(j, Flag.EXTRA, true)
  end

  function Extra.get(j, field)
    if not Job.has(j, Flag.EXTRA) then return nil end
    return call('HGET', key(Key.extra, j.id), field) or nil
  end

  function Extra.drop(j, field)
    if Job.has(j, Flag.EXTRA) then call('HDEL', key(Key.extra, j.id), field) end
  end

  -- Attempt numbers in a field, four bytes each.
  function numbers(text)
    local list = {}
    for at = 1, #(text or ''), 4 do list[#list + 1] = (sunpack('>I4', text, at)) end
    return list
  end

  -- Adds an ended attempt to the history; the oldest goes, and its logs with it.
  function Extra.add_attempt(j, outcome, error)
    local packed = spack('>Bc8I6I6', outcome, j.worker, j.started, Now.at) .. (error or '')
    local history = (Extra.get(j, 'h') or '') .. spack('>I4', j.attempt)
    Extra.put(j, 'a' .. int(j.attempt), packed)
    if #history > 4 * ERROR_HISTORY_MAX then
      local oldest = sunpack('>I4', history)
      history = history:sub(5)
      Extra.drop(j, 'a' .. int(oldest))
      local logs, kept = numbers(Extra.get(j, 'L')), ''
      for _, attempt in ipairs(logs) do
        if attempt <= oldest then Extra.drop(j, 'l' .. int(attempt)) else kept = kept .. spack('>I4', attempt) end
      end
      if #logs > 0 then Extra.put(j, 'L', kept) end
    end
    Extra.put(j, 'h', history)
  end
end
