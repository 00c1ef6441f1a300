-- Adds to a stock. The first addition creates it.
--
-- KEYS, ARGV[1]: stock_shared.lua  ARGV[2] id  ARGV[3] quantity
-- Returns 'added', 'reused' (the id was used for another operation) or 'large' (the total would
-- exceed 2^53 - 1). Additions are few, and one that is repeated late must not be added again.
local NEVER = 9007199254740991
local id, quantity = ARGV[2], tonumber(ARGV[3])
forget(10)
local state, before = entry(id)
if state then
  return finish(state == 'a' and before == quantity and 'added' or 'reused')
end
if tonumber(get('total') or 0) + quantity > 9007199254740991 then return finish('large') end
add('available', quantity)
add('total', quantity)
put(closed, id, 'a', quantity, NEVER)
return finish('added')
