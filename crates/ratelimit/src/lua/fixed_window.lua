-- Fixed window: one counter that starts again at each multiple of the period. src/algorithm/fixed_window.rs says the
-- same in Rust.
--
-- State: <I7 start of the window, µs><I7 used>. Rule: limit, period in µs.
local fixed_window = { letter = 'f', kept_bytes = 7 }

local FIXED_WINDOW = '<I7I7'

function fixed_window.rule(argv, first)
  return { limit = tonumber(argv[first]), period = tonumber(argv[first + 1]) }
end

-- What of the rule the state means something under.
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

-- Makes the state what it is at `now`.
function fixed_window.settle(state, now, rule)
  local start = now - now % rule.period
  if now < state.start then
    -- Set back by more than a period: the usage moves into the window that the clock shows now.
    if state.start - now > rule.period then state.start = start end
  elseif start > state.start then
    state.start, state.used = start, 0
  end
end

-- What was charged in the old period's window counts in the window under way.
function fixed_window.carry(state, now, before, rule)
  return { start = now - now % rule.period, used = state.used }
end

-- Whether the cost fits, what is used, and how long until the next window.
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
