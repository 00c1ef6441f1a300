-- Invalidates everything: a new random epoch, to which no entry belongs.
-- KEYS[1] epoch, KEYS[2] mark that processes follow
-- ARGV[1] the epoch, ARGV[2] its lifetime in ms, ARGV[3] lifetime of the mark in ms
-- Returns 1.
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'e', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], '', 'PX', ARGV[3])
return 1
