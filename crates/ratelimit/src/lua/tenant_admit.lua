-- The fast path, as in sliding_window_admit.lua: no block, no strikes, the stored plan, clocks that
-- were not set back, and a cost that fits minute, hour and day. Uses the layout of tenant.lua.
if ARGV[1] == 'check' and before and #before > 121 and ARGV[3] ~= '' then
  local cost = tonumber(ARGV[2])
  local epoch, _, _, per_minute, per_hour, per_day = struct.unpack('<I7BBI7I7I7', ARGV[3])
  local version, plan, ends, _, strikes, seats, told, hour, in_hour, day, in_day, begun, used, oldest, charged =
    struct.unpack('<Bc35I7I7I4I5I7I7I7I7I7I7I7I7I7', before)
  local has_plan = plan ~= string.rep('\0', 35)
  local first, newest = 109, #before - 13
  local previous, _, last, in_newest = struct.unpack('<I7I7I7I7', before, newest - 14)
  if
    cost > 0
    and version == 2
    and (plan == ARGV[3] or not has_plan and epoch == 0)
    and ends + strikes == 0
    and previous <= last
    and math.max(last, told, hour, day) <= now
  then
    local this_hour, this_day = now - now % 3600000000, now - now % 86400000000
    if hour < this_hour then hour, in_hour = this_hour, 0 end
    if day < this_day then day, in_day = this_day, 0 end
    while now - oldest >= 60000000 do
      used, first = used - charged, first + 14
      if first > newest then
        used = 0
        break
      end
      oldest, charged = struct.unpack('<I7I7', before, first)
    end
    if cost <= per_minute - used and cost <= per_hour - in_hour and cost <= per_day - in_day then
      local kept_to = newest - 1
      if first > newest or now - begun >= 1000000 then begun, kept_to, in_newest = now, newest + 13, 0 end
      used, in_hour, in_day = used + cost, in_hour + cost, in_day + cost
      local until_hour, until_day = hour + 3600000000 - now, day + 86400000000 - now
      local kept_for = math.max(60000000, until_hour, until_day)
      -- One day after the last change of plan or seats.
      if has_plan or seats < 4294967296 then kept_for = math.max(kept_for, told + 86400000000 - now) end
      local px = math.max(math.ceil((now + kept_for) / 1000) - math.floor(now / 1000), LEAST_PX)
      local bytes = string.sub(before, 1, 66)
        .. struct.pack('<I7I7I7I7I7I7', hour, in_hour, day, in_day, begun, used)
        .. string.sub(before, first, kept_to)
        .. struct.pack('<I7I7', now, in_newest + cost)
      redis.call('SET', KEYS[1], bytes, 'PX', string.format('%.0f', px))
      return { 1, 0, used, 60000000, 0, in_hour, until_hour, in_day, until_day, '' }
    end
  end
end
