-- Approximate sliding window counter. Same as src/algorithm/sliding_counter.rs.
--
-- State: <I7 start of the window, µs><I7 used><I7 used of the previous one>. Rule: limit, period in
-- µs.
local sliding_counter = { letter = 'c', kept_bytes = 7 }

local SLIDING_COUNTER, PARTS = '<I7I7I7', 256

function sliding_counter.rule(argv, first)
  return { limit = tonumber(argv[first]), period = tonumber(argv[first + 1]) }
end

-- The part of the rule on which the state depends.
function sliding_counter.keep(rule)
  return struct.pack('<I7', rule.period)
end

function sliding_counter.kept(bytes, at)
  return { period = struct.unpack('<I7', bytes, at) }
end

function sliding_counter.read(bytes, at, now, rule)
  if #bytes < at then return { start = now - now % rule.period, used = 0, before = 0 } end
  local start, used, before = struct.unpack(SLIDING_COUNTER, bytes, at)
  return { start = start, used = used, before = before }
end

function sliding_counter.write(state)
  return struct.pack(SLIDING_COUNTER, state.start, state.used, state.before)
end

-- Updates the state to `now`.
function sliding_counter.settle(state, now, rule)
  local start = now - now % rule.period
  if now < state.start then
    -- Set back by more than a period: the usage moves into the clock's current window.
    if state.start - now > rule.period then state.start = start end
  elseif start > state.start then
    state.before = start - state.start == rule.period and state.used or 0
    state.start, state.used = start, 0
  end
end

-- `parts` / 256 of `used`, rounded up. No product exceeds 2^53, so all are exact.
local function share(used, parts)
  return math.floor(used / PARTS) * parts + math.ceil(used % PARTS * parts / PARTS)
end

-- Maximum number of parts of `used` that fit into `room`.
local function most_parts(used, room)
  local fits, too_many = 0, PARTS + 1
  while too_many - fits > 1 do
    local middle = math.floor((fits + too_many) / 2)
    if share(used, middle) <= room then fits = middle else too_many = middle end
  end
  return fits
end

-- Time after a window's start at which at most `parts` of the previous one are in the last period.
local function until_parts(parts, rule)
  return rule.period - math.floor(parts * rule.period / PARTS)
end

local function used_at(state, now, rule)
  local left = rule.period - math.max(now - state.start, 0)
  return state.used + share(state.before, math.floor((left * PARTS + rule.period - 1) / rule.period))
end

-- The usage in the old period counts as charged in the current window.
function sliding_counter.carry(state, now, before, rule)
  return { start = now - now % rule.period, used = used_at(state, now, before), before = 0 }
end

-- Whether the cost fits, the usage, the time until it is zero, and the time until the cost fits.
function sliding_counter.decide(state, now, cost, rule)
  local used = used_at(state, now, rule)
  local function after(since_start) return math.max(state.start + since_start - now, 0) end
  local reset = 0
  if used > 0 then reset = after(state.used > 0 and 2 * rule.period or rule.period) end
  if cost <= math.max(rule.limit - used, 0) then return true, used, reset, 0 end
  local room = rule.limit - cost
  if state.used <= room then
    return false, used, reset, after(until_parts(most_parts(state.before, room - state.used), rule))
  end
  return false, used, reset, after(rule.period + until_parts(most_parts(state.used, room), rule))
end

function sliding_counter.charge(state, now, cost, rule)
  state.used = state.used + cost
end

function sliding_counter.penalty(state, now, cost, rule)
  local room = math.max(math.min(2 * rule.limit, MOST_CHARGED) - used_at(state, now, rule), 0)
  state.used = state.used + math.min(cost, room)
end

function sliding_counter.reward(state, now, amount, rule)
  state.used = math.max(state.used - amount, 0)
end

function sliding_counter.expires(state, rule)
  local windows = state.used > 0 and 2 or state.before > 0 and 1 or 0
  return state.start + windows * rule.period
end
