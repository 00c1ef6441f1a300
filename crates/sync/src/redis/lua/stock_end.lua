-- Confirms or releases a reservation.
--
-- KEYS, ARGV[1]: stock_shared.lua  ARGV[2] id  ARGV[3] 'c' to confirm, 'r' to release
-- Returns the current state of the reservation, 'c', 'r' or 'x', or '' if the id is unknown.
local id, wanted = ARGV[2], ARGV[3]
local state, quantity, at = entry(id)
if not state or state == 'a' then return '' end
if state ~= 'o' then return state end
if at <= now then wanted = 'x' end
close(id, quantity, wanted == 'c' and 'sold' or 'available', wanted)
return finish(wanted)
