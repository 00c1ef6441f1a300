-- Returns what a check would. Writes nothing.
--
-- KEYS[1]  the key's state
-- ARGV     cost; the algorithm's rule
-- returns  {1 if it would be admitted or 0, remaining µs of the block or 0, the algorithm's figures
--          …}
local now, cost = now_us(), tonumber(ARGV[1])
local rule = algorithm.rule(ARGV, 2)
local block, bytes = read(redis.call('GET', KEYS[1]))
if not block then return redis.error_reply('VERSION the state of a rate limit is of an unknown version') end

local state = state_of(bytes, now, rule)
algorithm.settle(state, now, rule)
local left = left_of(block, now)
local fits, a, b, c, d = algorithm.decide(state, now, cost, rule)
return { fits and left == 0 and 1 or 0, left, a, b, c, d }
