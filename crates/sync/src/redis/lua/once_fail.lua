-- Cancels an operation, so that the next caller begins it again.
--
-- KEYS[1] record: as in once_begin.lua
-- ARGV[1] owner
-- Returns 1 if the owner had the record, otherwise 0.
local record = redis.call('HMGET', KEYS[1], 'state', 'owner')
if record[1] ~= 'p' or record[2] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'p', 'ends', '0', 'owner', '')
return 1
