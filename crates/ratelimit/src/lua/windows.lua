-- Several conservative sliding windows, charged together or not at all. Same as
-- src/algorithm/windows.rs.
--
-- State: <B number of windows>, then for each <I7 period, µs><I4 length in bytes> and the bytes of
-- sliding_window.lua. Rule: number of windows, then for each limit, period in µs, length of a
-- segment in µs.
local windows = { letter = 'w', kept_bytes = 0 }

local WINDOW, WINDOW_BYTES = '<I7I4', 11

function windows.rule(argv, first)
  local rule = {}
  for nth = 1, tonumber(argv[first]) do
    rule[nth] = sliding_window.rule(argv, first + 3 * nth - 2)
  end
  return rule
end

-- The periods are stored in the state itself.
function windows.keep(rule)
  return ''
end

-- The windows of the rule, in its order. A window with a new period has nothing charged.
function windows.read(bytes, at, now, rule)
  local kept, state = {}, {}
  if #bytes >= at then
    local next_at = at + 1
    for nth = 1, string.byte(bytes, at) do
      local period, length = struct.unpack(WINDOW, bytes, next_at)
      next_at = next_at + WINDOW_BYTES + length
      kept[period] = string.sub(bytes, next_at - length, next_at - 1)
    end
  end
  for nth = 1, #rule do
    state[nth] = sliding_window.read(kept[rule[nth].period] or '', 1)
    state[nth].period = rule[nth].period
  end
  return state
end

function windows.write(state)
  local parts = { string.char(#state) }
  for nth = 1, #state do
    local bytes = sliding_window.write(state[nth])
    parts[#parts + 1] = struct.pack(WINDOW, state[nth].period, #bytes)
    parts[#parts + 1] = bytes
  end
  return table.concat(parts)
end

-- Updates the state to `now`.
function windows.settle(state, now, rule)
  for nth = 1, #rule do sliding_window.settle(state[nth], now, rule[nth]) end
end

-- Whether the cost fits all windows; then for the binding window: its number from 0, the usage, the
-- time until it is zero, and the time until the cost fits. If windows refuse, the binding one has
-- the longest wait; otherwise it has the least remaining.
function windows.decide(state, now, cost, rule)
  local all_fit, binding, used, reset, retry, left = true, 0, 0, 0, 0, 0
  for nth = 1, #rule do
    local fits, in_use, own_reset, own_retry = sliding_window.decide(state[nth], now, cost, rule[nth])
    local own_left, binds = math.max(rule[nth].limit - in_use, 0), nth == 1
    if not binds then
      if all_fit and fits then binds = own_left < left else binds = not fits and (all_fit or own_retry > retry) end
    end
    if binds then binding, used, reset, retry, left = nth - 1, in_use, own_reset, own_retry, own_left end
    all_fit = all_fit and fits
  end
  return all_fit, binding, used, reset, retry
end

function windows.charge(state, now, cost, rule)
  for nth = 1, #rule do sliding_window.charge(state[nth], now, cost, rule[nth]) end
end

function windows.penalty(state, now, cost, rule)
  for nth = 1, #rule do sliding_window.penalty(state[nth], now, cost, rule[nth]) end
end

function windows.reward(state, now, amount, rule)
  for nth = 1, #rule do sliding_window.reward(state[nth], now, amount, rule[nth]) end
end

function windows.expires(state, rule)
  local ends = 0
  for nth = 1, #rule do ends = math.max(ends, sliding_window.expires(state[nth], rule[nth])) end
  return ends
end
