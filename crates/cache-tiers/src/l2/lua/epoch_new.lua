-- Invalidates everything: a new random epoch, to which no entry belongs.
-- KEYS[1] epoch, KEYS[2] mark that processes follow, which is set and deleted
-- ARGV[1] the epoch, ARGV[2] its lifetime in ms
-- Returns 1.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'e', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], '')
redis.call('DEL', KEYS[2])
return 1
