-- The ready order: queues hold groups by virtual time, groups hold lanes, lanes hold jobs.
--
-- A lane is first in, first out, of ready jobs that agree in group, priority and named limits, so that whatever
-- holds its head back holds all of it back. Only what can run stands: a lane whose limit is closed waits in that
-- limit's line, a group at its own concurrency or rate is parked. So a claim looks at the first group, its first
-- lane and that lane's head, however much is held back.
--
-- Jobs without a group lie in Streams, those of a group in Lists (a Stream of one job costs twenty times a List of
-- one). An ordered group has one sorted set of places instead; only its head can stand.
--
-- A lane's `first` is never later than the place of its head: it is made exact where two lanes are compared.

-- For the files that follow.
local order_of, refresh, IDLE, STANDS, WAITS, Lane, Limit, lane_of, changed, places, is_ordered, place_head,
  set_vt, first_lane, park, enter, keeps_place, leave_place, leave, oldest_ready

do
  IDLE, STANDS, WAITS = 0, 1, 2
  -- A List up to this long is searched for an entry to take out; in a longer one the entry is left and skipped.
  local SEARCH_MAX = 128

  Lane = {}
  Limit = {}

  -- A lane's priority between the other parts of its names, since Lua makes a number text slowly.
  local PRIORITY_PART = {}
  for index = 1, PRIORITIES do PRIORITY_PART[index] = '\1' .. index .. '\1' end
  Lane.priority_part = PRIORITY_PART

  local function index_of(priority)
    return priority + 10
  end

  function Lane.get(g, index, set)
    if set == '' then
      local lane = g.lanes[index]
      if not lane then
        lane = new_lane(g, index, '')
        g.lanes[index] = lane
      end
      return lane
    end
    local id = key(Key.lane, g.q.name, g.name, index, set)
    local lane = Now.lanes[id]
    if not lane then
      local raw = call('GET', id)
      lane = raw and unpack_lane(g, index, set, munpack(raw)) or new_lane(g, index, set)
      lane.id = id
      Now.lanes[id] = lane
    end
    return lane
  end

  function lane_of(j)
    return Lane.get(group_of(j), index_of(j.priority), Job.options(j).limits)
  end

  function changed(lane)
    lane.changed = true
    if lane.set == '' then lane.g.changed = true end
  end

  function Lane.save(lane)
    lane.changed = false
    if lane.n == 0 and lane.stands == IDLE and lane.woken == '' and lane.stale == 0 then
      call('DEL', lane.id)
      if lane.g.name == '' then call('DEL', Lane.store(lane)) end
    else
      call('SET', lane.id, mpack(pack_lane(lane)))
    end
  end

  -- Where the lane's jobs lie.
  function Lane.store(lane)
    local at = lane.store
    if not at then
      local g = lane.g
      at = NS .. (g.name == '' and Key.ready or Key.list) .. g.id .. PRIORITY_PART[lane.priority] .. lane.set
      lane.store = at
    end
    return at
  end

  function places(g)
    return key(Key.places, g.q.name, g.name)
  end

  function is_ordered(j)
    return group_of(j).ordered
  end

  -- The job that an ordered group's order begins with.
  function place_head(g)
    return call('ZRANGE', places(g), '0', '0')[1]
  end

  -- The lane's entry in the queue's index of longest-waiting jobs. The plain lanes of jobs without a group need
  -- none: they are few, and asked themselves.
  local function in_oldest(lane)
    return lane.g.ordered or lane.g.name ~= '' or lane.set ~= ''
  end

  local function oldest_of(q)
    local name = q.oldest
    if not name then
      name = key(Key.oldest, q.name)
      q.oldest = name
    end
    return name
  end
  Lane.oldest_of = oldest_of

  local function oldest_member(lane)
    if lane.g.ordered then return lane.g.name .. SEP .. 'o' end
    return lane.g.name .. PRIORITY_PART[lane.priority] .. lane.set
  end

  -- The entry at the head: its job and place. Entries of a List that were left behind are dropped on the way.
  function Lane.peek(lane)
    if lane.g.ordered then
      local head = call('ZRANGE', places(lane.g), 0, 0, 'WITHSCORES')
      return head[1], tonumber(head[2])
    end
    if lane.n == 0 then return nil end
    local at = Lane.store(lane)
    if lane.g.name == '' then
      local entry = call('XRANGE', at, '-', '+', 'COUNT', 1)[1]
      if not entry then return nil end
      return entry[2][2], tonumber(entry[1]:match('^(%d+)'))
    end
    while true do
      local entry = call('LINDEX', at, 0)
      if not entry then return nil end
      local seq, rest = sunpack('>I6', entry)
      local id = entry:sub(rest)
      local j = lane.stale == 0 or Job.load(id)
      if j == true or (j and j.state == READY and j.seq == seq) then return id, seq end
      call('LPOP', at)
      lane.stale = lane.stale - 1
      changed(lane)
    end
  end

  -- Puts a job's entry at the end.
  function Lane.push(lane, j)
    local at = Lane.store(lane)
    if lane.g.name == '' then
      call('XADD', at, int(j.seq) .. '-0', '', j.id)
    else
      call('RPUSH', at, spack('>I6', j.seq) .. j.id)
    end
    Lane.grow(lane, 1, j.seq)
  end

  -- The lane is `n` jobs longer; `first` is the place of the first of them.
  function Lane.grow(lane, n, first)
    lane.n = lane.n + n
    changed(lane)
    if lane.n == n then
      lane.first = first
      if lane.set ~= '' then Limit.count_lane(lane.set, 1) end
      if in_oldest(lane) then Sorted.put(oldest_of(lane.g.q), oldest_member(lane), first) end
    end
  end

  -- The lane is one job shorter, or `n`.
  function Lane.shrink(lane, n)
    lane.n = lane.n - n
    changed(lane)
    if lane.n <= 0 then
      lane.n = 0
      if lane.set ~= '' then Limit.count_lane(lane.set, -1) end
      if lane.stale > 0 then
        call('DEL', Lane.store(lane))
        lane.stale = 0
      end
      if in_oldest(lane) then Sorted.drop(oldest_of(lane.g.q), oldest_member(lane)) end
      Lane.clear_standing(lane)
    end
  end

  -- Takes a job's entry out from wherever it stands.
  function Lane.pull(lane, j)
    local at = Lane.store(lane)
    if lane.g.name == '' then
      call('XDEL', at, int(j.seq) .. '-0')
    elseif lane.n + lane.stale <= SEARCH_MAX then
      call('LREM', at, 1, spack('>I6', j.seq) .. j.id)
    else
      lane.stale = lane.stale + 1
      if lane.stale > lane.n then Lane.sweep(lane, j) end
    end
    Lane.shrink(lane, 1)
  end

  -- Leaves only the entries that still mean something, once most of them do not.
  function Lane.sweep(lane, leaving)
    local at = Lane.store(lane)
    local kept = {}
    for _, entry in ipairs(call('LRANGE', at, 0, -1)) do
      local seq, rest = sunpack('>I6', entry)
      local id = entry:sub(rest)
      local j = id ~= leaving.id and Job.load(id)
      if j and j.state == READY and j.seq == seq then kept[#kept + 1] = entry end
    end
    call('DEL', at)
    for from = 1, #kept, 1000 do
      call('RPUSH', at, tunpack(kept, from, min(from + 999, #kept)))
    end
    lane.stale = 0
  end

  -- The groups of a queue that can run, at a priority.
  function order_of(q, index)
    local orders = q.orders
    if not orders then
      orders = {}
      q.orders = orders
    end
    local name = orders[index]
    if not name then
      name = key(Key.order, q.name, index)
      orders[index] = name
    end
    return name
  end

  -- Brings a group's entry in its queue's order up to date.
  function refresh(g)
    local q, best = g.q, false
    if not g.parked then
      for index, lane in pairs(g.lanes) do
        if lane.stands == STANDS and (not best or index > best) then best = index end
      end
      if g.with_limits then
        for index, n in pairs(g.with_limits) do
          if n > 0 and (not best or index > best) then best = index end
        end
      end
    end
    if not g.entry and best then g.vt = max(g.vt, q.floor) end
    if best == g.entry and (not best or g.vt == (g.entry_vt or g.vt)) then return end
    if g.entry and g.entry ~= best then
      Sorted.drop(order_of(q, g.entry), g.name)
      q.standing[g.entry] = q.standing[g.entry] - 1
    end
    if best then
      Sorted.put(order_of(q, best), g.name, g.vt)
      if best ~= g.entry then
        q.standing[best] = q.standing[best] + 1
        -- Where a claim begins to look.
        if q.top and best > q.top then q.top = best end
      end
    end
    g.entry, g.entry_vt = best, g.vt
    g.changed, q.changed = true, true
  end

  function set_vt(g, vt)
    g.entry_vt = g.entry_vt or g.vt
    g.vt = vt
    g.changed = true
    refresh(g)
  end

  -- Puts a lane that has something to run into its group's order.
  function Lane.stand(lane)
    local g = lane.g
    lane.stands = STANDS
    changed(lane)
    if g.ordered or lane.set ~= '' then
      local _, seq = Lane.peek(lane)
      lane.first = seq or lane.first
    end
    if lane.set ~= '' then
      call('ZADD', key(Key.standing, g.q.name, g.name, lane.priority), lane.first, lane.set)
      g.with_limits = g.with_limits or {}
      g.with_limits[lane.priority] = (g.with_limits[lane.priority] or 0) + 1
      g.changed = true
    end
    refresh(g)
  end

  -- Takes a lane out of wherever it is, and passes on a slot that it was woken for.
  function Lane.clear_standing(lane)
    local g = lane.g
    if lane.stands == IDLE then return end
    if lane.stands == WAITS then
      local limit = Limit.get(lane.limit)
      Limit.leave_line(limit, lane)
      lane.stands, lane.limit = IDLE, ''
      changed(lane)
      -- Whoever is first in line now may want less than this one did.
      Limit.wake_one(limit, g.q)
      return
    end
    lane.stands = IDLE
    changed(lane)
    if lane.set ~= '' then
      call('ZREM', key(Key.standing, g.q.name, g.name, lane.priority), lane.set)
      g.with_limits[lane.priority] = g.with_limits[lane.priority] - 1
      if g.with_limits[lane.priority] == 0 then
        g.with_limits[lane.priority] = nil
        if not next(g.with_limits) then g.with_limits = false end
      end
      g.changed = true
    end
    refresh(g)
    Lane.pass_on(lane)
  end

  -- A lane that was woken used its slot or leaves the order: the next in line may try.
  function Lane.pass_on(lane)
    if lane.woken == '' then return end
    local limit = Limit.get(lane.woken)
    lane.woken = ''
    changed(lane)
    lane.g.woken_lanes = lane.g.woken_lanes - 1
    lane.g.changed = true
    Limit.wake_one(limit, lane.g.q)
  end

  -- The lane of a group that comes first at a priority.
  function first_lane(g, index)
    if g.ordered then
      local head = place_head(g)
      local j = head and Job.load(head)
      return j and lane_of(j)
    end
    local plain = g.lanes[index]
    if plain and plain.stands ~= STANDS then plain = nil end
    local others = g.with_limits and g.with_limits[index] or 0
    if others == 0 then return plain end
    local standing = key(Key.standing, g.q.name, g.name, index)
    if not plain and others == 1 then return Lane.get(g, index, call('ZRANGE', standing, 0, 0)[1]) end
    while true do
      local first = call('ZRANGE', standing, 0, 0, 'WITHSCORES')
      local lane, at = Lane.get(g, index, first[1]), tonumber(first[2])
      if plain and plain.first < at then lane = plain end
      local _, seq = Lane.peek(lane)
      if seq == lane.first and (lane == plain or seq == at) then return lane end
      lane.first = seq
      changed(lane)
      if lane ~= plain then call('ZADD', standing, seq, lane.set) end
    end
  end

  -- Takes a group that cannot run out of its queue's order, until a slot or time opens it.
  function park(g, how, at)
    g.parked, g.changed = true, true
    if how == 'until' then
      set_timer('g' .. g.q.name .. SEP .. g.name, at, g.timer)
      g.timer = at
    end
    refresh(g)
    if g.woken_lanes > 0 and g.with_limits then
      for index in pairs(g.with_limits) do
        for _, set in ipairs(call('ZRANGE', key(Key.standing, g.q.name, g.name, index), 0, -1)) do
          Lane.pass_on(Lane.get(g, index, set))
        end
      end
    end
  end

  -- Lets a parked group back; if it is still shut, the next claim parks it again.
  function unpark(g)
    if g.parked then
      g.parked, g.changed = false, true
      refresh(g)
      touch(g.q)
    end
  end

  -- Puts a job that has become ready (its `seq` is set) where it may be claimed.
  function enter(j)
    local lane = lane_of(j)
    local g = lane.g
    if g.ordered then
      if not Job.has(j, Flag.LINKED) then
        call('ZADD', places(g), j.seq, j.id)
        Job.set(j, Flag.LINKED, true)
        if place_head(g) == j.id then
          Sorted.put(oldest_of(g.q), oldest_member(lane), j.seq)
        end
      end
      if place_head(g) == j.id and lane.stands == IDLE then Lane.stand(lane) end
    else
      Lane.push(lane, j)
      if lane.stands == IDLE then Lane.stand(lane) end
    end
    touch(g.q)
  end

  -- Whether a job of an ordered group stays in line when it goes to that state.
  function keeps_place(j, to)
    if to == DEAD then
      local g = group_of(j)
      return g.settings.blocks and place_head(g) == j.id
    end
    return to ~= COMPLETED and to ~= CANCELLED and to ~= BLOCKED
  end

  -- Gives up the place of a job in its ordered group and lets the next one stand.
  function leave_place(j)
    if not Job.has(j, Flag.LINKED) then return end
    local g = group_of(j)
    local was_head = place_head(g) == j.id
    call('ZREM', places(g), j.id)
    Job.set(j, Flag.LINKED, false)
    local next_id = place_head(g)
    if not next_id then
      Sorted.drop(oldest_of(g.q), g.name .. SEP .. 'o')
    elseif was_head then
      local following = Job.load(next_id)
      if following and following.state == READY then
        local lane = lane_of(following)
        if lane.stands == IDLE then Lane.stand(lane) end
        touch(g.q)
      end
    end
  end

  -- Takes a ready job out of the order, on the way to `to` (nil when it goes away).
  function leave(j, to)
    local lane = lane_of(j)
    if not lane.g.ordered then
      Lane.pull(lane, j)
      return
    end
    if place_head(lane.g) == j.id then Lane.clear_standing(lane) end
    if not to or not keeps_place(j, to) then leave_place(j) end
  end

  -- When the longest-waiting ready job of a queue became ready.
  function oldest_ready(q)
    local oldest
    local function offer(id)
      local j = id and Job.load(id)
      if j and j.state == READY and (not oldest or j.when < oldest) then oldest = j.when end
      return j
    end
    local plain = Group.get(q, '')
    if plain and not plain.ordered then
      for _, lane in pairs(plain.lanes) do
        if lane.n > 0 then offer((Lane.peek(lane))) end
      end
    end
    local name, from = oldest_of(q), 0
    Sorted.save()
    -- Each step makes one entry exact; those passed over are ordered groups whose head is not ready.
    for _ = 1, 1000 do
      local first = call('ZRANGE', name, from, from, 'WITHSCORES')
      if not first[1] then return oldest end
      local group, index, set = first[1]:match('^([^\1]*)\1([^\1]*)\1?(.*)$')
      local g = Group.get(q, group)
      local lane = g and (index == 'o' and new_lane(g, 10, '') or Lane.get(g, tonumber(index), set))
      local id, seq
      if lane then id, seq = Lane.peek(lane) end
      if not id then
        call('ZREM', name, first[1])
      elseif seq ~= tonumber(first[2]) then
        call('ZADD', name, seq, first[1])
      else
        local j = Job.load(id)
        if j and j.state == READY then
          offer(id)
          return oldest
        end
        from = from + 1
      end
    end
    return oldest
  end
end
