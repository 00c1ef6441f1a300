-- Moves the position of the cache's second tier forward, never back.
-- KEYS[1]  the position: "<installation> <row>"
-- ARGV[1]  the installation   ARGV[2]  the row   ARGV[3]  milliseconds to keep it
-- Returns 1 when it moved, 0 when it stood there or further.
local known = redis.call('GET', KEYS[1])
if known then
  local installation, row = string.match(known, '^(%S+) (%d+)$')
  if installation == ARGV[1] and tonumber(row) >= tonumber(ARGV[2]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return 0
  end
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1
