-- The record of a job: one string that is the truth about it. FORMAT.md gives every byte.
--
-- A job that has never run has 28 bytes of state before its names; what an attempt, a time or a parent adds
-- stands behind them (`EXT`), so that a waiting job stays small. The names, the options and the payload follow
-- and are opaque here, save for what the rules ask of them.

-- For the files that follow.
local HEAD_BYTES, SCHEDULED, READY, RUNNING, RETRYING, BLOCKED, COMPLETED, DEAD, CANCELLED, STATE_WORDS, Flag, NONE8,
  FRESH, Job, NO_OPTIONS, null, extend, names_of, wrong_state

do
  SCHEDULED, READY, RUNNING, RETRYING, BLOCKED, COMPLETED, DEAD, CANCELLED = 0, 1, 2, 3, 4, 5, 6, 7

  STATE_WORDS = { 'scheduled', 'ready', 'running', 'retrying', 'blocked', 'completed', 'dead', 'cancelled' }

  Flag = {
    EXT = 1, OPTIONS = 2, EXTRA = 4, CHILDREN = 8, PARENTS = 16, SNOOZED = 32, NO_HANDLER = 64, CANCEL = 128,
    PLACED = 256, GIVEN_UP = 512, LINKED = 1024,
  }

  local BASE = '>BHbI6I6I6I6'
  local BASE_BYTES = 28
  local EXT = '>I4HBHHI4BI6I6I8c8c8I6I6I6I8c8Bc8I4'
  local EXT_BYTES = 99
  local HEAD = '>BI8c8c8I6I6I6'
  -- How much is read of a record when its payload is of no interest: every name and most options fit.
  HEAD_BYTES = 1024
  NONE8 = '\0\0\0\0\0\0\0\0'

  -- What a job without the second part reads as.
  FRESH = { __index = {
    attempt = 0, failures = 0, losses = 0, snoozes = 0, no_handler = 0, generation = 0, cause = 0, expires = 0,
    until_due = 0, counter = 0, nonce = NONE8, worker = NONE8, started = 0, deadline = 0, grace = 0,
    ack_counter = 0, ack_nonce = NONE8, ack = 0, print = NONE8, log_bytes = 0,
  } }

  Job = {}

  function Job.parse(id, raw, whole)
    local j = setmetatable({ id = id, raw = raw, whole = whole }, FRESH)
    local at
    j.state, j.flags, j.priority, j.enqueued, j.when, j.seq, j.number, at = sunpack(BASE, raw)
    if band(j.flags, 1) ~= 0 then
      j.attempt, j.failures, j.losses, j.snoozes, j.no_handler, j.generation, j.cause, j.expires, j.until_due,
      j.counter, j.nonce, j.worker, j.started, j.deadline, j.grace, j.ack_counter, j.ack_nonce, j.ack, j.print,
      j.log_bytes, at = sunpack(EXT, raw, at)
    end
    j.body = at
    j.queue, j.kind, j.group, at = sunpack('Bc0Bc0Bc0', raw, at)
    j.names_end = at - 1
    return j
  end

  -- What `Plain` has written about a job beside its record, in the hash of heads: the job is past what its record says.
  -- Saved, it is whole again.
  local ACK_COMPLETED = 1

  function Job.join(j)
    if j.state ~= READY or j.flags ~= 0 then return j end
    local head = Now.heads[j.id]
    if head == nil then head = call('HGET', NS .. Key.heads, j.id) end
    if not head then return j end
    j.apart, j.flags, j.attempt = true, 1, 1
    local place, at
    j.state, j.counter, j.nonce, j.worker, j.started, place, at = sunpack(HEAD, head)
    if j.state == COMPLETED then
      j.flags, j.seq, j.when = 1 + Flag.PLACED, place, at
      j.ack_counter, j.ack_nonce, j.ack = j.counter, j.nonce, ACK_COMPLETED
    else
      j.deadline = at
    end
    return j
  end

  -- The job, or nil when nobody knows it.
  function Job.load(id)
    local j = Now.jobs[id]
    if j ~= nil then return j or nil end
    if Now.gone[id] then return nil end
    local raw = call('GETRANGE', NS .. 'j' .. id, 0, HEAD_BYTES - 1)
    if raw == '' then
      Now.jobs[id] = false
      return nil
    end
    j = Job.join(Job.parse(id, raw, #raw < HEAD_BYTES))
    Now.jobs[id] = j
    return j
  end

  -- The whole record, its payload too.
  function Job.whole(j)
    if not j.whole then
      j.raw = call('GET', NS .. 'j' .. j.id)
      j.whole = true
    end
    return j.raw
  end

  -- The same as it would be written now.
  function Job.record(j)
    if j.apart then Job.seal(j) end
    return Job.whole(j)
  end

  function Job.has(j, flag)
    return band(j.flags, flag) ~= 0
  end

  function Job.set(j, flag, on)
    j.flags = on and bor(j.flags, flag) or band(j.flags, 0xffff - flag)
    j.changed = true
  end

  -- Options by their text, since jobs of one kind share it.
  local Options = {}
  local options_known = 0
  NO_OPTIONS = { parents = {}, limits = '' }

  function null(v)
    if v == cjson.null then return nil end
    return v
  end

  -- A set of limits as text, which is the name of a lane as well: sorted, so that equal sets are one.
  local function set_of(limits)
    if not limits or #limits == 0 then return '' end
    local parts = {}
    for i, use in ipairs(limits) do parts[i] = use.name .. SEP .. int(use.cost) end
    table.sort(parts)
    return concat(parts, SEP)
  end

  function Job.parse_options(text)
    local known = Options[text]
    if known then return known end
    local o = jdecode(text)
    local parsed = {
      limits = set_of(null(o.limits)), retry = null(o.retry), parents = {}, unique = nil,
    }
    for i, parent in ipairs(null(o.parents) or {}) do
      parsed.parents[i] = { id = unhex((parent.id:gsub('-', ''))), always = parent.on == 'always' }
    end
    local unique = null(o.unique)
    if unique then
      parsed.unique = { key = unique.key, on_conflict = unique.on_conflict }
      if unique.scope == 'until_start' then
        parsed.unique.until_start = true
      elseif type(unique.scope) == 'table' then
        parsed.unique.ttl = unique.scope['for'].ttl_ms
      end
    end
    options_known = options_known + 1
    if options_known > 1000 then Options, options_known = {}, 1 end
    Options[text] = parsed
    return parsed
  end

  function Job.options(j)
    if band(j.flags, 2) == 0 then return NO_OPTIONS end
    if not j.options then
      local length, at = sunpack('>I4', j.raw, j.names_end + 1)
      if not j.whole and at + length > #j.raw then Job.whole(j) end
      j.options = Job.parse_options(j.raw:sub(at, at + length - 1))
    end
    return j.options
  end

  -- Where the payload begins in the raw record.
  function Job.payload_at(j)
    if band(j.flags, 2) == 0 then return j.names_end + 1 end
    local length, at = sunpack('>I4', j.raw, j.names_end + 1)
    return at + length
  end

  local function header(j)
    local base = spack(BASE, j.state, j.flags, j.priority, j.enqueued, j.when, j.seq, j.number)
    if band(j.flags, 1) == 0 then return base end
    return base .. spack(EXT, j.attempt, j.failures, j.losses, j.snoozes, j.no_handler, j.generation, j.cause,
      j.expires, j.until_due, j.counter, j.nonce, j.worker, j.started, j.deadline, j.grace, j.ack_counter,
      j.ack_nonce, j.ack, j.print, j.log_bytes)
  end

  -- Brings the raw record up to date, without writing it: the head alone is unsaved where its size stays.
  function Job.seal(j)
    local head = header(j)
    local same = #head == j.body - 1 and not j.rewritten
    if not same then Job.whole(j) end
    j.raw = head .. j.raw:sub(j.body)
    local shift = #head - (j.body - 1)
    j.body, j.names_end = j.body + shift, j.names_end + shift
    j.changed, j.rewritten = false, false
    if not same then j.unsaved = 'whole' elseif not j.unsaved then j.unsaved = 'head' end
  end

  -- Writes the job back: in place where its size stays, else with all others of this call.
  function Job.save(j, whole)
    if j.changed then Job.seal(j) end
    if j.apart then
      Now.heads[j.id] = false
      j.apart = false
    end
    if j.unsaved == 'whole' then
      local n = #whole
      whole[n + 1], whole[n + 2] = NS .. 'j' .. j.id, j.raw
    else
      call('SETRANGE', NS .. 'j' .. j.id, 0, j.raw:sub(1, j.body - 1))
    end
    j.unsaved = nil
  end

  -- Gives the job its second part, in which attempts, times and counters stand.
  function extend(j)
    if band(j.flags, 1) == 0 then j.flags = j.flags + 1 end
    j.changed = true
  end

  -- What the event log says of a job's names: their bytes in the record.
  function names_of(j)
    return j.raw:sub(j.body, j.names_end)
  end

  function wrong_state(j, verb)
    return reject('wrong_state', ',"verb":"' .. verb .. '","state":"' .. STATE_WORDS[j.state + 1] .. '"')
  end
end
