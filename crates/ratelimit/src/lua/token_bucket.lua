-- Token bucket, as the generic cell rate algorithm. src/algorithm/token_bucket.rs says the same in Rust.
--
-- Moments and spans are pairs of whole µs and a rest in 1/limit µs, so that the rate has no rounding error and no number
-- leaves the 2^53 that Lua counts exactly.
--
-- State: <I7 when the bucket will be full, µs><I7 rest>. Rule: limit, time to fill the whole bucket (µs, rest), time to
-- refill the cost (µs, rest).
local token_bucket = { letter = 't' }

local TOKEN_BUCKET = '<I7I7'

function token_bucket.rule(argv, first)
  local rule = { limit = tonumber(argv[first]) }
  rule.length, rule.length_rest = tonumber(argv[first + 1]), tonumber(argv[first + 2])
  rule.refill, rule.refill_rest = tonumber(argv[first + 3]), tonumber(argv[first + 4])
  return rule
end

-- The sum of two pairs. The rests are compared before they are added: their sum might not be exact.
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
  -- Kept under a greater limit: off by less than a microsecond.
  return { full = full, rest = math.min(rest, rule.limit - 1) }
end

function token_bucket.write(state)
  return struct.pack(TOKEN_BUCKET, state.full, state.rest)
end

-- Makes the state what it is at `now`.
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

-- Whether the cost fits, and how long until the bucket is full, as a pair.
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
