-- Takes a value, in place of one that waits under the same key.
-- KEYS[1] values, KEYS[2] order, KEYS[3] last version
-- ARGV[1] key, ARGV[2] value, ARGV[3] most keys that may wait
-- Returns {version, keys that wait}; version 0 when it was not taken, since too many wait.
local known = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
local waiting = redis.call('HLEN', KEYS[1])
if not known and waiting >= tonumber(ARGV[3]) then
  return {0, waiting}
end
local version = math.max(tonumber(redis.call('GET', KEYS[3]) or '0') + 1, now_us())
local text = string.format('%.0f', version)
redis.call('SET', KEYS[3], text)
redis.call('HSET', KEYS[1], ARGV[1], text .. ' ' .. ARGV[2])
if not known then
  redis.call('ZADD', KEYS[2], text, ARGV[1])
  waiting = waiting + 1
end
return {version, waiting}
