-- Writes all quotas as a node knows them, where the server knows less: it has lost changes.
--
-- KEYS[1]  all quotas, as in publish_quota.lua
-- ARGV     how many changes the node knows of; then names and texts
-- returns  1 where they were written, or 0
local known = tonumber(redis.call('HGET', KEYS[1], '') or 0)
if known >= tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], '', ARGV[1])
for at = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
return 1
