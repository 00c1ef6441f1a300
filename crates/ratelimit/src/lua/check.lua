-- Admits and charges a cost, or refuses and charges nothing. A refusal may start a block. One GET,
-- and one SET if anything changed. look.lua and, if the algorithm has one, its fast path come
-- first.
--
-- KEYS[1]  the key's state
-- ARGV     eight bytes for each number, packed because many arguments take longer than one: cost;
--          block, its cap and the decay of a strike, in µs (0: no policy, no escalation); the
--          jitter of a block in percent, times 65,536, plus the key's seed below 65,536; the
--          algorithm's rule
-- returns  {1 if admitted or 0, remaining µs of the block or 0, the algorithm's figures …}
local numbers = { struct.unpack('<' .. string.rep('I8', #ARGV[1] / 8), ARGV[1]) }
local cost, policy = numbers[1], { base = numbers[2], cap = numbers[3], decay = numbers[4] }
policy.jitter, policy.seed = math.floor(numbers[5] / 65536), numbers[5] % 65536
local rule = algorithm.rule(numbers, 6)
local block, bytes = read(before)
if not block then return redis.error_reply('VERSION the state of a rate limit is of an unknown version') end

-- If the clock was set back, the block ends after its length has passed again.
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
