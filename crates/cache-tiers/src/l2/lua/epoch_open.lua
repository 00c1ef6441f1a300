-- The epoch for a load that is about to start; created if it is missing, or if the key holds
-- something foreign.
-- KEYS[1] epoch
-- ARGV[1] a new random epoch, ARGV[2] lifetime in ms
-- Returns the hash: `e` the epoch, `c:<class>` moves of a class, `t:<cell>` moves of tags.
if redis.pcall('HEXISTS', KEYS[1], 'e') ~= 1 then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'e', ARGV[1])
end
if redis.call('PTTL', KEYS[1]) < ARGV[2] / 2 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return redis.call('HGETALL', KEYS[1])
