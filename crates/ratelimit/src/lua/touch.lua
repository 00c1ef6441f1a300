-- Reports that a process is alive, and counts the live processes.
--
-- KEYS[1]  live processes: a sorted set of process to the server's time in ms when it last reported
-- ARGV     the process; for how many ms after its report a process counts
-- returns  the number of live processes
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
