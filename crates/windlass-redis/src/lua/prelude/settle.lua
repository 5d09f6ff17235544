-- T5 to T8: what the holder of a lease says about its attempt.

-- For the files that follow.
local Settle

do
  Settle = {}
  local SNOOZES_MAX, LOSSES_MAX = 1000, 3

  -- How the token shown compares with the job's: 'current', 'repeated', or nil.
  local function token(j, counter, nonce, outcome)
    if j.state == RUNNING and j.counter == counter and j.nonce == nonce then return 'current' end
    if j.ack ~= 0 and j.ack_counter == counter and j.ack_nonce == nonce
      and (j.ack == outcome or (j.ack == Ack.CANCELLED and outcome ~= Ack.COMPLETED)) then
      return 'repeated'
    end
    return nil
  end

  function Settle.complete(j, l)
    local rejected, result, follow_ups = '', '', 0
    if Now.nothing_follows then
      Now.nothing_follows = false
    else
      rejected, result, follow_ups = arg(), arg(), argn()
    end
    local has_result = result:sub(1, 1) == '1'
    local all = Enqueue.read_all(follow_ups)
    local shown = j and token(j, l.counter, l.nonce, Ack.COMPLETED)
    if not shown then return STALE end
    if shown == 'repeated' then return '' end
    if rejected ~= '' then return rejected end
    local refused = Enqueue.check_follow_ups(all)
    if refused then return refused end
    result = has_result and result:sub(2) or nil
    emit(j, Event.COMPLETED, Cause.NONE, j.worker, nil, result and result:sub(1, 4096))
    local q = queue_of(j)
    count_end(j)
    total(q, 'completed')
    count_in_chart(q, 'c', 1)
    acknowledge(j, Ack.COMPLETED)
    if result then Extra.put(j, 'R', result) else Extra.drop(j, 'R') end
    move_to(j, COMPLETED, Now.at)
    for _, a in ipairs(all) do
      -- Checked above: what is refused here meets a unique key that is held, and is there already.
      Enqueue.take_in(a, false)
    end
    Flow.ended(j)
    return ''
  end

  function Settle.fail(j, l)
    local error, title, line, text, print, retry_in, fatal = arg(), arg(), arg(), arg(), arg(), arg(), arg() == '1'
    local shown = j and token(j, l.counter, l.nonce, Ack.FAILED)
    if not shown then return STALE end
    if shown == 'repeated' then return '' end
    if Job.has(j, Flag.CANCEL) then
      Flow.cancel(j, Cause.REQUESTED)
      return ''
    end
    local q = queue_of(j)
    local policy = Job.options(j).retry or q.settings.retry
    local failures = j.failures + 1
    local dead = fatal or failures >= max_failures(policy)
    local delay = min(retry_in ~= '' and tonumber(retry_in) or retry_delay(policy, j.id, failures), DELAY_MAX)
    local cause = not dead and Cause.NONE or fatal and Cause.FATAL or Cause.EXHAUSTED
    emit(j, dead and Event.DIED or Event.FAILED, cause, j.worker, text)
    count_end(j)
    total(q, 'failed')
    if dead then total(q, 'died') end
    count_in_chart(q, 'f', 1)
    count_failure(q, j, title, print)
    Extra.add_attempt(j, dead and Event.DIED or Event.FAILED, error)
    Extra.put(j, 'e', line)
    acknowledge(j, Ack.FAILED)
    j.failures, j.cause, j.print = failures, cause, print
    if dead then
      move_to(j, DEAD, Now.at)
      Flow.ended(j)
    else
      move_to(j, RETRYING, Now.at + delay)
    end
    return ''
  end

  function Settle.snooze(j, l)
    local rejected, delay, reason, what, name = arg(), argn(), arg(), arg(), arg()
    local shown = j and token(j, l.counter, l.nonce, Ack.SNOOZED)
    if not shown then return STALE end
    if shown == 'repeated' then return '' end
    if rejected ~= '' then return rejected end
    if Job.has(j, Flag.CANCEL) then
      Flow.cancel(j, Cause.REQUESTED)
      return ''
    end
    if j.snoozes >= SNOOZES_MAX then return reject('too_many_snoozes', ',"snoozes":' .. int(j.snoozes)) end
    local q, ends = queue_of(j), Now.at + delay
    if what == 'queue' then
      q.hold, q.changed = max(q.hold, ends), true
      set_queue_timer(q, q.hold)
    elseif what == 'group' then
      local g = group_of(j)
      g.hold, g.changed = max(g.hold, ends), true
    elseif what == 'limit' then
      local m = Limit.get(name)
      m.hold, m.changed = max(m.hold, ends), true
    end
    emit(j, Event.SNOOZED, what ~= '' and Cause.RATE_LIMITED or Cause.NONE, j.worker, reason ~= '' and reason or nil)
    count_end(j)
    total(q, 'snoozed')
    acknowledge(j, Ack.SNOOZED)
    j.snoozes = j.snoozes + 1
    Extra.put(j, 'r', reason)
    move_to(j, SCHEDULED, ends)
    Job.set(j, Flag.SNOOZED, true)
    return ''
  end

  function Settle.release(j, l)
    local reason = arg()
    local shown = j and token(j, l.counter, l.nonce, Ack.RELEASED)
    if not shown then return STALE end
    if shown == 'repeated' then return '' end
    if Job.has(j, Flag.CANCEL) then
      Flow.cancel(j, Cause.REQUESTED)
      return ''
    end
    local q = queue_of(j)
    local cause = reason == 'no_handler' and Cause.NO_HANDLER or reason == 'shutdown' and Cause.SHUTDOWN or Cause.NONE
    emit(j, Event.RELEASED, cause, j.worker)
    count_end(j)
    total(q, 'released')
    acknowledge(j, Ack.RELEASED)
    if cause == Cause.NO_HANDLER then
      total(q, 'no_handler')
      local delay = min(1000 * 2 ^ min(j.no_handler, 16), 60000)
      j.no_handler = j.no_handler + 1
      move_to(j, SCHEDULED, Now.at + delay)
      Job.set(j, Flag.NO_HANDLER, true)
    else
      make_ready(j)
    end
    return ''
  end

  local function settle(verb, id, shown)
    Plain.settle()
    local counter, at = sunpack('>I8', shown)
    Now.kids = 1000
    return Settle[verb](Job.load(id), { counter = counter, nonce = shown:sub(at) })
  end

  local function complete(id, shown)
    Now.nothing_follows = true
    return settle('complete', id, shown)
  end

  -- Reads `n` settlements and does them; answers '' or a rejection for each. `done` are completions and nothing else,
  -- as many as the number behind it says.
  function Settle.all(n)
    local answers, done = {}, 0
    while done < n do
      local verb = arg()
      if verb == 'done' then
        local most, ids, tokens = argn(), {}, {}
        local args, at = Now.args, Now.next
        for i = 1, most do
          ids[i], tokens[i] = args[at], args[at + 1]
          at = at + 2
        end
        Now.next = at
        Plain.complete(ids, tokens, answers, done, complete)
        done = done + most
      else
        answers[done + 1] = settle(verb, arg(), arg())
        done = done + 1
      end
    end
    Plain.settle()
    return answers
  end

  -- T7: the attempt is lost. No failure is spent; too many losses are a dead letter.
  function Settle.lose(j, cause)
    if Job.has(j, Flag.CANCEL) then
      Flow.cancel(j, cause)
      return
    end
    local q = queue_of(j)
    j.losses = j.losses + 1
    local dead = j.losses >= LOSSES_MAX
    if dead then cause = Cause.LOST end
    emit(j, dead and Event.DIED or Event.LOST, cause, j.worker)
    count_end(j)
    total(q, 'lost')
    if dead then total(q, 'died') end
    count_failure(q, j, 'lease ran out', LOST_PRINT)
    Extra.add_attempt(j, Event.LOST)
    Extra.put(j, 'e', 'lease ran out')
    -- Nobody has settled this attempt: its late holder is stale, whatever it says.
    j.ack, j.cause, j.print, j.changed = 0, cause, LOST_PRINT, true
    if dead then
      move_to(j, DEAD, Now.at)
      Flow.ended(j)
    else
      move_to(j, RETRYING, Now.at)
    end
  end
end
