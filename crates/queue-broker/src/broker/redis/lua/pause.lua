-- Stops or allows leasing.
-- KEYS  meta, back, wake, ready0 … ready4
-- ARGV  1 to stop, 0 to allow
-- Returns 1 if the queue is new, else 0.
local is_new = redis.call('EXISTS', K.meta) == 0
if is_new then
  make_queue(now_ms())
end
redis.call('HSET', K.meta, 'paused', ARGV[1])
if ARGV[1] == '1' then
  redis.call('LREM', K.wake, 0, 'r')
elseif redis.call('EXISTS', K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4) > 0 then
  wake_for_ready()
end
return is_new and 1 or 0
