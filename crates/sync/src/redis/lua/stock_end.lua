-- Confirms or releases a reservation.
--
-- KEYS, ARGV[1]: stock_shared.lua  ARGV[2] id  ARGV[3] 'c' to confirm, 'r' to release
-- Returns the state in which the reservation is now, 'c', 'r' or 'x', or '' when the id is not known
local id, wanted = ARGV[2], ARGV[3]
local state, quantity = entry(id)
if not state or state == 'a' then return '' end
if state ~= 'o' then return state end
if tonumber(redis.call('ZSCORE', open, id)) <= now then
  close(id, quantity, 'available', 'x')
  return 'x'
end
if wanted == 'c' then close(id, quantity, 'sold', 'c') else close(id, quantity, 'available', 'r') end
return wanted
