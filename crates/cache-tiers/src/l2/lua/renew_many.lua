-- Renews the fences of loads that still run.
-- KEYS for each key: fence
-- ARGV[1] lifetime of a fence in ms, ARGV[2..] for each key the load's fence
-- Returns for each key 1 if it was still in force, 0 if an invalidation or another load removed it.
local answers = {}
for i, fence in ipairs(KEYS) do
  if redis.pcall('GET', fence) == ARGV[1 + i] then
    answers[i] = redis.call('PEXPIRE', fence, ARGV[1])
  else
    answers[i] = 0
  end
end
return answers
