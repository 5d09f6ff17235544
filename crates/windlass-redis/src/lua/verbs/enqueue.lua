-- T1: takes the batch in, one answer per job, in the order in which the Rust side sorted them (parents first).
-- `plain` takes jobs in that have nothing but names and a payload, in runs of equal names.
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

verb('enqueue_plain', {}, function()
  local runs, answers, total_n = argn(), {}, 0
  local all, keys, every = {}, {}, {}
  for i = 1, runs do
    local names, n = arg(), argn()
    local ids, payloads = {}, {}
    for k = 1, n do
      local id = arg()
      ids[k], payloads[k] = id, arg()
      every[#every + 1], keys[#keys + 1] = id, NS .. 'j' .. id
    end
    all[i] = { names, ids, payloads }
  end
  local all_new = call('EXISTS', tunpack(keys)) == 0
  if all_new and call('EXISTS', key(Key.gone)) == 1 then
    for _, how in ipairs(call('HMGET', key(Key.gone), tunpack(every))) do
      if how then all_new = false end
    end
  end
  for _, run in ipairs(all) do
    local names, ids, payloads = run[1], run[2], run[3]
    if not (all_new and Plain.enqueue(names, ids, payloads, answers, total_n)) then
      local queue, kind, group, at = sunpack('Bc0Bc0Bc0', names)
      for k, id in ipairs(ids) do
        answers[total_n + k] = Enqueue.take_in({
          id = id, rejected = '', due = '', expires = 0, priority = 0, has_options = false, body = names .. payloads[k],
          queue = queue, kind = kind, group = group, names_end = at - 1, options = NO_OPTIONS,
        }, true)
      end
    end
    total_n = total_n + #ids
  end
  return answers
end)
