-- Who is there, for people and for `no_worker`.

-- For the files that follow.
local FORGOTTEN_MS, heard_of, seen_of, is_there, has_worker

do
  -- A worker of which nothing was heard for so long, and that holds no lease, is gone.
  local SILENT_MS = 60000
  -- What a worker said of itself is forgotten after so long without a word.
  FORGOTTEN_MS = 86400000

  function heard_of(worker)
    if call('HEXISTS', key(Key.workers), worker) == 1 then
      call('HSET', key(Key.workers) .. SEP .. 'seen', worker, Now.at)
    end
  end

  function seen_of(worker)
    return call('HGET', key(Key.workers) .. SEP .. 'seen', worker) or '0'
  end

  function is_there(worker, seen)
    return tonumber(seen) + SILENT_MS >= Now.at or call('HEXISTS', key(Key.held), worker) == 1
  end

  -- Whether some worker that is there asks for a queue.
  function has_worker(queue)
    local flat = call('HGETALL', key(Key.workers))
    for i = 1, #flat, 2 do
      local worker, hello = flat[i], jdecode(flat[i + 1])
      for _, asked in ipairs(hello.queues) do
        if asked[1] == queue and asked[2] > 0 and is_there(worker, seen_of(worker)) then return true end
      end
    end
    return false
  end
end
