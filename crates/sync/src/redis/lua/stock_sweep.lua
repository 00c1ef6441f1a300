-- Ends expired reservations and removes old entries, a bounded number of each.
--
-- KEYS, ARGV[1]: stock_shared.lua  ARGV[2] maximum number of each
-- Returns {ended, removed}
local limit = tonumber(ARGV[2])
return finish({expire(limit), forget(limit)})
