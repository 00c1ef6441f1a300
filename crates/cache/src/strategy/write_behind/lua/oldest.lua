-- The values that have waited longest. They wait on.
-- KEYS[1] values, KEYS[2] order
-- ARGV[1] how many at most
-- Returns key, value, key, value …
local found = {}
for _, key in ipairs(redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1)) do
  found[#found + 1] = key
  found[#found + 1] = redis.call('HGET', KEYS[1], key) or ''
end
return found
