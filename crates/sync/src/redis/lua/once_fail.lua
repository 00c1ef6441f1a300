-- Gives up an operation, so that the next who comes begins it anew.
--
-- KEYS[1] record: as in once_begin.lua
-- ARGV[1] owner
-- Returns 1 when the record was this owner's, else 0
local record = redis.call('HMGET', KEYS[1], 'state', 'owner')
if record[1] ~= 'p' or record[2] ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'p', 'ends', '0', 'owner', '')
return 1
