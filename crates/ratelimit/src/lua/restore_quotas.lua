-- Writes what a node knows of limiters where the server knows nothing or something older: it has lost changes.
--
-- KEYS[1]  all quotas, as in publish_quota.lua
-- ARGV     names and what a field of theirs holds
-- returns  how many were written
local written = 0
for i = 1, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  local held_at = tonumber(string.match(held or '', '^(%d+) ') or 0)
  if not held or held_at < tonumber(string.match(ARGV[i + 1], '^(%d+) ') or 0) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    written = written + 1
  end
end
return written
