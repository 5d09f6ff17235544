-- T5, T6, T8, then T3: settles, then claims, in one step.
verb('claim', { 'allow-oom' }, function()
  local worker, nonce, settlements, wants = arg(), arg(), argn(), argn()
  local settled = {}
  for i = 1, settlements do settled[i] = Settle.next() end
  Plain.settle()
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
  local jobs = {}
  for i, j in ipairs(taken) do
    if j.id then
      -- Its record as it will be written at the end of this call.
      Job.seal(j)
      jobs[i] = { j.id, j.raw, Extra.get(j, 'c') or false }
    else
      jobs[i] = j
    end
  end
  heard_of(worker)
  return { settled, jobs, again and int(again) or '' }
end)
