-- Sorted sets of which a call moves many members and looks at the first: read a stretch at a time, written at its end.

-- For the files that follow.
local Sorted

do
  Sorted = {}

  local function of(name)
    local s = Now.sorted[name]
    if not s then
      s = { name = name, moved = {}, members = false }
      Now.sorted[name] = s
    end
    return s
  end

  -- Whether one place comes before another: by score, and members of one score by their bytes, as Redis has it.
  local function before(score, member, other_score, other)
    if score ~= other_score then return score < other_score end
    for i = 1, min(#member, #other) do
      local a, b = byte(member, i), byte(other, i)
      if a ~= b then return a < b end
    end
    return #member < #other
  end

  -- The place in the stretch of the first member that does not come before this one.
  local function place_of(s, score, member)
    local low, high = s.head, s.n + 1
    while low < high do
      local middle = floor((low + high) / 2)
      if before(s.scores[middle], s.members[middle], score, member) then low = middle + 1 else high = middle end
    end
    return low
  end

  local function take_out(s, member)
    local score = s.known[member]
    if not score then return end
    s.known[member] = nil
    -- The first one, mostly.
    if s.members[s.head] == member then
      s.head = s.head + 1
    else
      local at = place_of(s, score, member)
      table.remove(s.members, at)
      table.remove(s.scores, at)
      s.n = s.n - 1
    end
  end

  -- Gives a member that score, whether it is in the set or not.
  function Sorted.put(name, member, score)
    local s = of(name)
    s.moved[member] = score
    if not s.members then return end
    take_out(s, member)
    if s.whole or before(score, member, s.last_score, s.last) then
      local at = place_of(s, score, member)
      table.insert(s.members, at, member)
      table.insert(s.scores, at, score)
      s.n, s.known[member] = s.n + 1, score
    end
  end

  function Sorted.drop(name, member)
    local s = of(name)
    s.moved[member] = false
    if s.members then take_out(s, member) end
  end

  -- The score of a member, or nil.
  function Sorted.score(name, member)
    local moved = of(name).moved[member]
    if moved ~= nil then return moved or nil end
    return tonumber(call('ZSCORE', name, member) or nil)
  end

  local function write(s)
    local put, dropped, p, d = {}, {}, 0, 0
    for member, score in pairs(s.moved) do
      if score then
        put[p + 1], put[p + 2] = int(score), member
        p = p + 2
      else
        d = d + 1
        dropped[d] = member
      end
    end
    s.moved = {}
    for from = 1, p, 2000 do call('ZADD', s.name, tunpack(put, from, min(from + 1999, p))) end
    for from = 1, d, 1000 do call('ZREM', s.name, tunpack(dropped, from, min(from + 999, d))) end
  end

  -- The first member, or nil. Where the set has to be read, the next `n` are, and answered as well.
  function Sorted.first(name, n)
    local s, read = of(name), nil
    if not s.members or (s.head > s.n and not s.whole) then
      write(s)
      local flat = call('ZRANGE', name, '0', int(n - 1), 'WITHSCORES')
      local members, scores, known = {}, {}, {}
      for i = 1, #flat / 2 do
        local member, score = flat[2 * i - 1], tonumber(flat[2 * i])
        members[i], scores[i], known[member] = member, score, score
      end
      s.members, s.scores, s.known, s.head, s.n = members, scores, known, 1, #members
      s.whole, s.last, s.last_score = #members < n, members[#members], scores[#members]
      read = members
    end
    return s.members[s.head], read
  end

  -- Writes what was moved.
  function Sorted.save()
    for _, s in pairs(Now.sorted) do
      if next(s.moved) then write(s) end
    end
  end
end
