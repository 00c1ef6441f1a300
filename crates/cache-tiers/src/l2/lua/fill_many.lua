-- Stores the values that a load of several keys returned. Keys whose fence an invalidation removed
-- are skipped.
-- KEYS for each key: value, fence
-- ARGV for each key: the load's fence, entry, its lifetime in ms
-- Returns for each key 1 if stored, 0 if refused.
local answers, now = {}, now_us()
for i = 1, #KEYS / 2 do
  local value, fence = KEYS[2 * i - 1], KEYS[2 * i]
  if redis.call('GET', fence) == ARGV[3 * i - 2] then
    redis.call('DEL', fence)
    redis.call('SET', value, dated(ARGV[3 * i - 1], ARGV[3 * i], now), 'PX', ARGV[3 * i])
    answers[i] = 1
  else
    answers[i] = 0
  end
end
return answers
