-- The fast path, as in sliding_window_admit.lua, for several windows that all admit. Uses the
-- layout of key.lua, windows.lua and sliding_window.lua.
do
  local cost, _, _, _, _, count = struct.unpack('<I8I8I8I8I8I8', ARGV[1])
  local bytes
  if cost > 0 and not before then
    bytes = struct.pack('<Bc1I7I7I4B', 3, 'w', 0, 0, 0, count)
  elseif cost > 0 and #before > 21 then
    local version, letter, ends, _, strikes, kept = struct.unpack('<BBI7I7I4B', before)
    if version == 3 and letter == 119 and ends + strikes == 0 and kept == count then bytes = string.sub(before, 1, 21) end
  end
  -- The reply is that of the window with the least remaining, the first of several.
  local binding, least, answered, reset, longest, at = 0, math.huge, 0, 0, 0, 22
  for nth = 0, count - 1 do
    if not bytes then break end
    local limit, period, segment = struct.unpack('<I8I8I8', ARGV[1], 49 + 24 * nth)
    local used
    if not before then
      bytes = cost <= limit and bytes .. struct.pack('<I7I4I7I7I7I7', period, 28, now, cost, now, cost)
      used = cost
    else
      -- A window without a segment is shorter. It is handled by check.lua.
      if #before < at + 38 then
        bytes = nil
        break
      end
      local its_period, length, begun, oldest, charged
      its_period, length, begun, used, oldest, charged = struct.unpack('<I7I4I7I7I7I7', before, at)
      if its_period ~= period or length < 28 then
        bytes = nil
        break
      end
      local first, newest = at + 25, at + length - 3
      local previous, _, last, in_newest = struct.unpack('<I7I7I7I7', before, newest - 14)
      while now - oldest >= period do
        used, first = used - charged, first + 14
        if first > newest then
          used = 0
          break
        end
        oldest, charged = struct.unpack('<I7I7', before, first)
      end
      if previous > last or last > now or cost > limit - used then
        bytes = nil
        break
      end
      local kept_to = newest - 1
      if first > newest or now - begun >= segment then begun, kept_to, in_newest = now, newest + 13, 0 end
      used, at = used + cost, newest + 14
      bytes = bytes
        .. struct.pack('<I7I4I7I7', period, 29 + kept_to - first, begun, used)
        .. string.sub(before, first, kept_to)
        .. struct.pack('<I7I7', now, in_newest + cost)
    end
    if limit - used < least then binding, least, answered, reset = nth, limit - used, used, period end
    longest = math.max(longest, period)
  end
  if bytes then
    local px = math.max(math.ceil((now + longest) / 1000) - math.floor(now / 1000), LEAST_PX)
    redis.call('SET', KEYS[1], bytes, 'PX', px)
    return { 1, 0, binding, answered, reset, 0 }
  end
end
