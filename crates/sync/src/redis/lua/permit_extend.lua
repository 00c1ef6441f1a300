-- Extends a lease that has not ended.
--
-- KEYS[1] holders  ZSET owner -> end of its lease, µs
-- ARGV[1] owner  ARGV[2] lease from now, µs
-- Returns 1, or 0 if the permit was lost.
local now = now_us()
local lease = tonumber(ARGV[2])
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ends or tonumber(ends) <= now then return 0 end
-- The key must outlive the lease, so its own expiry is extended first.
local keep = math.ceil(lease / 1000) + 1000
if redis.call('PTTL', KEYS[1]) < keep then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep))
end
redis.call('ZADD', KEYS[1], 'GT', string.format('%.0f', now + lease), ARGV[1])
return 1
