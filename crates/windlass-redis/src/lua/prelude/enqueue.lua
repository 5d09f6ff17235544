-- T1, for the verb itself and for the follow-ups of a completion.

-- For the files that follow.
local Enqueue, answer, rewrite, is_refusal

do
  Enqueue = {}

  local CREATED, KNOWN, EXISTING, REPLACED, RESCHEDULED = 0, 1, 2, 3, 4
  local FULL_RETRY_MS_MAX = 60000

  -- One job as the Rust side sends it: id, rejection or '', time, expiry, priority, whether it has options, and the
  -- bytes of its record from its names on.
  function Enqueue.read()
    local a = {
      id = arg(), rejected = arg(), due = arg(), expires = argn(), priority = argn(), has_options = arg() == '1',
      body = arg(),
    }
    local at
    a.queue, a.kind, a.group, at = sunpack('Bc0Bc0Bc0', a.body)
    a.names_end = at - 1
    if a.has_options then
      local length, from = sunpack('>I4', a.body, at)
      a.options = Job.parse_options(a.body:sub(from, from + length - 1))
    else
      a.options = NO_OPTIONS
    end
    return a
  end

  function Enqueue.read_all(n)
    local all = {}
    for i = 1, n do all[i] = Enqueue.read() end
    return all
  end

  function answer(status, how, id)
    return char(status, how) .. id
  end

  -- The time at which a new job is due, or nil when that is now.
  local function due_of(a)
    if a.due == '' then return nil end
    local due = a.due:sub(1, 1) == '+' and Now.at + tonumber(a.due:sub(2)) or tonumber(a.due)
    return due > Now.at and due or nil
  end

  -- A key that is taken: the answer that stands for it, or the plan for its holder, or a rejection.
  local function conflict(unique)
    local holder = holder_of(unique.key)
    if not holder then return nil end
    local refused = reject('unique_conflict', ',"holder":"' .. uuid(holder) .. '"')
    local j = Job.load(holder)
    local policy = unique.on_conflict
    if not j then
      -- A deleted holder answers by its id only.
      if policy == 'existing' then return nil, answer(EXISTING, remembered(holder) or COMPLETED, holder) end
      return refused
    end
    if policy == 'existing' then return nil, answer(EXISTING, j.state, holder) end
    if j.state < COMPLETED and j.state ~= RUNNING and policy ~= 'refuse' then return nil, nil, { policy, j } end
    return refused
  end

  -- Whether the job may come in, and as what: a rejection, or an answer, or a plan, or nothing (it is new). Changes
  -- nothing. `promised` is what an all-or-nothing batch has promised so far; `bounded` unless it is a follow-up.
  function Enqueue.check(a, promised, bounded)
    if a.rejected ~= '' then return a.rejected end
    local known = Job.load(a.id)
    if known then return nil, answer(KNOWN, known.state, a.id) end
    local ended = Now.nothing_gone ~= true and remembered(a.id)
    if ended then return nil, answer(KNOWN, ended, a.id) end
    local unique = a.options.unique
    if unique then
      if promised and promised.keys[unique.key] then
        return invalid('unique key', unique.key .. ' stands twice in an all-or-nothing batch')
      end
      local refused, existing, plan = conflict(unique)
      if refused or existing or plan then return refused, existing, plan end
    end
    local q = Queue.get(a.queue)
    local ordered = false
    if q then
      local most = bounded and q.settings.max_waiting
      if most then
        local c = q.counts
        local waiting = c[SCHEDULED + 1] + c[READY + 1] + c[RETRYING + 1] + c[BLOCKED + 1]
        if promised then waiting = waiting + (promised.waiting[a.queue] or 0) end
        if waiting >= most then
          local ms = max(1, min(floor(60000 / max(last_minute(q), 1)), FULL_RETRY_MS_MAX))
          return reject('queue_full', ',"queue":' .. jencode(a.queue) .. ',"retry_after_ms":' .. int(ms))
        end
      end
      local g = Group.get(q, a.group)
      if g then ordered = g.ordered else ordered = q.settings.groups.ordered end
    end
    if ordered and a.priority ~= 0 then
      return invalid('priority', 'must be 0 in an ordered group: its order is that of becoming ready')
    end
    for _, use in ipairs(uses_of(a.options.limits)) do
      local most = most_of(Limit.get(use[1]))
      if use[2] > most then
        return reject('cost_too_high', ',"limit":' .. jencode(use[1]) .. ',"cost":' .. int(use[2]) .. ',"most":' .. int(most))
      end
    end
    for _, parent in ipairs(a.options.parents) do
      local found = Job.load(parent.id)
      local gone = not found and remembered(parent.id)
      local is_promised = promised and promised.ids[parent.id]
      if parent.id == a.id or not (found or gone or is_promised) then
        return reject('bad_parents', ',"why":' ..
          jencode('job ' .. uuid(parent.id) .. ' is unknown; parents exist or are in the same batch'))
      end
      if not found and not parent.always and (gone == DEAD or gone == CANCELLED) then
        return reject('bad_parents', ',"why":' ..
          jencode('job ' .. uuid(parent.id) .. ' has ended without completing and is gone'))
      end
    end
    if promised then
      promised.ids[a.id] = true
      promised.waiting[a.queue] = (promised.waiting[a.queue] or 0) + 1
      if unique then promised.keys[unique.key] = true end
    end
    return nil
  end

  function Enqueue.create(a)
    local q = Queue.get(a.queue, true)
    local options, s = a.options, state()
    local due = due_of(a)
    local waits = #options.parents > 0 and must_wait(options.parents)
    local how = waits and BLOCKED or due and SCHEDULED or READY
    local j = setmetatable({
      id = a.id, state = how, flags = a.has_options and Flag.OPTIONS or 0, priority = a.priority,
      enqueued = Now.at, when = how == SCHEDULED and due or Now.at, seq = 0, number = q.number, raw = a.body, whole = true,
      body = 1, names_end = a.names_end, queue = a.queue, kind = a.kind, group = a.group, options = options,
      changed = true, rewritten = true,
    }, FRESH)
    q.number, s.jobs = q.number + 1, s.jobs + 1
    Now.jobs[a.id] = j
    if how == READY then j.seq = take_seq() end
    if #options.parents > 0 then
      j.flags = j.flags + Flag.PARENTS
      for _, parent in ipairs(options.parents) do
        local p = Job.load(parent.id)
        if p then add_child(p, j) end
      end
    end
    if a.expires > 0 then
      extend(j)
      j.expires = a.expires
      call('ZADD', key(Key.expiry), a.expires, a.id)
      due_at(a.expires)
    end
    if waits and due then
      extend(j)
      j.until_due = due
    end
    local unique = options.unique
    if unique then take_unique(unique.key, a.id, unique.ttl and Now.at + unique.ttl or 0) end
    add_to_index(j)
    emit(j, Event.ENQUEUED, Cause.NONE)
    count(j, 1)
    total(q, 'enqueued')
    count_in_chart(q, 'e', 1)
    if how == READY then
      enter(j)
    elseif how == SCHEDULED then
      call('ZADD', key(Key.due), due, a.id)
      due_at(due)
    else
      -- A parent that ended in the meantime of this very batch may forbid the job at once.
      for _, parent in ipairs(options.parents) do
        local p = Job.load(parent.id)
        if p and is_terminal(p.state) then Flow.release(p, a.id) end
      end
    end
    return answer(CREATED, j.state, a.id)
  end

  -- Changes a job that does not run: payload, priority, time. A job that stays due keeps its place.
  function rewrite(j, cause, payload, priority, due)
    emit(j, Event.EDITED, cause)
    if payload then
      Job.whole(j)
      j.raw = j.raw:sub(1, Job.payload_at(j) - 1) .. payload
      j.rewritten, j.changed = true, true
    end
    local new_priority = priority or j.priority
    if j.state == BLOCKED then
      j.priority, j.changed = new_priority, true
      if due then
        extend(j)
        j.until_due = due > Now.at and due or 0
      end
      return
    end
    local is_moved = new_priority ~= j.priority
    if due and due > Now.at then
      local to = j.state == RETRYING and RETRYING or SCHEDULED
      if to ~= j.state or due ~= j.when then
        move_to(j, to, due)
        j.flags = band(j.flags, 0xffff - Flag.SNOOZED - Flag.NO_HANDLER)
      end
      j.priority, j.changed = new_priority, true
    elseif due and j.state ~= READY then
      detach(j, READY)
      j.priority = new_priority
      change_state(j, READY)
      j.when = Now.at
      j.flags = band(j.flags, 0xffff - Flag.SNOOZED - Flag.NO_HANDLER)
      if not Job.has(j, Flag.LINKED) then j.seq = take_seq() end
      enter(j)
    elseif j.state == READY and is_moved then
      leave(j, READY)
      j.priority, j.seq, j.changed = new_priority, take_seq(), true
      enter(j)
    else
      j.priority, j.changed = new_priority, true
    end
  end

  -- Takes one job in. Follow-ups of a completion are not held back by `max_waiting`: work that is under way must be
  -- able to finish.
  function Enqueue.take_in(a, bounded)
    local refused, existing, plan = Enqueue.check(a, nil, bounded)
    if refused then return refused end
    if existing then return existing end
    if not plan then return Enqueue.create(a) end
    local j = plan[2]
    if plan[1] == 'replace' then
      local from = a.names_end + 1
      if a.has_options then
        local length, at = sunpack('>I4', a.body, from)
        from = at + length
      end
      rewrite(j, Cause.UNIQUE, a.body:sub(from), nil, nil)
      return answer(REPLACED, j.state, j.id)
    end
    rewrite(j, Cause.UNIQUE, nil, nil, due_of(a) or Now.at)
    return answer(RESCHEDULED, j.state, j.id)
  end

  function is_refusal(text)
    return byte(text) == 123
  end

  -- Whether the follow-ups of a completion may come in, all of them; else the first reason.
  function Enqueue.check_follow_ups(all)
    local promised = { ids = {}, keys = {}, waiting = {} }
    for _, a in ipairs(all) do
      local refused = Enqueue.check(a, promised, false)
      -- One that meets a held unique key is no reason: its work is there already.
      if refused and not refused:find('"code":"unique_conflict"', 1, true) then return refused end
      -- A key twice among them is answered with its holder, as in any other batch.
      promised.keys = {}
      promised.ids[a.id] = true
    end
    return nil
  end
end
