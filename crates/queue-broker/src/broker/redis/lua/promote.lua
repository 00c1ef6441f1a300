-- Makes due delayed jobs ready.
-- KEYS  meta, delayed, back, wake
-- ARGV  maximum number of jobs
-- Returns how many, and when the next one is due, or nothing.
local due = redis.call('ZRANGE', K.delayed, '-inf', whole(now_ms()), 'BYSCORE', 'LIMIT', 0, ARGV[1], 'WITHSCORES')
local places, ready = {}, {}
for at = 1, #due, 2 do
  local level = tonumber(string.match(due[at], '^%d+%.(%d)%.'))
  places[#places + 1] = due[at]
  ready[#ready + 1] = whole(level * LEVEL + due[at + 1])
  ready[#ready + 1] = due[at]
end
if #places > 0 then
  bulk('ZADD', K.back, ready)
  bulk('ZREM', K.delayed, places)
  wake_for_ready()
end
return { #places, redis.call('ZRANGE', K.delayed, 0, 0, 'WITHSCORES')[2] or false }
