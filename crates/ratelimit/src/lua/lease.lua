-- Checks a cost like check.lua. If more fits, also charges a lease: an amount that a client then
-- admits by itself until the lease ends. It does so only if cost and lease fit together, and a
-- multiple of the lease fits, so that the lease takes at most a part of the current remaining
-- amount, whatever the client knew before. Otherwise it is a check.
--
-- No window gets more than its limit, although the amount is admitted later than it is charged:
--   fixed window, sliding counter  the lease ends with the window
--   sliding window, windows        the time of the charge is the lease's end, or a segment later
--   token bucket                   the bucket counts as no fuller than it may be at the lease's end
--
-- KEYS[1]  the key's state
-- ARGV     cost; block, its cap and the decay of a strike, in µs (0: no policy, no escalation); the
--          jitter as in check.lua; the lease's amount; its lifetime in µs; the multiple that has to
--          fit; the algorithm's rule for the cost; its rule for cost and lease together; its rule
--          for the multiple
-- returns  {1 if admitted or 0, remaining µs of the block or 0, leased amount, its lifetime in µs
--          from now, the algorithm's figures …}
local now, cost = now_us(), tonumber(ARGV[1])
local policy = { base = tonumber(ARGV[2]), cap = tonumber(ARGV[3]), decay = tonumber(ARGV[4]) }
policy.jitter, policy.seed = math.floor(ARGV[5] / 65536), ARGV[5] % 65536
local amount, life, multiple = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local width = (#ARGV - 8) / 3
local rule, rule_of_both = algorithm.rule(ARGV, 9), algorithm.rule(ARGV, 9 + width)
local rule_of_multiple = algorithm.rule(ARGV, 9 + 2 * width)
local before = redis.call('GET', KEYS[1])
local block, bytes = read(before)
if not block then return redis.error_reply('VERSION the state of a rate limit is of an unknown version') end

-- Charges both if they fit. Returns the lifetime of the lease, or nil.
local lease = {}

function lease.f(state)
  if not algorithm.decide(state, now, cost + amount, rule_of_both) then return nil end
  algorithm.charge(state, now, cost + amount, rule_of_both)
  return math.min(life, math.max(state.start + rule.period - now, 0))
end

lease.c = lease.f

function lease.s(state)
  if not algorithm.decide(state, now, cost + amount, rule_of_both) then return nil end
  algorithm.charge(state, now, cost, rule)
  algorithm.charge_until(state, now, amount, now + life, rule)
  return life
end

function lease.w(state)
  if not algorithm.decide(state, now, cost + amount, rule_of_both) then return nil end
  algorithm.charge(state, now, cost, rule)
  for nth = 1, #rule do sliding_window.charge_until(state[nth], now, amount, now + life, rule[nth]) end
  return life
end

function lease.t(state)
  local at_its_end = { full = math.max(state.full, now + life), rest = state.full < now + life and 0 or state.rest }
  if not algorithm.decide(at_its_end, now, cost + amount, rule_of_both) then return nil end
  state.full, state.rest = at_its_end.full, at_its_end.rest
  algorithm.charge(state, now, cost + amount, rule_of_both)
  return life
end

-- If the clock was set back, the block ends after its length has passed again.
block.ends = math.min(block.ends, now + block.length)
local state = state_of(bytes, now, rule)
algorithm.settle(state, now, rule)
local left, runs = left_of(block, now), nil
if left == 0 and algorithm.decide(state, now, multiple, rule_of_multiple) then runs = lease[algorithm.letter](state) end
local admitted = runs ~= nil
local fits, a, b, c, d
if not admitted then
  fits, a, b, c, d = algorithm.decide(state, now, cost, rule)
  admitted = fits and left == 0
  if admitted then
    algorithm.charge(state, now, cost, rule)
  elseif left == 0 and policy.base > 0 then
    left = strike(block, now, policy)
  end
end
if admitted then
  fits, a, b, c, d = algorithm.decide(state, now, 0, rule)
end
write(KEYS[1], before, block, state, now, rule, policy)
return { admitted and 1 or 0, left, runs and amount or 0, runs or 0, a, b, c, d }
