-- Reserves a quantity, if there is so much.
--
-- KEYS, ARGV[1]: stock_shared.lua  ARGV[2] id  ARGV[3] quantity  ARGV[4] how long it stays reserved, µs
-- Returns {'open', µs until it expires}, {'left', quantity available}, {'none'} (no such stock), {'reused'},
-- or the state in which this id's reservation ended: {'c'}, {'r'} or {'x'}
local id, quantity = ARGV[2], tonumber(ARGV[3])
expire(10)
forget(10)
local state, before = entry(id)
if state then
  if state == 'a' or before ~= quantity then return {'reused'} end
  if state ~= 'o' then return {state} end
  local ends = tonumber(redis.call('ZSCORE', open, id))
  if ends > now then return {'open', ends - now} end
  close(id, quantity, 'available', 'x')
  return {'x'}
end
local available = tonumber(redis.call('HGET', counts, 'available'))
if not available then return {'none'} end
-- Before it says no it looks for what others have abandoned, more thoroughly, but not without end.
if available < quantity and expire(500) > 0 then
  available = tonumber(redis.call('HGET', counts, 'available'))
end
if available < quantity then return {'left', available} end
local ttl = tonumber(ARGV[4])
redis.call('HINCRBY', counts, 'available', '-' .. ARGV[3])
redis.call('HINCRBY', counts, 'reserved', ARGV[3])
redis.call('HSET', entries, id, 'o,' .. ARGV[3])
redis.call('ZADD', open, string.format('%.0f', now + ttl), id)
return {'open', ttl}
