-- Conservative sliding window: a segment counts in full until all of it is older than the period.
-- src/algorithm/sliding_window.rs says the same in Rust.
--
-- State: <I7 begin of the newest segment, µs><I7 used>, then for each segment, oldest first, <I7 last charge, µs>
-- <I7 used>. The string is cut at its ends and never taken apart: a check reads the segments that leave and the newest.
-- Rule: limit, period in µs, length of a segment in µs.
local sliding_window = { letter = 's', kept_bytes = 7 }

local SEGMENT, SEGMENT_BYTES = '<I7I7', 14

function sliding_window.rule(argv, first)
  return { limit = tonumber(argv[first]), period = tonumber(argv[first + 1]), segment = tonumber(argv[first + 2]) }
end

-- What of the rule the state means something under.
function sliding_window.keep(rule)
  return struct.pack('<I7', rule.period)
end

function sliding_window.kept(bytes, at)
  return { period = struct.unpack('<I7', bytes, at) }
end

-- `first` is where the oldest segment begins, `newest` where the newest does: before `first` when there is none.
function sliding_window.read(bytes, at)
  if #bytes < at then return { bytes = '', begun = 0, used = 0, first = 1, newest = 1 - SEGMENT_BYTES } end
  local begun, used, first = struct.unpack(SEGMENT, bytes, at)
  return { bytes = bytes, begun = begun, used = used, first = first, newest = #bytes - SEGMENT_BYTES + 1 }
end

function sliding_window.write(state)
  return struct.pack(SEGMENT, state.begun, state.used) .. string.sub(state.bytes, state.first)
end

-- The window's view of time, never before the last charge, and by how much the clock lags behind it. After a step back
-- of more than a period there is no lag: the last charge counts as made now.
local function view_of(state, now, rule)
  if state.newest < state.first then return now, 0 end
  local view = math.max(struct.unpack('<I7', state.bytes, state.newest), now)
  local lag = view - now
  return view, lag > rule.period and 0 or lag
end

-- Moves the clock's step back into the state, so that the view is real time again.
local function follow_clock(state, now, rule)
  local view, lag = view_of(state, now, rule)
  local step = view - now - lag
  if step == 0 then return end
  local moved = {}
  for at = state.first, state.newest, SEGMENT_BYTES do
    local last, used = struct.unpack(SEGMENT, state.bytes, at)
    moved[#moved + 1] = struct.pack(SEGMENT, math.max(last - step, 0), used)
  end
  state.begun, state.bytes = math.max(state.begun - step, 0), table.concat(moved)
  state.first, state.newest = 1, #state.bytes - SEGMENT_BYTES + 1
end

-- What is in use at `view`, and where the first segment begins that still counts.
local function live(state, view, rule)
  local used = state.used
  for at = state.first, state.newest, SEGMENT_BYTES do
    local last, charged = struct.unpack(SEGMENT, state.bytes, at)
    if view - last < rule.period then return used, at end
    used = used - charged
  end
  return 0, state.newest + SEGMENT_BYTES
end

-- Makes the state what it is at `now`.
function sliding_window.settle(state, now, rule)
  follow_clock(state, now, rule)
  state.used, state.first = live(state, view_of(state, now, rule), rule)
end

-- The charges keep their dates.
function sliding_window.carry(state, now, before, rule)
  return state
end

-- Whether the cost fits, what is used, how long until nothing is, and how long until the cost fits.
function sliding_window.decide(state, now, cost, rule)
  local view, lag = view_of(state, now, rule)
  local used, first = live(state, view, rule)
  local reset = 0
  if used > 0 then reset = rule.period - (view - struct.unpack('<I7', state.bytes, state.newest)) + lag end
  if cost <= math.max(rule.limit - used, 0) then return true, used, reset, 0 end
  local left = used
  for at = first, state.newest, SEGMENT_BYTES do
    local last, charged = struct.unpack(SEGMENT, state.bytes, at)
    left = left - charged
    if left <= rule.limit - cost then return false, used, reset, rule.period - (view - last) + lag end
  end
  return false, used, reset, reset
end

function sliding_window.charge(state, now, cost, rule)
  if cost == 0 then return end
  local view = view_of(state, now, rule)
  local kept, charged = string.sub(state.bytes, state.first), 0
  if state.newest >= state.first and view - state.begun < rule.segment then
    local _, before = struct.unpack(SEGMENT, state.bytes, state.newest)
    kept, charged = string.sub(state.bytes, state.first, state.newest - 1), before
  else
    state.begun = view
  end
  state.bytes, state.used = kept .. struct.pack(SEGMENT, view, charged + cost), state.used + cost
  state.first, state.newest = 1, #state.bytes - SEGMENT_BYTES + 1
end

function sliding_window.penalty(state, now, cost, rule)
  local room = math.max(math.min(2 * rule.limit, MOST_CHARGED) - state.used, 0)
  sliding_window.charge(state, now, math.min(cost, room), rule)
end

function sliding_window.reward(state, now, amount, rule)
  local left = math.min(amount, state.used)
  state.used = state.used - left
  while left > 0 do
    local last, charged = struct.unpack(SEGMENT, state.bytes, state.newest)
    local kept = math.max(charged - left, 0)
    left = left - (charged - kept)
    state.bytes = string.sub(state.bytes, 1, state.newest - 1)
    if kept > 0 then
      state.bytes = state.bytes .. struct.pack(SEGMENT, last, kept)
    else
      -- The segment that is now the newest has another beginning, which isn't kept: the next charge begins its own.
      state.newest, state.begun = state.newest - SEGMENT_BYTES, 0
    end
  end
end

function sliding_window.expires(state, rule)
  if state.newest < state.first then return 0 end
  return struct.unpack('<I7', state.bytes, state.newest) + rule.period
end
