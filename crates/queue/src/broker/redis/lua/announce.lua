-- Records that a worker is alive, and forgets those that were silent for long, some at a time.
-- KEYS  workers, seen
-- ARGV  worker; what it says of itself; how long a silent one is remembered, in ms
local now = now_ms()
redis.call('HSET', K.workers, ARGV[1], ARGV[2])
redis.call('ZADD', K.seen, whole(now), ARGV[1])
local silent = redis.call('ZRANGE', K.seen, '-inf', whole(now - ARGV[3]), 'BYSCORE', 'LIMIT', 0, CHUNK)
if #silent > 0 then
  redis.call('HDEL', K.workers, unpack(silent))
  redis.call('ZREM', K.seen, unpack(silent))
end
redis.call('PEXPIRE', K.workers, ARGV[3])
redis.call('PEXPIRE', K.seen, ARGV[3])
return 1
