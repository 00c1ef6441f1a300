-- Deletes what there is of keys for which a load brought nothing, but for those of which an invalidation removed the fence.
-- KEYS for each key: value, fence
-- ARGV for each key: the load's fence
-- Returns for each key 2 when a value was deleted, 1 when there was none, 0 when refused.
local answers = {}
for i, mine in ipairs(ARGV) do
  local value, fence = KEYS[2 * i - 1], KEYS[2 * i]
  if redis.call('GET', fence) == mine then
    redis.call('DEL', fence)
    answers[i] = 1 + redis.call('UNLINK', value)
  else
    answers[i] = 0
  end
end
return answers
