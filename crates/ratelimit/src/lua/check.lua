-- Admits and charges a cost, or refuses and charges nothing; a refusal may start a block. One GET, and one SET where
-- anything changed.
--
-- KEYS[1]  the key's state
-- ARGV     cost; block, its cap and the decay of a strike, in µs (0: no policy, no escalation); the jitter of a block in
--          percent, times 65,536, and the key's seed below 65,536; the algorithm's rule
-- returns  {1 where it was admitted or 0, µs left of the block or 0, the algorithm's figures …}
local now, cost = now_us(), tonumber(ARGV[1])
local policy = { base = tonumber(ARGV[2]), cap = tonumber(ARGV[3]), decay = tonumber(ARGV[4]) }
policy.jitter, policy.seed = math.floor(ARGV[5] / 65536), ARGV[5] % 65536
local rule = algorithm.rule(ARGV, 6)
local before = redis.call('GET', KEYS[1])
local block, bytes = read(before)
if not block then return redis.error_reply('VERSION the state of a rate limit is of an unknown version') end

-- A block that the clock was set back from ends once its length has passed again.
block.ends = math.min(block.ends, now + block.length)
local state = state_of(bytes, now, rule)
algorithm.settle(state, now, rule)
local left = left_of(block, now)
local fits, a, b, c, d = algorithm.decide(state, now, cost, rule)
local admitted = fits and left == 0
if admitted then
  algorithm.charge(state, now, cost, rule)
  fits, a, b, c, d = algorithm.decide(state, now, 0, rule)
elseif left == 0 and policy.base > 0 then
  left = strike(block, now, policy)
end
write(KEYS[1], before, block, state, now, rule, policy)
return { admitted and 1 or 0, left, a, b, c, d }
