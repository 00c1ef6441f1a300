-- Invalidates a tag: moves its generation, if there is one. Without a generation, no valid entry
-- carries the tag. A no-op deletion comes first: a full server refuses a script only until its
-- first write.
-- KEYS[1] generation, KEYS[2] mark that processes follow, which is set and deleted
-- Returns 1.
redis.call('DEL', KEYS[2])
local generation = redis.pcall('GET', KEYS[1])
if is_generation(generation) then
  local moved = math.max(tonumber(generation) + 1, now_us())
  redis.call('SET', KEYS[1], string.format('%.0f', moved), 'KEEPTTL')
else
  redis.call('DEL', KEYS[1])
end
redis.call('SET', KEYS[2], '')
redis.call('DEL', KEYS[2])
return 1
