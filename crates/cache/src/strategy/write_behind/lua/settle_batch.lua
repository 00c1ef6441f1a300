-- Forgets the batch that was added to the store.
-- KEYS[1] batch
-- ARGV[1] its number
-- Returns 1 when it was there, 0 when it was settled before.
if redis.call('HGET', KEYS[1], '') ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
