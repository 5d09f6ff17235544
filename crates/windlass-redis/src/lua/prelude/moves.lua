-- How a job moves from state to state: out of the structures of the old one, into those of the new one.

-- For the files that follow.
local PAGE, read_page, index_slots, add_to_index, unindex, save_index, save_gone, save_ended, ended_line, look_at_retention, read_ended, is_ended, Ack, CANCEL_GRACE_MS, REST_MS, ENDED, is_terminal, holder_of, take_unique, free_unique, expire_unique,
  remembered, ended_key, removable_at, plan_retention, enter_ended, leave_ended, set_lease_timer, hold,
  notify_holder, detach, move_to, make_ready, acknowledge, count_end, remove, Extra, numbers

do
  -- How a settled attempt ended, for a second acknowledgement.
  Ack = { COMPLETED = 1, FAILED = 2, SNOOZED = 3, RELEASED = 4, CANCELLED = 5 }

  local ERROR_HISTORY_MAX = 25
  local REMEMBERED_MS, REMEMBERED_MAX = 86400000, 1000000
  CANCEL_GRACE_MS = 30000
  -- How long retention rests when all that it looked at has live children, or is needed by a reader.
  REST_MS = 1000
  -- Jobs of one page of an index.
  PAGE = 64
  local NOBODY = '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
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
    if Now.gone[id] then return Now.gone[id] end
    local raw = call('HGET', key(Key.gone), id)
    if not raw then return nil end
    local at, how = sunpack('>I6B', raw)
    if at + REMEMBERED_MS <= Now.at then return nil end
    return how
  end

  -- Writes down which jobs this call has removed, and forgets twice as many of the oldest as are due.
  function save_gone()
    local ids, how_of, n = Now.gone_ids, Now.gone, #Now.gone_ids
    if n == 0 then return end
    local at, states, marks = spack('>I6', Now.at), {}, {}
    for how = COMPLETED, CANCELLED do marks[how] = at .. char(how) end
    for i = 1, n do states[2 * i - 1], states[2 * i] = ids[i], marks[how_of[ids[i]]] or at .. char(how_of[ids[i]]) end
    Now.gone, Now.gone_ids = {}, {}
    local gone, queue = key(Key.gone), key(Key.gone_line)
    for from = 1, 2 * n, 2000 do call('HSET', gone, tunpack(states, from, min(from + 1999, 2 * n))) end
    call('RPUSH', queue, at .. concat(ids))
    local left = call('HLEN', gone)
    local forgotten = 0
    while forgotten < 2 * n do
      local oldest = call('LINDEX', queue, '0')
      local since = oldest and sunpack('>I6', oldest)
      if not oldest or (left <= REMEMBERED_MAX and since + REMEMBERED_MS > Now.at) then return end
      local ids = {}
      for from = 7, #oldest, 16 do ids[#ids + 1] = oldest:sub(from, from + 15) end
      call('LPOP', queue)
      forgotten = forgotten + #ids
      for from = 1, #ids, 1000 do left = left - call('HDEL', gone, tunpack(ids, from, min(from + 999, #ids))) end
    end
  end

  -- Ended jobs -------------------------------------------------------------------------------------------------------

  -- The ended jobs of a queue and state, oldest first: a List of place, time and id. An entry whose job has left
  -- (it was retried or deleted) stays until its turn comes: it no longer names the place that the job has.
  function ended_key(q, how)
    return key(Key.ended, q.name, how)
  end

  function read_ended(entry)
    local seq, at, rest = sunpack('>I6I6', entry)
    return entry:sub(rest), at, seq
  end

  -- Whether an entry still is what it says.
  function is_ended(j, how, seq)
    return j and j.state == how and j.seq == seq and Job.has(j, Flag.PLACED)
  end

  -- When retention has to look at a queue's ended jobs of a state: when the oldest is too old, or at once when there
  -- are too many.
  local function removable_at(q, how)
    local oldest = call('LINDEX', ended_key(q, how), 0)
    if not oldest then return nil end
    local keep = q.settings.keep[how]
    if q.counts[how + 1] > keep[2] then return 0 end
    local _, at = read_ended(oldest)
    return at + keep[1]
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

  -- The line of ended jobs that this call adds to.
  function ended_line(q, how)
    local name = ended_key(q, how)
    local line = Now.ended[name]
    if not line then
      line = {}
      Now.ended[name] = line
    end
    return line
  end

  -- A job of the queue has ended in that state: only the first one, or one too many, moves the next removal.
  function look_at_retention(q, how)
    local keep = q.settings.keep[how]
    if q.retention_at == 0 or q.retention_at > Now.at + keep[1] or q.counts[how + 1] > keep[2] then q.plans = true end
  end

  -- Puts a job that has just ended behind the others of its queue and state.
  function enter_ended(j, at)
    local q = queue_of(j)
    local line = ended_line(q, j.state)
    line[#line + 1] = spack('>I6I6', j.seq, at) .. j.id
    Job.set(j, Flag.PLACED, true)
    look_at_retention(q, j.state)
  end

  local function leave_ended(j)
    Job.set(j, Flag.PLACED, false)
  end

  -- Writes down which jobs this call has ended.
  function save_ended()
    for name, line in pairs(Now.ended) do
      for from = 1, #line, 1000 do call('RPUSH', name, tunpack(line, from, min(from + 999, #line))) end
    end
    Now.ended = {}
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
    Now.released[#Now.released + 1] = j.id
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

  -- The index of a queue's jobs, in the order in which they came: pages of ids one behind the other, zeros where a
  -- job has gone, since a string is the most compact thing that can lose any of its parts.
  local function slots_of(pages, queue, number)
    local page = floor(number / PAGE)
    local name = key(Key.index, queue, int(page))
    local slots = pages[name]
    if not slots then
      slots = { queue = queue, page = page, first = number % PAGE }
      pages[name] = slots
    end
    return slots
  end

  -- What this call adds to the page of that number: ids in their order.
  function index_slots(queue, number)
    return slots_of(Now.indexed, queue, number)
  end

  function add_to_index(j)
    local slots = index_slots(j.queue, j.number)
    slots[#slots + 1] = j.id
  end

  -- Takes a job's number out of its page; answers what this call takes out of that page.
  function unindex(queue, number)
    local slots = slots_of(Now.unindexed, queue, number)
    slots[#slots + 1] = number % PAGE
    return slots
  end

  -- The ids of a page by their places.
  function read_page(queue, page)
    local ids, raw = {}, call('GET', key(Key.index, queue, page)) or ''
    for at = 1, #raw, 16 do
      local id = raw:sub(at, at + 15)
      if id ~= NOBODY then ids[(at - 1) / 16] = id end
    end
    return ids
  end

  function save_index()
    for name, slots in pairs(Now.indexed) do
      if slots.first == 0 then call('ZADD', key(Key.pages, slots.queue), slots.page, int(slots.page)) end
      call('SETRANGE', name, slots.first * 16, concat(slots))
    end
    for name, slots in pairs(Now.unindexed) do
      -- Jobs go as they came, mostly: one stretch of a page is one step.
      table.sort(slots)
      local from = 1
      for i = 1, #slots do
        if slots[i + 1] ~= slots[i] + 1 then
          call('SETRANGE', name, slots[from] * 16, NOBODY:rep(i - from + 1))
          from = i + 1
        end
      end
      local is_full = Queue.get(slots.queue, true).number >= (slots.page + 1) * PAGE
      if is_full and not call('GET', name):find('%Z') then
        call('DEL', name)
        call('ZREM', key(Key.pages, slots.queue), int(slots.page))
      end
    end
    Now.indexed, Now.unindexed = {}, {}
  end

  -- Takes a job out of everything.
  function remove(j, cause)
    emit(j, Event.REMOVED, cause)
    wake_retention(j)
    detach(j, nil)
    free_unique(j)
    count(j, -1)
    if Job.has(j, Flag.LINKED) then leave_place(j) end
    unindex(j.queue, j.number)
    local deleted = Now.deleted
    deleted[#deleted + 1] = NS .. 'j' .. j.id
    if j.apart then Now.heads[j.id] = false end
    if Job.has(j, Flag.EXTRA) then deleted[#deleted + 1] = key(Key.extra, j.id) end
    if Job.has(j, Flag.CHILDREN) then deleted[#deleted + 1] = key(Key.children, j.id) end
    if j.state == DEAD then count_dead(queue_of(j), j, -1) end
    local s = state()
    s.jobs = s.jobs - 1
    Now.gone[j.id], Now.gone_ids[#Now.gone_ids + 1] = j.state, j.id
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
