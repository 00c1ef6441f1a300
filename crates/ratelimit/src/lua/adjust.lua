-- Charges a cost even if it does not fit, or refunds the latest charges. Neither blocks nor
-- strikes.
--
-- KEYS[1]  the key's state
-- ARGV     amount; 1 to charge it, 0 to refund it; decay of a strike in µs (0: no escalation); the
--          algorithm's rule
-- returns  {1 if the key could be admitted or 0, remaining µs of the block or 0, the algorithm's
--          figures …}
local now, amount, is_penalty = now_us(), tonumber(ARGV[1]), ARGV[2] == '1'
local policy = { decay = tonumber(ARGV[3]) }
local rule = algorithm.rule(ARGV, 4)
local before = redis.call('GET', KEYS[1])
local block, bytes = read(before)
if not block then return redis.error_reply('VERSION the state of a rate limit is of an unknown version') end

local state = state_of(bytes, now, rule)
algorithm.settle(state, now, rule)
if is_penalty then
  algorithm.penalty(state, now, amount, rule)
elseif before then
  algorithm.reward(state, now, amount, rule)
end
if before or is_penalty then
  write(KEYS[1], before, block, state, now, rule, policy)
end
local left = left_of(block, now)
local fits, a, b, c, d = algorithm.decide(state, now, 0, rule)
return { fits and left == 0 and 1 or 0, left, a, b, c, d }
