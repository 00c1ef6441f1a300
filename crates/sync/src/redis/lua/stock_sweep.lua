-- Ends abandoned reservations and forgets old entries, a bounded number of each.
--
-- KEYS, ARGV[1]: stock_shared.lua  ARGV[2] at most so many of each
-- Returns {ended, forgotten}
local limit = tonumber(ARGV[2])
return finish({expire(limit), forget(limit)})
