-- Acquires the lock on one master, or renews it for its owner.
--
-- KEYS[1] STRING owner
-- ARGV[1] owner  ARGV[2] lease, ms
-- Returns 1, or 0 if another owner holds it.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
