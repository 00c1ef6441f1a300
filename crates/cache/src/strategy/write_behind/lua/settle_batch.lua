-- Forgets the batch that was added to the store, and puts aside what could not be read in it.
-- KEYS[1] batch, KEYS[2] what was put aside
-- ARGV[1] its number, then the keys that could not be read
-- Returns 1 when it was there, 0 when it was settled before.
if redis.call('HGET', KEYS[1], '') ~= ARGV[1] then
  return 0
end
for i = 2, #ARGV do
  redis.call('HSET', KEYS[2], ARGV[1] .. ' ' .. ARGV[i], redis.call('HGET', KEYS[1], ARGV[i]) or '')
end
return redis.call('DEL', KEYS[1])
