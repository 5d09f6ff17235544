-- T4, reports, cancellations: what concerns running attempts.

local LOG_BYTES_MAX = 262144
local LOG_CUT = '\n… the log of this attempt is full; what follows was dropped\n'

-- Whether a token is that of the job's current lease.
local function is_current(j, shown)
  return j and j.state == RUNNING and spack('>I8c8', j.counter, j.nonce) == shown
end

verb('heartbeat', { 'allow-oom' }, function()
  local n, beats, holder = argn(), {}, nil
  for i = 1, n do
    local id, shown = arg(), arg()
    local j = Job.load(id)
    if is_current(j, shown) then
      j.deadline, j.changed = Now.at + queue_of(j).settings.lease_ms, true
      call('ZADD', key(Key.leases), j.grace ~= 0 and min(j.grace, j.deadline) or j.deadline, id)
      holder = j.worker
      beats[i] = (Job.has(j, Flag.CANCEL) and '1' or '0') .. int(j.deadline)
    else
      beats[i] = STALE
    end
  end
  if holder then heard_of(holder) end
  return beats
end)

-- The text cut at a character border, so that it has at most `most` bytes.
local function cut(text, most)
  if #text <= most then return text end
  while most > 0 do
    local b = byte(text, most + 1)
    if b < 128 or b >= 192 then break end
    most = most - 1
  end
  return text:sub(1, most)
end

local function add_log(j, text)
  local field = 'l' .. int(j.attempt)
  local log = Extra.get(j, field)
  if not log then
    Extra.put(j, 'L', (Extra.get(j, 'L') or '') .. spack('>I4', j.attempt))
    log = ''
  end
  if #log >= LOG_BYTES_MAX then return end
  local room = LOG_BYTES_MAX - #log
  if #text > room then
    -- Filled up to the bound, so that nothing is added behind the line that says so.
    local head = cut(text, max(room - #LOG_CUT, 0))
    text = head .. ('\n'):rep(max(room - #head - #LOG_CUT, 0)) .. LOG_CUT
  end
  Extra.put(j, field, log .. text)
end

verb('report', { 'allow-oom' }, function()
  local n, answers = argn(), {}
  for i = 1, n do
    local id, shown, rejected, progress, checkpoint, log = arg(), arg(), arg(), arg(), arg(), arg()
    local j = Job.load(id)
    if not is_current(j, shown) then
      answers[i] = STALE
    elseif rejected ~= '' then
      answers[i] = rejected
    else
      if progress ~= '' then Extra.put(j, 'p', progress) end
      if checkpoint ~= '' then Extra.put(j, 'c', checkpoint:sub(2)) end
      if log ~= '' then add_log(j, log) end
      answers[i] = ''
    end
  end
  return answers
end)

-- T9, T10.
verb('cancel', { 'allow-oom' }, function()
  local n, answers = argn(), {}
  for i = 1, n do
    local id = arg()
    local j = Job.load(id)
    if not j then
      answers[i] = not_found(id)
    elseif j.state == COMPLETED or j.state == DEAD then
      answers[i] = wrong_state(j, 'cancel')
    elseif j.state == CANCELLED then
      answers[i] = 'now'
    elseif j.state == RUNNING then
      if not Job.has(j, Flag.CANCEL) then
        emit(j, Event.CANCEL_REQUESTED, Cause.REQUESTED)
        Job.set(j, Flag.CANCEL, true)
        j.grace = Now.at + CANCEL_GRACE_MS
        set_lease_timer(j, min(j.grace, j.deadline))
        notify_holder(j)
      end
      answers[i] = 'requested'
    else
      Flow.cancel(j, Cause.REQUESTED)
      answers[i] = 'now'
    end
  end
  return answers
end)
