-- Releases the lock on one master, if the owner holds it.
--
-- KEYS[1] STRING owner
-- ARGV[1] owner
-- Returns 1, or 0 if the owner did not hold it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
