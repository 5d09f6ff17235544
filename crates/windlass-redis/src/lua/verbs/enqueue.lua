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
  local runs, args, prefix, at = argn(), Now.args, NS .. Key.job, Now.next
  local all, names, ids, keys, answers, n = {}, {}, {}, {}, {}, 0
  for i = 1, runs do
    local most = tonumber(args[at + 1])
    names[i], all[i] = args[at], { before = n, n = most, at = at + 3 }
    at = at + 2
    for k = n + 1, n + most do
      local id = args[at]
      ids[k], keys[k] = id, prefix .. id
      at = at + 2
    end
    n = n + most
  end
  local all_new = call('EXISTS', tunpack(keys)) == 0
  if all_new and call('EXISTS', key(Key.gone)) == 1 then
    for _, how in ipairs(call('HMGET', key(Key.gone), tunpack(ids))) do
      if how then all_new = false end
    end
  end
  if all_new then Plain.share(names) end
  for i = 1, runs do
    local run, named = all[i], names[i]
    if not (all_new and Plain.enqueue(named, ids, keys, run.before, run.n, run.at, answers)) then
      local queue, kind, group, rest = sunpack('Bc0Bc0Bc0', named)
      for k = 1, run.n do
        answers[run.before + k] = Enqueue.take_in({
          id = ids[run.before + k], rejected = '', due = '', expires = 0, priority = 0, has_options = false,
          body = named .. args[run.at + 2 * k - 2], queue = queue, kind = kind, group = group, names_end = rest - 1,
          options = NO_OPTIONS,
        }, true)
      end
    end
  end
  return answers
end)
