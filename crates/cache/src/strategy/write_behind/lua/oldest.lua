-- The values that have waited longest. They wait on.
-- KEYS[1] values, KEYS[2] order
-- ARGV[1] how many at most, ARGV[2] how many bytes, which one value alone may exceed
-- Returns {{key, value, key, value …}, whether more wait}.
local found, bytes = {}, 0
for _, key in ipairs(redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1)) do
  local length = redis.call('HSTRLEN', KEYS[1], key)
  if #found > 0 and bytes + length > tonumber(ARGV[2]) then
    return {found, 1}
  end
  bytes = bytes + length
  found[#found + 1] = key
  found[#found + 1] = redis.call('HGET', KEYS[1], key) or ''
end
return {found, #found == 2 * ARGV[1] and 1 or 0}
