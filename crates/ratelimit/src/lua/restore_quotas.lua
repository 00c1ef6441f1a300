-- Writes quotas that a node knows if the server has none or older ones, because it lost changes.
--
-- KEYS[1]  all quotas, as in publish_quota.lua
-- ARGV     pairs of a name and its field
-- returns  the number of written fields
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
