-- Counts.
-- KEYS  meta, job, lease, back, tomb, delayed, waiting, ended, dead, cancelled, ready0 … ready4
-- Returns nothing if there is no queue, else: ready, delayed, leased, done, dead, cancelled, age of
--         the oldest ready job in ms or nothing, paused, totals of completed, failed, retried,
--         reclaimed, stale, waiting, recovered, and dropped.
local meta = redis.call('HMGET', K.meta, 'layout', 'paused', 'completed', 'failed', 'retried', 'reclaimed', 'stale',
  'recovered', 'dropped', 'over')
if not meta[1] then
  return false
end
local ready = redis.call('ZCARD', K.back) - redis.call('HLEN', K.tomb)
local oldest
for level = 0, 4 do
  local list = K['ready' .. level]
  ready = ready + redis.call('LLEN', list)
  local first = redis.call('LINDEX', list, 0)
  local envelope = first and redis.call('HGET', K.job, first)
  if envelope then
    oldest = math.min(oldest or math.huge, (select(2, head(envelope))))
  end
  local back = redis.call('ZRANGE', K.back, whole(level * LEVEL), '(' .. whole((level + 1) * LEVEL), 'BYSCORE', 'LIMIT', 0, 1,
    'WITHSCORES')[2]
  if back then
    oldest = math.min(oldest or math.huge, back - level * LEVEL)
  end
end
local answer = { ready }
answer[2] = redis.call('ZCARD', K.delayed)
answer[3] = leased_count()
answer[4] = redis.call('HLEN', K.ended)
answer[5] = redis.call('ZCARD', K.dead)
answer[6] = redis.call('ZCARD', K.cancelled)
answer[7] = oldest and math.max(now_ms() - oldest, 0) or false
answer[8] = meta[2] == '1' and 1 or 0
for nth = 3, 7 do
  answer[nth + 6] = tonumber(meta[nth] or 0)
end
if meta[10] then
  answer[9] = meta[10] + answer[4]
end
answer[14] = redis.call('ZCARD', K.waiting)
answer[15] = tonumber(meta[8] or 0)
answer[16] = tonumber(meta[9] or 0)
return answer
