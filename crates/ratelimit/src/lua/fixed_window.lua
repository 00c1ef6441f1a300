-- Fixed window: one counter that is reset at each multiple of the period. Same as
-- src/algorithm/fixed_window.rs.
--
-- State: <I7 start of the window, µs><I7 used>. Rule: limit, period in µs.
local fixed_window = { letter = 'f', kept_bytes = 7 }

local FIXED_WINDOW = '<I7I7'

function fixed_window.rule(argv, first)
  return { limit = tonumber(argv[first]), period = tonumber(argv[first + 1]) }
end

-- The part of the rule on which the state depends.
function fixed_window.keep(rule)
  return struct.pack('<I7', rule.period)
end

function fixed_window.kept(bytes, at)
  return { period = struct.unpack('<I7', bytes, at) }
end

function fixed_window.read(bytes, at, now, rule)
  if #bytes < at then return { start = now - now % rule.period, used = 0 } end
  local start, used = struct.unpack(FIXED_WINDOW, bytes, at)
  return { start = start, used = used }
end

function fixed_window.write(state)
  return struct.pack(FIXED_WINDOW, state.start, state.used)
end

-- Updates the state to `now`.
function fixed_window.settle(state, now, rule)
  local start = now - now % rule.period
  if now < state.start then
    -- Set back by more than a period: the usage moves into the clock's current window.
    if state.start - now > rule.period then state.start = start end
  elseif start > state.start then
    state.start, state.used = start, 0
  end
end

-- The usage of the old period's window counts in the current window.
function fixed_window.carry(state, now, before, rule)
  return { start = now - now % rule.period, used = state.used }
end

-- Whether the cost fits, the usage, and the time until the next window.
function fixed_window.decide(state, now, cost, rule)
  return cost <= math.max(rule.limit - state.used, 0), state.used, math.max(state.start + rule.period - now, 0)
end

function fixed_window.charge(state, now, cost, rule)
  state.used = state.used + cost
end

function fixed_window.penalty(state, now, cost, rule)
  state.used = state.used + math.min(cost, math.max(math.min(2 * rule.limit, MOST_CHARGED) - state.used, 0))
end

function fixed_window.reward(state, now, amount, rule)
  state.used = math.max(state.used - amount, 0)
end

function fixed_window.expires(state, rule)
  return state.start + rule.period
end
