-- Parents and children: who waits for whom, and what a parent's end lets go or forbids.

-- For the files that follow.
local released_by, children_of, add_child, must_wait, has_live_children, Flow

do
  -- Whether a parent in that state lets a child of that edge go.
  function released_by(how, always)
    if always then return how >= COMPLETED end
    return how == COMPLETED
  end

  function children_of(j)
    if not Job.has(j, Flag.CHILDREN) then return {} end
    return call('LRANGE', key(Key.children, j.id), 0, -1)
  end

  function add_child(parent, child)
    call('RPUSH', key(Key.children, parent.id), child.id)
    Job.set(parent, Flag.CHILDREN, true)
  end

  -- Whether a job has to wait for one of these parents as they stand now. One that is gone has let go.
  function must_wait(parents)
    for _, parent in ipairs(parents) do
      local p = Job.load(parent.id)
      if p and not released_by(p.state, parent.always) then return true end
    end
    return false
  end

  function has_live_children(j)
    for _, id in ipairs(children_of(j)) do
      local child = Job.load(id)
      if child and child.state < COMPLETED then return true end
    end
    return false
  end

  Flow = {}

  -- What is owed to children beyond those of one step: upkeep goes on there.
  local function owe(j, from, errand)
    call('RPUSH', key(Key.errands), mpack({ j.id, from, errand }))
    due_at(Now.at)
  end

  -- Ends a job that is not running, or whose holder was asked to stop, as cancelled.
  function Flow.cancel(j, cause)
    emit(j, Event.CANCELLED, cause)
    total(queue_of(j), 'cancelled')
    if j.state == RUNNING then
      if cause == Cause.REQUESTED then
        acknowledge(j, Ack.CANCELLED)
      else
        -- The store ended it, not its holder, who is stale from now on.
        j.ack = 0
      end
    end
    if cause ~= Cause.REQUESTED then
      extend(j)
      j.cause = cause
    end
    move_to(j, CANCELLED, Now.at)
    Flow.ended(j)
  end

  -- Does for one child what its parent's end means. `resumed`: found again after a restart, and a child that was
  -- retried by hand although the parent had failed waits for the parent's retry.
  function Flow.release(parent, id)
    local child = Job.load(id)
    if not child or child.state ~= BLOCKED then return end
    local options = Job.options(child)
    local edge
    for _, candidate in ipairs(options.parents) do
      if candidate.id == parent.id then edge = candidate end
    end
    if not edge then return end
    if not released_by(parent.state, edge.always) then
      if is_terminal(parent.state) then Flow.cancel(child, Cause.PARENT_FAILED) end
      return
    end
    if must_wait(options.parents) then return end
    emit(child, Event.UNBLOCKED, Cause.NONE)
    if child.until_due > Now.at then
      move_to(child, SCHEDULED, child.until_due)
    else
      make_ready(child)
    end
  end

  -- A job has ended: its children are let go, forbidden, or wait on.
  function Flow.ended(j)
    for done, id in ipairs(children_of(j)) do
      if Now.kids == 0 then
        owe(j, done - 1, 'release')
        return
      end
      Now.kids = Now.kids - 1
      Flow.release(j, id)
    end
  end

  -- Whether a job was cancelled by a parent's end, and none of its parents forbids it any more.
  local function is_revivable(j)
    if j.state ~= CANCELLED or j.cause ~= Cause.PARENT_FAILED then return false end
    for _, parent in ipairs(Job.options(j).parents) do
      local p = Job.load(parent.id)
      local how = p and p.state or remembered(parent.id)
      if how and how >= COMPLETED and not released_by(how, parent.always) then return false end
    end
    return true
  end

  -- T12. Answers a rejection or nil.
  function Flow.retry(j)
    if j.state < COMPLETED then return wrong_state(j, 'retry') end
    local options = Job.options(j)
    local unique = not Job.has(j, Flag.GIVEN_UP) and options.unique
    if unique then
      local holder = holder_of(unique.key)
      if holder and holder ~= j.id then return reject('unique_conflict', ',"holder":"' .. uuid(holder) .. '"') end
    end
    local blocked = must_wait(options.parents)
    emit(j, Event.RETRIED, Cause.REQUESTED)
    extend(j)
    j.failures, j.losses, j.snoozes, j.no_handler, j.cause = 0, 0, 0, 0, 0
    j.generation = j.generation + 1
    if unique and not unique.ttl then take_unique(unique.key, j.id, 0) end
    if blocked then
      move_to(j, BLOCKED, Now.at)
    else
      make_ready(j)
    end
    for done, id in ipairs(children_of(j)) do
      if Now.kids == 0 then
        owe(j, done - 1, 'revive')
        return nil
      end
      Now.kids = Now.kids - 1
      Flow.revive(id)
    end
    return nil
  end

  function Flow.revive(id)
    local child = Job.load(id)
    -- A child whose unique key is taken meanwhile stays cancelled; that is its answer.
    if child and is_revivable(child) then Flow.retry(child) end
  end

  -- Goes on with the children of jobs that had more than one step could do.
  function Flow.go_on(budget)
    local done = 0
    while done < budget do
      local raw = call('LPOP', key(Key.errands))
      if not raw then break end
      local id, from, errand = tunpack(munpack(raw))
      local parent = Job.load(id)
      if parent then
        local children = children_of(parent)
        local last = min(#children, from + budget - done)
        for i = from + 1, last do
          if errand == 'revive' then Flow.revive(children[i]) else Flow.release(parent, children[i]) end
        end
        done = done + max(last - from, 1)
        if last < #children then call('LPUSH', key(Key.errands), mpack({ id, last, errand })) end
      end
    end
    return done
  end
end
