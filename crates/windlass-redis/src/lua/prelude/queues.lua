-- Queues: settings, counts, histograms and charts.

-- For the files that follow.
local zeros, Settings, parse_settings, PRIORITIES, Queue, record, count_in_chart, last_minute, total, touch,
  set_timer, queue_shut, set_queue_timer

do
  -- Settings by their text: the Rust side wrote it, so it is whole and valid.
  Settings = {}
  local settings_known = 0

  local function limits_of(t)
    return { concurrency = null(t.concurrency), rate = null(t.rate) }
  end

  local function group_settings(t)
    local s = limits_of(t)
    s.weight, s.ordered, s.blocks = t.weight, t.ordered, t.on_head_death == 'block'
    return s
  end

  function parse_settings(text, of)
    local known = Settings[text]
    if known then return known end
    local t = jdecode(text)
    local s
    if of == 'group' then
      s = group_settings(t)
    elseif of == 'limit' then
      s = limits_of(t)
    else
      s = limits_of(t)
      s.paused, s.lease_ms, s.retry, s.max_waiting = t.paused, t.lease_ms, t.retry, null(t.max_waiting)
      s.groups = group_settings(t.groups)
      s.keep = {
        [COMPLETED] = { t.retention.completed_ms, t.retention.completed_count },
        [CANCELLED] = { t.retention.cancelled_ms, t.retention.cancelled_count },
        [DEAD] = { t.retention.dead_ms, t.retention.dead_count },
      }
    end
    settings_known = settings_known + 1
    if settings_known > 1000 then Settings, settings_known = {}, 1 end
    Settings[text] = s
    return s
  end

  local TOTALS = {
    enqueued = 1, claimed = 2, completed = 3, failed = 4, died = 5, lost = 6, snoozed = 7, released = 8,
    no_handler = 9, cancelled = 10,
  }
  -- Priorities -9 to 9 as places 1 to 19.
  PRIORITIES = 19

  Queue = {}

  function zeros(n)
    local t = {}
    for i = 1, n do t[i] = 0 end
    return t
  end

  -- The queue, or nil when nobody has named it; `make` makes it.
  function Queue.get(name, make)
    local q = Now.queues[name]
    if q then return q end
    if q == false and not make then return nil end
    local raw = call('HMGET', key(Key.queue, name), 'v', 's')
    if not raw[1] then
      if not make then
        Now.queues[name] = false
        return nil
      end
      q = {
        name = name, running = 0, tat_ms = 0, tat_fraction = 0, hold = 0, timer = 0, floor = 0, retention_at = 0,
        rests_until = 0, groups = 0, counts = zeros(8), totals = zeros(10), standing = zeros(PRIORITIES),
        charts = zeros(18), number = 0, changed = true,
      }
      call('ZADD', key(Key.queues), 0, name)
    else
      local t = munpack(raw[1])
      q = {
        name = name, running = t[1], tat_ms = t[2], tat_fraction = t[3], hold = t[4], timer = t[5], floor = t[6],
        retention_at = t[7], rests_until = t[8], groups = t[9], counts = t[10], totals = t[11], standing = t[12],
        charts = t[13], number = t[14],
      }
    end
    q.settings = parse_settings(raw[2] or DEFAULT_QUEUE, 'queue')
    Now.queues[name] = q
    return q
  end

  -- Records how long a job waited (`w`) or ran (`r`): counted by value, since those of one call are much alike.
  function record(q, what, value, n)
    local values = q[what]
    if not values then
      values = {}
      q[what], q.changed = values, true
    end
    values[value] = (values[value] or 0) + (n or 1)
  end

  local function save_values(q, what)
    local values = q[what]
    if not values then return end
    q[what] = nil
    local fields, sum, most = {}, 0, 0
    for value, n in pairs(values) do
      value = max(value, 0)
      local field = what .. int(bucket(value))
      fields[field] = (fields[field] or 0) + n
      sum, most = sum + value * n, max(most, value)
    end
    local name = key(Key.histograms, q.name)
    for field, n in pairs(fields) do call('HINCRBY', name, field, n) end
    if sum > 0 then call('HINCRBY', name, what .. 's', sum) end
    if most > tonumber(call('HGET', name, what .. 'm') or '0') then call('HSET', name, what .. 'm', most) end
  end

  -- Charts: what the current second, minute and hour have counted stands with the queue; a slot that is over
  -- goes into the ring. `CHARTS` names them: enqueued, completed, failed.
  local CHARTS = { e = 0, c = 6, f = 12 }
  local WIDTHS = { { 'S', 1000, 300 }, { 'M', 60000, 1440 }, { 'H', 3600000, 168 } }

  function count_in_chart(q, chart, n)
    local counted = q.counted
    if not counted then
      counted = {}
      q.counted, q.changed = counted, true
    end
    counted[chart] = (counted[chart] or 0) + n
  end

  local function save_charts(q)
    local counted = q.counted
    if not counted then return end
    q.counted = nil
    for chart, n in pairs(counted) do
      local base = CHARTS[chart]
      for i = 1, 3 do
        local width = WIDTHS[i]
        local slot = floor(Now.at / width[2])
        local at = base + 2 * i - 1
        if q.charts[at] ~= slot then
          if q.charts[at + 1] > 0 then
            call('HSET', key(Key.series, q.name), chart .. width[1] .. (q.charts[at] % width[3]),
              int(q.charts[at]) .. ':' .. int(q.charts[at + 1]))
          end
          q.charts[at], q.charts[at + 1] = slot, 0
        end
        q.charts[at + 1] = q.charts[at + 1] + n
      end
    end
  end

  function Queue.save(q)
    save_values(q, 'w')
    save_values(q, 'r')
    save_charts(q)
    q.changed = false
    call('HSET', key(Key.queue, q.name), 'v', mpack({
      q.running, q.tat_ms, q.tat_fraction, q.hold, q.timer, q.floor, q.retention_at, q.rests_until, q.groups,
      q.counts, q.totals, q.standing, q.charts, q.number,
    }))
  end

  -- Completions in the last whole minute by seconds.
  function last_minute(q)
    local second = floor(Now.at / 1000)
    local fields = {}
    for back = 1, 60 do fields[back] = 'cS' .. ((second - back) % 300) end
    local got = call('HMGET', key(Key.series, q.name), tunpack(fields))
    local sum = 0
    for back = 1, 60 do
      local slot, n = (got[back] or ''):match('^(%d+):(%d+)$')
      if slot and tonumber(slot) == second - back then sum = sum + tonumber(n) end
    end
    local slot, n = q.charts[7], q.charts[8]
    if slot < second and slot >= second - 60 then sum = sum + n end
    return sum
  end

  function total(q, what)
    local i = TOTALS[what]
    q.totals[i] = q.totals[i] + 1
    q.changed = true
  end

  -- Remembers that jobs of the queue may have become claimable.
  function touch(q)
    Now.touched[q.name] = q
  end

  function set_timer(member, at, old)
    if old ~= at then
      call('ZADD', key(Key.timers), at, member)
      due_at(at)
    end
  end

  -- Whether the queue is shut: nil when it is open, else true, and when time alone opens it.
  function queue_shut(q)
    local s = q.settings
    if s.paused then return true end
    if s.concurrency and q.running >= s.concurrency then return true end
    if q.hold > Now.at then return true, q.hold end
    if s.rate then
      local ms, at = admit(s.rate, q.tat_ms, q.tat_fraction, 1)
      if not ms then return true, at end
    end
    return nil
  end

  function set_queue_timer(q, at)
    set_timer('q' .. q.name, at, q.timer)
    q.timer, q.changed = at, true
  end
end
