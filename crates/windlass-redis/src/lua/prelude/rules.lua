-- The arithmetic of `windlass_core`, restated in 53-bit numbers: rates, fair shares, delays.

-- For the files that follow.
local admit, rebased, charge, max_failures, retry_delay, DELAY_MAX, bucket

do
  -- GCRA. Answers the new state, or nil and the first time at which the question could be granted.
  function admit(rate, tat_ms, tat_fraction, cost)
    local now, period, count = Now.at, rate.period_ms, rate.count
    if cost > rate.burst then return nil, nil end
    local full = rate.burst * period
    local used = 0
    if tat_ms >= now then
      used = min((tat_ms - now) * count + min(tat_fraction, count - 1), full)
    end
    local wanted = used + cost * period
    if wanted > full then return nil, now + math.ceil((wanted - full) / count) end
    local whole = floor(wanted / count)
    return now + whole, wanted - whole * count
  end

  -- What a rate that has just been set starts from: at most one burst of debt.
  function rebased(rate, tat_ms, tat_fraction)
    if not rate then return tat_ms, tat_fraction end
    local ms, fraction = admit(rate, 0, 0, rate.burst)
    if tat_ms > ms or (tat_ms == ms and tat_fraction > fraction) then return ms, fraction end
    return tat_ms, tat_fraction
  end

  -- Virtual time of one job at weight 1.
  local SCALE = 4096

  function charge(vt, weight, jobs)
    local cell = floor((vt % SCALE) * weight / SCALE)
    local from = math.ceil(cell * SCALE / weight)
    return vt + math.ceil((cell + jobs) * SCALE / weight) - from
  end

  -- The product of two 32-bit numbers, modulo 2^32.
  local function times32(a, m)
    local high = (floor(a / 65536) * m) % 65536
    return (high * 65536 + (a % 65536) * m) % 4294967296
  end

  local function mix(h)
    h = bxor(h, rshift(h, 16)) % 4294967296
    h = times32(h, 0x85ebca6b)
    h = bxor(h, rshift(h, 13)) % 4294967296
    h = times32(h, 0xc2b2ae35)
    return bxor(h, rshift(h, 16)) % 4294967296
  end

  local function jitter_bits(id, failures)
    local h = 0x9e3779b9
    for at = 1, 13, 4 do
      h = mix(bxor(h, (sunpack('>I4', id, at))) % 4294967296)
    end
    h = mix(bxor(h, failures) % 4294967296)
    return floor(h / 4096)
  end

  function max_failures(policy)
    local exponential, fixed, list = policy.exponential, policy.fixed, policy.list
    if list then return #list.delays_ms + 1 end
    return max((exponential or fixed).max_failures, 1)
  end

  function retry_delay(policy, id, failures)
    local exponential, fixed, list = policy.exponential, policy.fixed, policy.list
    if fixed then return fixed.delay_ms end
    if list then return list.delays_ms[failures] or list.delays_ms[#list.delays_ms] or 0 end
    local ceiling = min(exponential.base_ms * 2 ^ min(failures - 1, 63), exponential.cap_ms)
    if exponential.jitter == 'none' then return ceiling end
    local least = max(floor(ceiling / 10), 1)
    return least + floor((max(ceiling, least) - least + 1) * jitter_bits(id, failures) / 1048576)
  end

  DELAY_MAX = 10 * 366 * 86400000

  -- The bucket of a histogram: four to each power of two.
  function bucket(value)
    if value < 4 then return value end
    local _, exponent = math.frexp(value)
    local power = exponent - 1
    if power >= 42 then return 163 end
    local sub = floor(value / 2 ^ (power - 2)) % 4
    return (power - 1) * 4 + sub
  end
end
