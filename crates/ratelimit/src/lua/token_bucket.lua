-- Token bucket (generic cell rate algorithm). Same as src/algorithm/token_bucket.rs.
--
-- Times and durations are pairs of whole µs and a remainder in 1/limit µs, so that the rate has no
-- rounding error and every number is below the 2^53 that Lua counts exactly.
--
-- State: <I7 time at which the bucket will be full, µs><I7 remainder>. Rule: limit, period in µs,
-- time to fill the whole bucket (µs, remainder), time to refill the cost (µs, remainder).
local token_bucket = { letter = 't', kept_bytes = 28 }

local TOKEN_BUCKET, KEPT = '<I7I7', '<I7I7I7I7'

function token_bucket.rule(argv, first)
  local rule = { limit = tonumber(argv[first]), period = tonumber(argv[first + 1]) }
  rule.length, rule.length_rest = tonumber(argv[first + 2]), tonumber(argv[first + 3])
  rule.refill, rule.refill_rest = tonumber(argv[first + 4]), tonumber(argv[first + 5])
  return rule
end

-- The part of the rule on which the state depends.
function token_bucket.keep(rule)
  return struct.pack(KEPT, rule.limit, rule.period, rule.length, rule.length_rest)
end

function token_bucket.kept(bytes, at)
  local limit, period, length, length_rest = struct.unpack(KEPT, bytes, at)
  return { limit = limit, period = period, length = length, length_rest = length_rest }
end

-- The sum of two pairs. The remainders are compared before they are added: the sum might be
-- inexact.
local function add(whole, rest, by_whole, by_rest, limit)
  if rest >= limit - by_rest then return whole + by_whole + 1, rest - (limit - by_rest) end
  return whole + by_whole, rest + by_rest
end

local function is_after(whole, rest, other_whole, other_rest)
  return whole > other_whole or (whole == other_whole and rest > other_rest)
end

function token_bucket.read(bytes, at, now, rule)
  if #bytes < at then return { full = now, rest = 0 } end
  local full, rest = struct.unpack(TOKEN_BUCKET, bytes, at)
  return { full = full, rest = rest }
end

function token_bucket.write(state)
  return struct.pack(TOKEN_BUCKET, state.full, state.rest)
end

-- Updates the state to `now`.
function token_bucket.settle(state, now, rule)
  local once, once_rest = add(now, 0, rule.length, rule.length_rest, rule.limit)
  local twice, twice_rest = add(once, once_rest, rule.length, rule.length_rest, rule.limit)
  if is_after(state.full, state.rest, twice, twice_rest) then
    -- Set back by more than the bucket takes to fill: it counts as just emptied.
    state.full, state.rest = once, once_rest
  elseif state.full < now then
    state.full, state.rest = now, 0
  end
end

-- a * b / c as an integer, with the remainder. Exact if the quotient is below 2^53, for any
-- product.
local function divided_product(a, b, c)
  local quotient, rest, bit = 0, 0, 4503599627370496
  local whole, part = math.floor(b / c), b % c
  repeat
    -- Doubling is exact. A sum of remainders might not be, so they are compared first.
    quotient, rest = 2 * quotient, 2 * rest
    if rest >= c then quotient, rest = quotient + 1, rest - c end
    if a >= bit then
      a, quotient = a - bit, quotient + whole
      if rest >= c - part then quotient, rest = quotient + 1, rest - (c - part) else rest = rest + part end
    end
    bit = bit / 2
  until bit < 1
  return quotient, rest
end

-- The missing amount is kept, up to twice the capacity, and refills at the new rate.
function token_bucket.carry(state, now, before, rule)
  local units, part = divided_product(state.full - now, before.limit, before.period)
  units, part = units + math.floor(state.rest / before.period), part + state.rest % before.period
  if part >= before.period then units, part = units + 1, part - before.period end
  if units >= MOST_CHARGED then units, part = MOST_CHARGED, 0 end
  local full, rest = divided_product(units, rule.period, rule.limit)
  local more, over = divided_product(part, rule.period, before.period)
  if over > 0 then more = more + 1 end
  full, rest = add(now + full, rest, math.floor(more / rule.limit), more % rule.limit, rule.limit)
  local once, once_rest = add(now, 0, rule.length, rule.length_rest, rule.limit)
  local twice, twice_rest = add(once, once_rest, rule.length, rule.length_rest, rule.limit)
  if is_after(full, rest, twice, twice_rest) then full, rest = twice, twice_rest end
  return { full = full, rest = rest }
end

-- Whether the cost fits, and the time until the bucket is full, as a pair.
function token_bucket.decide(state, now, cost, rule)
  local fits
  local once, once_rest = add(now, 0, rule.length, rule.length_rest, rule.limit)
  if cost == 0 then
    fits = not is_after(state.full, state.rest, once, once_rest)
  else
    local after, after_rest = add(state.full, state.rest, rule.refill, rule.refill_rest, rule.limit)
    fits = not is_after(after, after_rest, once, once_rest)
  end
  return fits, state.full - now, state.rest
end

function token_bucket.charge(state, now, cost, rule)
  state.full, state.rest = add(state.full, state.rest, rule.refill, rule.refill_rest, rule.limit)
end

function token_bucket.penalty(state, now, cost, rule)
  token_bucket.charge(state, now, cost, rule)
  local once, once_rest = add(now, 0, rule.length, rule.length_rest, rule.limit)
  local twice, twice_rest = add(once, once_rest, rule.length, rule.length_rest, rule.limit)
  if is_after(state.full, state.rest, twice, twice_rest) then state.full, state.rest = twice, twice_rest end
end

function token_bucket.reward(state, now, amount, rule)
  local least, least_rest = add(now, 0, rule.refill, rule.refill_rest, rule.limit)
  if not is_after(state.full, state.rest, least, least_rest) then
    state.full, state.rest = now, 0
    return
  end
  state.full, state.rest = state.full - rule.refill, state.rest - rule.refill_rest
  if state.rest < 0 then state.full, state.rest = state.full - 1, state.rest + rule.limit end
end

function token_bucket.expires(state, rule)
  return state.full + (state.rest > 0 and 1 or 0)
end
