-- Tells whether there is something to lease or to promote. Gives back a token that nobody could use.
-- KEYS  meta, lease, back, tomb, delayed, wake, ready0 … ready4
-- ARGV  1 to give a token back
-- Returns 1 where jobs are ready, else 0; ms until the next delayed one is due or one may begin to run, or nothing.
local count = redis.call('ZCARD', K.back) - redis.call('HLEN', K.tomb)
for level = 0, 4 do
  count = count + redis.call('LLEN', K['ready' .. level])
end
local meta = redis.call('HMGET', K.meta, 'paused', 'max_running', 'rate_jobs', 'rate_per', 'full_at')
local is_ready = count > 0 and meta[1] ~= '1'
local now = now_ms()
local token
if is_ready and meta[3] then
  local per, interval, full_at = tonumber(meta[4]), meta[4] / meta[3], tonumber(meta[5] or 0)
  local missing = math.min(math.max(full_at - now, 0), per)
  if math.floor((per - missing) / interval + 1e-6) == 0 then
    is_ready = false
    token = math.ceil(math.min(full_at, now + per) - per + interval - 1e-6)
  end
end
if is_ready and meta[2] and leased_count() >= tonumber(meta[2]) then
  is_ready = false
end
if is_ready and ARGV[1] == '1' then
  wake('r')
end
local due = redis.call('ZRANGE', K.delayed, 0, 0, 'WITHSCORES')[2]
due = due and math.min(tonumber(due), token or math.huge) or token
return { is_ready and 1 or 0, due and math.max(due - now, 0) or false }
