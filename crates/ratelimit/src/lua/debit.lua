-- Charges what a process admitted during an outage: once, each charge with its own time, even if it
-- does not fit. Also blocks the key if that process blocked it: until the later end, or for a
-- manual block in place of an earlier block. Never counts as a strike.
--
-- KEYS[1]  the key's state
-- KEYS[2]  HASH: for each process with debits, the number of the last one that was charged
-- ARGV     the process; the number of this debit; for how many ms to store the number; remaining µs
--          of the block or 0; how many µs ago it was set manually, or -1; decay of a strike in µs
--          (0: no escalation); number of charges; the algorithm's rule; then for each charge its
--          age in µs, its amount, and the algorithm's rule for it
-- returns  1 if it was charged now, 0 if it had been charged before
local now, number, policy = now_us(), tonumber(ARGV[2]), { decay = tonumber(ARGV[6]) }
if tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0') >= number then return 0 end

local charges = tonumber(ARGV[7])
local width = (#ARGV - 7 - 2 * charges) / (charges + 1)
local rule = algorithm.rule(ARGV, 8)
local before = redis.call('GET', KEYS[1])
local block, bytes = read(before)
if not block then return redis.error_reply('VERSION the state of a rate limit is of an unknown version') end

-- Charges an amount with a given time, which is not after now.
local charge_at = {}

function charge_at.f(state, date, amount, rule)
  if date >= state.start then algorithm.penalty(state, now, amount, rule) end
end

function charge_at.c(state, date, amount, rule)
  if date >= state.start then
    algorithm.penalty(state, now, amount, rule)
  elseif date >= state.start - rule.period then
    state.before = math.min(state.before + amount, 2 * rule.limit, MOST_CHARGED)
  end
end

function charge_at.s(state, date, amount, rule)
  algorithm.charge_at(state, now, date, amount, rule)
end

function charge_at.w(state, date, amount, rule)
  for nth = 1, #rule do sliding_window.charge_at(state[nth], now, date, amount, rule[nth]) end
end

-- A bucket is charged the part of all charges that has not refilled since their times, regardless
-- of other users. An old debit therefore charges nothing, and neither does a repetition whose
-- number has expired.
local owed = { full = 0, rest = 0 }

function charge_at.t(state, date, amount, rule)
  algorithm.settle(owed, date, rule)
  algorithm.penalty(owed, date, amount, rule)
end

local state = state_of(bytes, now, rule)
algorithm.settle(state, now, rule)
for charge = 1, charges do
  local at = 8 + width + (charge - 1) * (2 + width)
  charge_at[algorithm.letter](state, now - tonumber(ARGV[at]), tonumber(ARGV[at + 1]), algorithm.rule(ARGV, at + 2))
end
if owed.full >= now then
  local rest_of_it = algorithm.rule(ARGV, 8)
  rest_of_it.refill, rest_of_it.refill_rest = owed.full - now, owed.rest
  algorithm.penalty(state, now, 0, rest_of_it)
end
local length, by_hand = tonumber(ARGV[4]), tonumber(ARGV[5])
local replaces = by_hand >= 0 and block.ends - block.length <= now - by_hand
if replaces or length > left_of(block, now) then
  block = { ends = now + length, length = length, strikes = strikes_of(block, now, policy) }
end
-- The charge is written before its number: if the append-only file is truncated in between, it is
-- charged twice but not lost.
write(KEYS[1], before, block, state, now, rule, policy)
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
