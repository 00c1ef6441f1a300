-- Tells whether there is something to lease or to promote. Gives back a token that nobody could use.
-- KEYS  meta, back, tomb, delayed, wake, ready0 … ready4
-- ARGV  1 to give a token back
-- Returns 1 where jobs are ready, else 0; ms until the next delayed one is due, or nothing.
local count = redis.call('ZCARD', K.back) - redis.call('HLEN', K.tomb)
for level = 0, 4 do
  count = count + redis.call('LLEN', K['ready' .. level])
end
local is_ready = count > 0 and redis.call('HGET', K.meta, 'paused') ~= '1'
if is_ready and ARGV[1] == '1' then
  wake('r')
end
local due = redis.call('ZRANGE', K.delayed, 0, 0, 'WITHSCORES')[2]
return { is_ready and 1 or 0, due and math.max(due - now_ms(), 0) or false }
