-- Invalidates tags if one server has all keys: moves the cells first and then the generations, as
-- `epoch_move` and `tag_move` do one after the other. A no-op deletion comes first: a full server
-- refuses a script only until its first write.
-- KEYS[1] epoch, then for each tag its generation and its mark, which is set and deleted
-- ARGV cells
-- Returns 1.
redis.pcall('HDEL', KEYS[1], '')
if redis.pcall('HEXISTS', KEYS[1], 'e') == 1 then
  for i = 1, #ARGV do
    redis.call('HINCRBY', KEYS[1], ARGV[i], 1)
  end
end
local now = now_us()
for i = 2, #KEYS, 2 do
  local generation = redis.pcall('GET', KEYS[i])
  if is_generation(generation) then
    local moved = math.max(tonumber(generation) + 1, now)
    redis.call('SET', KEYS[i], string.format('%.0f', moved), 'KEEPTTL')
  else
    redis.call('DEL', KEYS[i])
  end
  redis.call('SET', KEYS[i + 1], '')
  redis.call('DEL', KEYS[i + 1])
end
return 1
