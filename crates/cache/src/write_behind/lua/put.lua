-- Accepts a value, in place of the pending one of the same key.
-- KEYS[1] values, KEYS[2] order, KEYS[3] last version, KEYS[4] bytes of all values
-- ARGV[1] key, ARGV[2] value, ARGV[3] maximum number of pending keys, ARGV[4] maximum number of
-- bytes, ARGV[5] a version that was given before
-- Returns {version, pending keys}; version 0 if too many are pending, {-1, bytes} if these would be
-- too many bytes. In both cases nothing was accepted.
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
-- The order comes first, and changes each time: a torn append-only file can bring back a step that
-- has removed the key from it, in front of this one. The bytes are set, not added to, for the same
-- reason.
local since = redis.call('ZSCORE', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[2], since and string.format('%.0f', since + 1) or text, ARGV[1])
redis.call('SET', KEYS[3], text)
redis.call('HSET', KEYS[1], ARGV[1], value)
redis.call('SET', KEYS[4], string.format('%.0f', bytes + #value - before))
return {version, before == 0 and waiting + 1 or waiting}
