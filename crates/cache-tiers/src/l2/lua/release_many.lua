-- Gives back the fences of loads that returned nothing to store.
-- KEYS for each key: fence
-- ARGV for each key: the load's fence
-- Returns for each key 1 if it was still in force, 0 if an invalidation or another load removed it.
local answers = {}
for i, fence in ipairs(KEYS) do
  if redis.call('GET', fence) == ARGV[i] then
    answers[i] = redis.call('DEL', fence)
  else
    answers[i] = 0
  end
end
return answers
