-- How a verb is registered: its answer travels behind the tag of the call that it answers, so that no answer is ever
-- taken for another's, and with what the call owes to others.

-- For the files that follow.
local pairs_of, verb

do
  -- The pairs of a flat reply.
  function pairs_of(flat)
    local i = -1
    return function()
      i = i + 2
      if flat[i] then return flat[i], flat[i + 1] end
    end
  end

  function verb(name, flags, body)
    local reads = flags[1] == 'no-writes'
    redis.register_function{
      function_name = LIBRARY .. '_' .. name,
      callback = function(keys, args)
        Call.begin(keys, args)
        if reads then return { Now.tag, body() } end
        return Call.finish(body())
      end,
      flags = flags,
    }
  end
end
