-- Admits and charges a cost, or refuses and charges nothing; a refusal may start a block. One GET, and one SET where
-- anything changed. look.lua and, where the algorithm has one, its way for most checks stand in front.
--
-- KEYS[1]  the key's state
-- ARGV     eight bytes for each number, since many arguments take longer than one: cost; block, its cap and the decay of a strike, in µs (0: no policy, no escalation); the jitter of a block in
--          percent, times 65,536, and the key's seed below 65,536; the algorithm's rule
-- returns  {1 where it was admitted or 0, µs left of the block or 0, the algorithm's figures …}
local numbers = { struct.unpack('<' .. string.rep('I8', #ARGV[1] / 8), ARGV[1]) }
local cost, policy = numbers[1], { base = numbers[2], cap = numbers[3], decay = numbers[4] }
policy.jitter, policy.seed = math.floor(numbers[5] / 65536), numbers[5] % 65536
local rule = algorithm.rule(numbers, 6)
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
