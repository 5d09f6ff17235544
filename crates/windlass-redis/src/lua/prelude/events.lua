-- The event log: one entry of the stream for all that one call did.

-- For the files that follow.
local Event, Cause, emit, write_events

do
  Event = {
    ENQUEUED = 0, PROMOTED = 1, CLAIMED = 2, COMPLETED = 3, FAILED = 4, DIED = 5, LOST = 6, SNOOZED = 7, RELEASED = 8,
    CANCELLED = 9, CANCEL_REQUESTED = 10, RETRIED = 11, UNBLOCKED = 12, EDITED = 13, REMOVED = 14,
  }

  Cause = {
    NONE = 0, FATAL = 1, EXHAUSTED = 2, LOST = 3, EXPIRED = 4, PARENT_FAILED = 5, REQUESTED = 6, GRACE_OVER = 7,
    NO_HANDLER = 8, SHUTDOWN = 9, RATE_LIMITED = 10, RETENTION = 11, RESTART = 12, UNIQUE = 13,
  }

  -- Bytes of the log that are kept when no reader is behind, and when one is. A test of the bound makes both small.
  local EVENT_BYTES = SHORT_LOG and 16 * 1024 or 64 * 1024 * 1024
  local EVENT_BYTES_HELD = 4 * EVENT_BYTES
  -- Entries that one call trims at most: more than it writes, so that the log shrinks to its bound.
  local TRIM_ENTRIES = 16

  function emit(j, event, cause, worker, text, result)
    local events = Now.events
    local flags = (worker and 1 or 0) + (text and 2 or 0) + (result and 4 or 0)
    local n = #events
    events[n + 1] = spack('>BBBI4c16', event, cause, flags, j.attempt, j.id) .. names_of(j)
    if flags > 0 then
      events[n + 2] = (worker or '')
        .. (text and spack('>I4', #text) .. text or '')
        .. (result and spack('>I4', #result) .. result or '')
    end
    Now.event_count = Now.event_count + 1
  end

  -- The number of the first entry that some reader has yet to read.
  local function slowest_reader()
    local readers = call('HVALS', key(Key.readers))
    local slowest
    for _, place in ipairs(readers) do
      local entry = tonumber(place:match('^(%d+)'))
      if not slowest or entry < slowest then slowest = entry end
    end
    return slowest
  end

  -- From which end on readers need jobs, if any does. One that has lost its place, or has none, needs none.
  function Event.kept_from()
    local from
    for _, place in ipairs(call('HVALS', key(Key.readers))) do
      local entry, at = place:match('^(%d+)%-%d+%-(%d+)$')
      if at and tonumber(entry) >= state().first then
        from = min(from or 2 ^ 53, tonumber(at))
      end
    end
    return from
  end

  -- Takes the oldest entries away while the log is larger than it may be.
  local function trim_events(s)
    local held = slowest_reader()
    for _ = 1, TRIM_ENTRIES do
      -- One at a time: an entry may hold megabytes.
      local entry = call('XRANGE', key(Key.events), '-', '+', 'COUNT', 1)[1]
      if not entry then return end
      local number = tonumber(entry[1]:match('^(%d+)'))
      local bound = (held and number >= held) and EVENT_BYTES_HELD or EVENT_BYTES
      if s.bytes <= bound then return end
      call('XDEL', key(Key.events), entry[1])
      s.bytes = s.bytes - #entry[2][2]
      s.first = number + 1
    end
  end

  function write_events()
    local events = Now.events
    if #events == 0 then return end
    local s = state()
    local blob = spack('>I6I4', Now.at, Now.event_count) .. concat(events)
    call('XADD', key(Key.events), int(s.entry) .. '-0', '', blob)
    s.entry = s.entry + 1
    s.bytes = s.bytes + #blob
    if s.bytes > EVENT_BYTES then trim_events(s) end
  end
end
