-- Forgets values that were written to the store, unless a later write has taken their place.
-- KEYS[1] values, KEYS[2] order
-- ARGV key, version, key, version …
-- Returns how many were forgotten.
local forgotten = 0
for i = 1, #ARGV, 2 do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  local version = ARGV[i + 1] .. ' '
  if value and string.sub(value, 1, #version) == version then
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('ZREM', KEYS[2], ARGV[i])
    forgotten = forgotten + 1
  end
end
return forgotten
