-- Makes dead jobs ready, the oldest first.
-- KEYS  as change
-- ARGV  maximum number of jobs
-- Returns how many; 1 if there may be more, because their records are large.
local MOST_BYTES = 4194304 -- of records, each of which is written again
local now = now_ms()
local count, bytes = 0, 0
for _, id in ipairs(redis.call('ZRANGE', K.dead, '-inf', '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[1])) do
  local envelope = redis.call('HGET', K.job, id)
  if envelope then
    revive(id, envelope, 'dead', redis.call('HGET', K.latest, id), now)
    count = count + 1
    bytes = bytes + #envelope
    if bytes > MOST_BYTES then
      return { count, 1 }
    end
  end
end
return { count, 0 }
