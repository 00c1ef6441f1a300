-- Extends the lease of an operation in progress, if no other owner has taken it over.
--
-- KEYS[1] record: as in once_begin.lua
-- ARGV[1] owner  ARGV[2] lease from now, µs  ARGV[3] how long the record is kept, ms
-- Returns 1, or 0 if another owner has it or there is none.
local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'attempt')
if record[1] ~= 'p' or record[2] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'p', 'owner', ARGV[1], 'attempt', record[3],
  'ends', string.format('%.0f', now_us() + tonumber(ARGV[2])))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
