-- Blocks a key for a time, which replaces an earlier block, or ends its block and removes its
-- strikes.
--
-- KEYS[1]  the key's state
-- ARGV     duration of the new block in µs, or -1 to unblock; decay of a strike in µs (0: no
--          escalation); the algorithm's rule
-- returns  1 if the key was blocked, otherwise 0
local now, length = now_us(), tonumber(ARGV[1])
local policy = { decay = tonumber(ARGV[2]) }
local rule = algorithm.rule(ARGV, 3)
local before = redis.call('GET', KEYS[1])
local block, bytes = read(before)
if not block then return redis.error_reply('VERSION the state of a rate limit is of an unknown version') end

local left = left_of(block, now)
local changed = { ends = 0, length = 0, strikes = 0 }
if length >= 0 then
  changed = { ends = now + length, length = length, strikes = strikes_of(block, now, policy) }
elseif not before then
  return 0
end
local state = state_of(bytes, now, rule)
write(KEYS[1], before, changed, state, now, rule, policy)
return left > 0 and 1 or 0
