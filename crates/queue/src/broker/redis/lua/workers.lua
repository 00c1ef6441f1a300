-- Reads the workers seen lately.
-- KEYS  workers, seen
-- ARGV  how long a silent one is remembered, in ms
-- Returns for each: what it says of itself, and when it was seen.
local seen = redis.call('ZRANGE', K.seen, '(' .. whole(now_ms() - ARGV[1]), '+inf', 'BYSCORE', 'WITHSCORES')
local answer = {}
for at = 1, #seen, 2 do
  local info = redis.call('HGET', K.workers, seen[at])
  if info then
    answer[#answer + 1] = info
    answer[#answer + 1] = seen[at + 1]
  end
end
return answer
