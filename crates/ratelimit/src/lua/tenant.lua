-- The quota of a tenant: a minute, an hour and a day, charged together or not at all. src/tenant/state.rs says the same
-- in Rust.
--
-- KEYS[1]  the tenant's state: one byte of version, 1, then hour and day as in fixed_window.lua, then the minute as in
--          sliding_window.lua. A version that isn't known is left alone and answered with an error.
-- ARGV     cost, or -1 to charge nothing and only look; the limits of minute, hour and day
-- returns  {1 where it was admitted or 0; used, µs until nothing is, µs until the cost fits, of the minute; used and
--          µs until the next window, of the hour; the same of the day}
local VERSION, HOUR, DAY, MINUTE = 1, 2, 16, 30
local now, cost = now_us(), tonumber(ARGV[1])
local minute_rule = { limit = tonumber(ARGV[2]), period = 60000000, segment = 1000000 }
local hour_rule = { limit = tonumber(ARGV[3]), period = 3600000000 }
local day_rule = { limit = tonumber(ARGV[4]), period = 86400000000 }
local before = redis.call('GET', KEYS[1])
if before and string.byte(before) ~= VERSION then
  return redis.error_reply('VERSION the state of a tenant is of an unknown version')
end

local bytes = before or ''
local minute = sliding_window.read(bytes, MINUTE)
local hour = fixed_window.read(bytes, HOUR, now, hour_rule)
local day = fixed_window.read(bytes, DAY, now, day_rule)
sliding_window.settle(minute, now, minute_rule)
fixed_window.settle(hour, now, hour_rule)
fixed_window.settle(day, now, day_rule)

local function decide(cost)
  local minute_fits, used, reset, retry = sliding_window.decide(minute, now, cost, minute_rule)
  local hour_fits, hour_used, hour_next = fixed_window.decide(hour, now, cost, hour_rule)
  local day_fits, day_used, day_next = fixed_window.decide(day, now, cost, day_rule)
  local fits = minute_fits and hour_fits and day_fits
  return { fits and 1 or 0, used, reset, retry, hour_used, hour_next, day_used, day_next }
end

local answer = decide(math.max(cost, 0))
if cost < 0 then return answer end
if answer[1] == 1 then
  sliding_window.charge(minute, now, cost, minute_rule)
  fixed_window.charge(hour, now, cost, hour_rule)
  fixed_window.charge(day, now, cost, day_rule)
  answer = decide(0)
  answer[1] = 1
end
local after = string.char(VERSION) .. fixed_window.write(hour) .. fixed_window.write(day) .. sliding_window.write(minute)
if after ~= before then
  local ends = math.max(
    sliding_window.expires(minute, minute_rule),
    fixed_window.expires(hour, hour_rule),
    fixed_window.expires(day, day_rule)
  )
  local px = math.max(math.ceil(ends / 1000) - math.floor(now / 1000), LEAST_PX)
  redis.call('SET', KEYS[1], after, 'PX', string.format('%.0f', px))
end
return answer
