-- T1: takes the batch in, one answer per job, in the order in which the Rust side sorted them (parents first).
verb('enqueue', {}, function()
  local all_or_nothing, n = arg() == '1', argn()
  local all = Enqueue.read_all(n)
  Now.nothing_gone = call('EXISTS', key(Key.gone)) == 0
  -- New jobs are the common case: one question tells that none of them is known.
  local keys = {}
  for i, a in ipairs(all) do keys[i] = NS .. 'j' .. a.id end
  if n > 0 and call('EXISTS', tunpack(keys)) == 0 then
    for _, a in ipairs(all) do Now.jobs[a.id] = false end
  end
  local answers = {}
  if all_or_nothing then
    local promised, refused = { ids = {}, keys = {}, waiting = {} }, false
    for i, a in ipairs(all) do
      answers[i] = Enqueue.check(a, promised, true) or ''
      if answers[i] ~= '' then refused = true end
    end
    if refused then
      for i = 1, n do
        if answers[i] == '' then answers[i] = reject('batch_refused') end
      end
      return answers
    end
  end
  for i, a in ipairs(all) do
    Now.kids = 1000
    answers[i] = Enqueue.take_in(a, true)
  end
  return answers
end)
