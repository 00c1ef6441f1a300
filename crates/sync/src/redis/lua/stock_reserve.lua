-- Reserves a quantity, if it is available.
--
-- KEYS, ARGV[1]: stock_shared.lua  ARGV[2] id  ARGV[3] quantity  ARGV[4] duration, µs
-- Returns {'open', µs until it expires}, {'left', available quantity}, {'none'} (no such stock),
-- {'reused'}, or the state in which this id's reservation ended: {'c'}, {'r'} or {'x'}.
local id, quantity = ARGV[2], tonumber(ARGV[3])
expire(10)
forget(10)
local state, before, at = entry(id)
if state then
  if state == 'a' or before ~= quantity then return finish({'reused'}) end
  if state ~= 'o' then return finish({state}) end
  if at > now then return finish({'open', at - now}) end
  close(id, quantity, 'available', 'x')
  return finish({'x'})
end
local available = tonumber(get('available'))
if not available then return finish({'none'}) end
-- Before a sold-out result, expires reservations more thoroughly, but not without a limit.
if available < quantity and expire(500) > 0 then
  available = tonumber(get('available'))
end
if available < quantity then return finish({'left', available}) end
local ttl = tonumber(ARGV[4])
add('available', -quantity)
add('reserved', quantity)
put(open, id, 'o', quantity, now + ttl)
return finish({'open', ttl})
