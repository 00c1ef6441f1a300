-- Extends the lock on one master, if the owner still holds it.
--
-- KEYS[1] STRING owner
-- ARGV[1] owner  ARGV[2] lease, ms
-- Returns 1, or 0 if another owner or none holds it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
