-- Deletes values that were written to the store, unless a later write has replaced them.
-- KEYS[1] values, KEYS[2] order, KEYS[3] bytes of all values
-- ARGV key, version, key, version …
-- Returns how many were deleted.
local forgotten, bytes = 0, 0
for i = 1, #ARGV, 2 do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  local version = ARGV[i + 1] .. ' '
  if value and string.sub(value, 1, #version) == version then
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
    forgotten, bytes = forgotten + 1, bytes + #value
  end
end
local left = tonumber(redis.call('GET', KEYS[3]) or '0') - bytes
-- Negative: values of a build that did not count, or that a torn append-only file has brought back.
if redis.call('EXISTS', KEYS[1]) == 0 or left < 0 then
  redis.call('DEL', KEYS[3])
elseif bytes > 0 then
  redis.call('SET', KEYS[3], string.format('%.0f', left))
end
return forgotten
