-- Who is there, for people and for `no_worker`.

-- For the files that follow.
local SILENT_MS, heard_of, has_worker

do
  -- Workers that have neither said goodbye nor anything else for so long are forgotten.
  SILENT_MS = 86400000

  function heard_of(worker)
    if call('HEXISTS', key(Key.workers), worker) == 1 then
      call('HSET', key(Key.workers) .. SEP .. 'seen', worker, Now.at)
    end
  end

  -- Whether some worker asks for a queue.
  function has_worker(queue)
    for _, text in ipairs(call('HVALS', key(Key.workers))) do
      local hello = jdecode(text)
      for _, asked in ipairs(hello.queues) do
        if asked[1] == queue and asked[2] > 0 then return true end
      end
    end
    return false
  end
end
