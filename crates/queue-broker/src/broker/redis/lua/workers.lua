-- Reads the workers seen lately.
-- KEYS  workers
-- ARGV  how long a silent one is remembered, in ms
-- Returns for each: when it was last seen, and its description of itself.
local after = now_ms() - ARGV[1]
local answer = {}
for _, entry in ipairs(redis.call('HVALS', K.workers)) do
  local seen, info = string.match(entry, '^(%d+) (.*)$')
  if seen and tonumber(seen) > after then
    answer[#answer + 1] = seen
    answer[#answer + 1] = info
  end
end
return answer
