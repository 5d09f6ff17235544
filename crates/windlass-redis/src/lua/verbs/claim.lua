-- T5, T6, T8, then T3: settles, then claims, in one step.
verb('claim', { 'allow-oom' }, function()
  local worker, nonce, settlements, wants = arg(), arg(), argn(), argn()
  local settled = Settle.all(settlements)
  local taken, again = {}, nil
  if wants > 0 then promote_due(PROMOTED_MAX) end
  for _ = 1, wants do
    local name, n = arg(), argn()
    local q = Queue.get(name)
    if q and n > 0 then
      local at = Claim.from(q, n, worker, nonce, taken)
      if at and (not again or at < again) then again = at end
    end
  end
  -- Of each job its id, its record and its head; or, when it has none, the record as it will be written at the end of
  -- this call, and its checkpoint.
  for _, i in ipairs(Now.starts) do
    local j = taken[i]
    Job.seal(j)
    taken[i], taken[i + 1] = j.raw, Extra.get(j, 'c') or false
  end
  heard_of(worker)
  return { settled, taken, again and int(again) or '' }
end)
