-- The fast path of most checks: no block, no strikes, an unchanged quota, a clock that was not set
-- back, no lease in the future, and a cost that fits. The cost is then admitted here, before any
-- function is defined. Otherwise check.lua continues. The state and the reply are those of
-- check.lua, in the layout of key.lua and sliding_window.lua. Reading, deciding and writing with
-- functions takes more than twice as long.
do
  local cost, _, _, _, _, limit, period, segment = struct.unpack('<I8I8I8I8I8I8I8I8', ARGV[1])
  -- After this check, its own charge is the last to expire.
  local px = math.max(math.ceil((now + period) / 1000) - math.floor(now / 1000), LEAST_PX)
  if cost > 0 and not before then
    if cost <= limit then
      local bytes = struct.pack('<Bc1I7I7I4I7I7I7I7I7', 3, 's', 0, 0, 0, period, now, cost, now, cost)
      redis.call('SET', KEYS[1], bytes, 'PX', px)
      return { 1, 0, cost, period, 0 }
    end
  elseif cost > 0 and #before > 41 then
    local version, letter, ends, _, strikes, kept, begun, used, oldest, charged =
      struct.unpack('<BBI7I7I4I7I7I7I7I7', before)
    local first, newest = 42, #before - 13
    local previous, _, last, in_newest = struct.unpack('<I7I7I7I7', before, newest - 14)
    if version == 3 and letter == 115 and ends + strikes == 0 and kept == period and previous <= last and last <= now then
      while now - oldest >= period do
        used, first = used - charged, first + 14
        if first > newest then
          used = 0
          break
        end
        oldest, charged = struct.unpack('<I7I7', before, first)
      end
      if cost <= limit - used then
        local kept_to = newest - 1
        if first > newest or now - begun >= segment then begun, kept_to, in_newest = now, newest + 13, 0 end
        used = used + cost
        local bytes = string.sub(before, 1, 27)
          .. struct.pack('<I7I7', begun, used)
          .. string.sub(before, first, kept_to)
          .. struct.pack('<I7I7', now, in_newest + cost)
        redis.call('SET', KEYS[1], bytes, 'PX', px)
        return { 1, 0, used, period, 0 }
      end
    end
  end
end
