-- One call of one verb: its arguments, its clock, what it has read and must write back.
--
-- Everything that a verb touches is read once and kept in `Call`; `Call.finish` writes back what has
-- changed, so that a batch of a hundred jobs of one queue pays for that queue once. Nothing outlives a
-- call but pure functions' memories: another process may have run in between.

-- For the files that follow.
local call, spack, sunpack, mpack, munpack, jdecode, jencode, band, bor, bxor, rshift, concat, floor,
  max, min, char, byte, tunpack, int, SEP, Key, Call, Now, NS, arg, argn, key, state, take_seq, due_at, reject, STALE,
  invalid, unhex, uuid, not_found

do
  -- While the library is loaded there is next to nothing; the rest is there when the first verb is called.
  local function bind()
    concat, floor, max, min = table.concat, math.floor, math.max, math.min
    char, byte, tunpack = string.char, string.byte, unpack
    call = redis.call
    spack, sunpack = struct.pack, struct.unpack
    mpack, munpack = cmsgpack.pack, cmsgpack.unpack
    jdecode, jencode = cjson.decode, cjson.encode
    band, bor, bxor, rshift = bit.band, bit.bor, bit.bxor, bit.rshift
  end

  -- Numbers as they cross the border as text: every whole number below 2^53.
  function int(n)
    return string.format('%d', n)
  end

  -- Separates the parts of a key; no name and no group key holds a control character.
  SEP = '\1'

  -- Keys of the namespace, each by its letter. The Rust side names them in keys.rs.
  Key = {
    job = 'j', extra = 'x', children = 'c', queue = 'q', queues = 'Q', group = 'g', groups = 'G',
    order = 'o', standing = 's', places = 'p', lane = 'y', ready = 'r', list = 'l', oldest = 'd',
    index = 'a', pages = 'A', ended = 'e', limit = 'm', limits = 'M', line = 'w', line_lanes = 'W', due = 'D',
    expiry = 'E', leases = 'L', timers = 'T', heads = 'b', retention = 'R', unique = 'u', unique_ends = 'U',
    gone = 'k', gone_line = 'K', errands = 'C', schedules = 'S', schedules_due = 'Z', events = 'v',
    readers = 'V', failures = 'f', histograms = 'h', series = 't', workers = 'H', held = 'N', meta = 'n', state = 'z',
  }

  Call = {}
  -- What this call has in its hands; made anew by `Call.begin`.

  function Call.begin(keys, args)
    if not call then bind() end
    NS = keys[1]
    local now = tonumber(args[1])
    if not now then
      local time = call('TIME')
      now = tonumber(time[1]) * 1000 + floor(tonumber(time[2]) / 1000)
    end
    Now = {
      at = now, args = args, next = 2,
      jobs = {}, queues = {}, groups = {}, limits = {}, lanes = {},
      events = {}, touched = {}, notices = {}, leases = {}, state = nil,
      held = {}, released = {}, deleted = {}, gone = {}, gone_ids = {}, starts = {}, unindexed = {}, indexed = {}, ended = {}, writes = {}, heads = {}, shared = {}, packed = {}, patched = {}, sorted = {}, event_count = 0, unsettled = false, kids = 1000, moves = 0, due = nil,
    }
    Now.sender, Now.tag = args[2], args[3]
    Now.next = 4
  end

  -- The next argument.
  function arg()
    local i = Now.next
    Now.next = i + 1
    return Now.args[i]
  end

  function argn()
    return tonumber(arg())
  end

  function key(letter, a, b, c, d)
    if not a then return NS .. letter end
    if not b then return NS .. letter .. a end
    if not c then return NS .. letter .. a .. SEP .. b end
    if not d then return NS .. letter .. a .. SEP .. b .. SEP .. c end
    return NS .. letter .. a .. SEP .. b .. SEP .. c .. SEP .. d
  end

  -- Counters of the whole namespace: next place in the order of becoming ready, next lease, next entry of the
  -- event log and its bytes, jobs known, and the oldest entry.
  function state()
    local s = Now.state
    if not s then
      local raw = call('GET', key(Key.state))
      if raw then
        local t = munpack(raw)
        s = { seq = t[1], counter = t[2], entry = t[3], bytes = t[4], jobs = t[5], first = t[6] }
      else
        -- Numbers begin with the time, so that they grow even after somebody has deleted all there was.
        local epoch = Now.at * 100
        s = { seq = epoch, counter = epoch, entry = epoch, bytes = 0, jobs = 0, first = epoch }
      end
      Now.state = s
    end
    s.changed = true
    return s
  end

  function take_seq()
    local s = state()
    s.seq = s.seq + 1
    return s.seq - 1
  end

  -- Something has to happen at that time: told to whoever keeps the clock.
  function due_at(at)
    if not Now.due or at < Now.due then Now.due = at end
  end

  -- A rejection, as the Rust side reads it.
  function reject(code, more)
    return '{"code":"' .. code .. '"' .. (more or '') .. '}'
  end

  STALE = '{"code":"stale"}'

  function invalid(what, why)
    return reject('invalid', ',"what":' .. jencode(what) .. ',"why":' .. jencode(why))
  end

  local function hex(s)
    return (s:gsub('.', function(c) return string.format('%02x', byte(c)) end))
  end

  function unhex(s)
    return (s:gsub('%x%x', function(h) return char(tonumber(h, 16)) end))
  end

  function uuid(id)
    local h = hex(id)
    return h:sub(1, 8) .. '-' .. h:sub(9, 12) .. '-' .. h:sub(13, 16) .. '-' .. h:sub(17, 20) .. '-' .. h:sub(21)
  end

  function not_found(id)
    return reject('not_found', ',"what":"job ' .. uuid(id) .. '"')
  end
end
