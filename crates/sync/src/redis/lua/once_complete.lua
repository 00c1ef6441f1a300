-- Stores the result of an operation.
--
-- KEYS[1] record: as in once_begin.lua
-- ARGV[1] owner  ARGV[2] result  ARGV[3] how long the record is kept, ms
-- Returns 1, or 0 if another owner has it or there is none. A repetition by the same owner changes
-- nothing.
local record = redis.call('HMGET', KEYS[1], 'state', 'owner')
if record[2] ~= ARGV[1] then return 0 end
if record[1] == 'p' then
  redis.call('HSET', KEYS[1], 'state', 'd', 'owner', ARGV[1], 'ends', '0', 'result', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
