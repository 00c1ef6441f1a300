-- Adds to a stock; the first addition makes it.
--
-- KEYS, ARGV[1]: stock_shared.lua  ARGV[2] id  ARGV[3] quantity
-- Returns 'added', 'reused' (the id was used for something else) or 'large' (the total would go over 2^53)
local id, quantity = ARGV[2], tonumber(ARGV[3])
forget(10)
local state, before = entry(id)
if state then
  if state == 'a' and before == quantity then return 'added' end
  return 'reused'
end
if tonumber(redis.call('HGET', counts, 'total') or 0) + quantity > 9007199254740991 then return 'large' end
redis.call('HINCRBY', counts, 'available', ARGV[3])
redis.call('HINCRBY', counts, 'total', ARGV[3])
redis.call('HSET', entries, id, 'a,' .. ARGV[3])
redis.call('ZADD', closed, forget_at, id)
return 'added'
