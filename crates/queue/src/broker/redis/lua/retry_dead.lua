-- Makes dead jobs ready, the oldest first.
-- KEYS  as change
-- ARGV  most jobs
-- Returns how many.
local now = now_ms()
local count = 0
for _, id in ipairs(redis.call('ZRANGE', K.dead, '-inf', '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local envelope = redis.call('HGET', K.job, id)
  if envelope then
    revive(id, envelope, 'dead', redis.call('HGET', K.latest, id), now)
    count = count + 1
  end
end
return count
