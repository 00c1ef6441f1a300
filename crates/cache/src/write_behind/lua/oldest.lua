-- The values that have been pending longest. They stay pending. A key without a value, which a torn
-- append-only file can leave, is removed from the order.
-- KEYS[1] values, KEYS[2] order
-- ARGV[1] maximum number of values, ARGV[2] maximum number of bytes, which a single value may
-- exceed
-- Returns {{key, value, key, value …}, whether more are pending}.
local found, bytes, keys = {}, 0
repeat
  keys = redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1)
  for _, key in ipairs(keys) do
    local length = redis.call('HSTRLEN', KEYS[1], key)
    if #found > 0 and bytes + length > tonumber(ARGV[2]) then
      return {found, 1}
    end
    bytes = bytes + length
    local value = redis.call('HGET', KEYS[1], key)
    if value then
      found[#found + 1] = key
      found[#found + 1] = value
    else
      redis.call('ZREM', KEYS[2], key)
    end
  end
until #found > 0 or #keys < tonumber(ARGV[1])
return {found, #keys == tonumber(ARGV[1]) and 1 or 0}
