-- T12 to T14: what people do to jobs.

-- Does `act` for each id given; it answers a rejection or nothing.
local function for_each(act)
  local n, answers = argn(), {}
  for i = 1, n do
    local id = arg()
    local j = Job.load(id)
    answers[i] = j and (act(j) or '') or not_found(id)
  end
  return answers
end

verb('retry', { 'allow-oom' }, function()
  return for_each(Flow.retry)
end)

verb('run_now', { 'allow-oom' }, function()
  return for_each(function(j)
    if j.state == READY then return nil end
    if j.state ~= SCHEDULED and j.state ~= RETRYING then return wrong_state(j, 'run_now') end
    promote(j, Cause.REQUESTED)
    return nil
  end)
end)

verb('delete', { 'allow-oom' }, function()
  return for_each(function(j)
    if j.state == RUNNING then return wrong_state(j, 'delete') end
    if has_live_children(j) then return reject('has_live_children') end
    remove(j, Cause.REQUESTED)
    return nil
  end)
end)

local PAYLOAD_BYTES_MAX = 1048576

verb('edit', {}, function()
  local n, answers = argn(), {}
  for i = 1, n do
    local id, payload, priority, run_at = arg(), arg(), arg(), arg()
    payload = payload ~= '' and payload:sub(2) or nil
    priority, run_at = tonumber(priority), tonumber(run_at)
    local j = Job.load(id)
    if not j then
      answers[i] = not_found(id)
    elseif j.state == RUNNING or j.state == COMPLETED or (j.state > COMPLETED and (priority or run_at)) then
      answers[i] = wrong_state(j, 'edit')
    elseif payload and #payload > PAYLOAD_BYTES_MAX then
      answers[i] = invalid('payload', 'is more than 1 MiB')
    elseif priority and (priority < -9 or priority > 9) then
      answers[i] = invalid('priority', int(priority) .. ' is not between -9 and 9')
    elseif priority and priority ~= 0 and is_ordered(j) then
      answers[i] = invalid('priority', 'must be 0 in an ordered group')
    elseif run_at and run_at > Now.at + DELAY_MAX then
      answers[i] = invalid('run_at', 'the time lies more than ten years ahead')
    else
      rewrite(j, Cause.NONE, payload, priority, run_at)
      answers[i] = ''
    end
  end
  return answers
end)
