-- Takes a value, in place of one that waits under the same key.
-- KEYS[1] values, KEYS[2] order, KEYS[3] last version, KEYS[4] bytes of all values
-- ARGV[1] key, ARGV[2] value, ARGV[3] most keys that may wait, ARGV[4] most bytes, ARGV[5] a version that was given before
-- Returns {version, keys that wait}; version 0 when too many wait, {-1, bytes} when these would be too many bytes. Then nothing was
-- taken.
local before = redis.call('HSTRLEN', KEYS[1], ARGV[1])
local waiting = redis.call('HLEN', KEYS[1])
if before == 0 and waiting >= tonumber(ARGV[3]) then
  return {0, waiting}
end
local version = math.max(tonumber(redis.call('GET', KEYS[3]) or '0') + 1, now_us(), ARGV[5] + 1)
local text = string.format('%.0f', version)
local value = text .. ' ' .. ARGV[2]
local bytes = tonumber(redis.call('GET', KEYS[4]) or '0')
if #value > before and bytes - before + #value > tonumber(ARGV[4]) then
  return {-1, bytes}
end
-- The order comes first, and changes each time: a torn append-only file can bring back a step that has removed the key from
-- it, in front of this one. The bytes are set, not added to, for the same reason.
local since = redis.call('ZSCORE', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[2], since and string.format('%.0f', since + 1) or text, ARGV[1])
redis.call('SET', KEYS[3], text)
redis.call('HSET', KEYS[1], ARGV[1], value)
redis.call('SET', KEYS[4], string.format('%.0f', bytes + #value - before))
return {version, before == 0 and waiting + 1 or waiting}
