-- Conservative sliding window: a segment counts in full until all of it is older than the period.
-- Same as src/algorithm/sliding_window.rs.
--
-- State: <I7 start of the newest segment, µs><I7 used>, then for each segment, oldest first, <I7
-- last charge, µs><I7 used>. The string is only cut at its ends and never split: a check reads the
-- expired segments and the newest one.
--
-- The time of a lease's charge is the lease's end, so it may be in the future. Its segment is
-- before the newest one, whose time is never in the future, because time is relative to the newest
-- segment. All others are ordered by time.
--
-- The times of leases and debits are rounded up to the next multiple of a segment's length, so that
-- those of one multiple share a segment. Besides them each length has at most one segment of
-- checks, so a period has at most twice its segments, and some in the future.
--
-- Rule: limit, period in µs, length of a segment in µs.
local sliding_window = { letter = 's', kept_bytes = 7 }

local SEGMENT, SEGMENT_BYTES = '<I7I7', 14

function sliding_window.rule(argv, first)
  return { limit = tonumber(argv[first]), period = tonumber(argv[first + 1]), segment = tonumber(argv[first + 2]) }
end

-- The part of the rule on which the state depends.
function sliding_window.keep(rule)
  return struct.pack('<I7', rule.period)
end

function sliding_window.kept(bytes, at)
  return { period = struct.unpack('<I7', bytes, at) }
end

-- Reads the newest segment, which every check needs: its position (before `first` if there is
-- none), its last charge and its usage.
function sliding_window.note_newest(state)
  state.newest = #state.bytes - SEGMENT_BYTES + 1
  if state.newest >= state.first then
    state.last, state.charged = struct.unpack(SEGMENT, state.bytes, state.newest)
  end
end

-- `first` is the position of the oldest segment.
function sliding_window.read(bytes, at)
  if #bytes < at then return { bytes = '', begun = 0, used = 0, first = 1, newest = 1 - SEGMENT_BYTES } end
  local state = { bytes = bytes }
  state.begun, state.used, state.first = struct.unpack(SEGMENT, bytes, at)
  sliding_window.note_newest(state)
  return state
end

function sliding_window.write(state)
  return struct.pack(SEGMENT, state.begun, state.used) .. string.sub(state.bytes, state.first)
end

-- The window's view of time, never before the last charge, and how far the clock is behind it.
-- After a step back of more than a period the second value is zero: the last charge counts as made
-- now.
function sliding_window.view_of(state, now, rule)
  if state.newest < state.first then return now, 0 end
  local view = math.max(state.last, now)
  local lag = view - now
  return view, lag > rule.period and 0 or lag
end

-- Applies the clock's step back to the state, so that the view equals real time again.
local function follow_clock(state, now, rule)
  local view, lag = sliding_window.view_of(state, now, rule)
  local step = view - now - lag
  if step == 0 then return end
  local moved = {}
  for at = state.first, state.newest, SEGMENT_BYTES do
    local last, used = struct.unpack(SEGMENT, state.bytes, at)
    moved[#moved + 1] = struct.pack(SEGMENT, math.max(last - step, 0), used)
  end
  state.begun, state.bytes, state.first = math.max(state.begun - step, 0), table.concat(moved), 1
  sliding_window.note_newest(state)
end

-- The usage at `view`, and the position of the first segment that still counts.
local function live(state, view, rule)
  local used = state.used
  for at = state.first, state.newest, SEGMENT_BYTES do
    local last, charged = struct.unpack(SEGMENT, state.bytes, at)
    if view - last < rule.period then return used, at end
    used = used - charged
  end
  return 0, state.newest + SEGMENT_BYTES
end

-- Time of the last charge, or of a lease's end.
local function latest(state)
  if state.newest - SEGMENT_BYTES < state.first then return state.last end
  local before = struct.unpack('<I7', state.bytes, state.newest - SEGMENT_BYTES)
  return state.charged == 0 and before or math.max(state.last, before)
end

-- Updates the state to `now`. `used` and `first` are correct afterwards, through charges and
-- refunds.
function sliding_window.settle(state, now, rule)
  follow_clock(state, now, rule)
  state.used, state.first = live(state, sliding_window.view_of(state, now, rule), rule)
end

-- Charges keep their times.
function sliding_window.carry(state, now, before, rule)
  return state
end

-- Whether the cost fits, the usage, the time until it is zero, and the time until the cost fits.
-- Requires a settled state.
function sliding_window.decide(state, now, cost, rule)
  local view, lag = sliding_window.view_of(state, now, rule)
  local used, reset = state.used, 0
  if used > 0 then reset = rule.period - (view - latest(state)) + lag end
  if cost <= math.max(rule.limit - used, 0) then return true, used, reset, 0 end
  local left, date = used, 0
  for at = state.first, state.newest, SEGMENT_BYTES do
    local last, charged = struct.unpack(SEGMENT, state.bytes, at)
    left, date = left - charged, math.max(date, last)
    if left <= rule.limit - cost then return false, used, reset, rule.period - (view - date) + lag end
  end
  return false, used, reset, reset
end

-- Charges the newest segment, or begins a new one if the charge fits no segment.
function sliding_window.charge_newest(state, view, cost, rule)
  local kept, charged = string.sub(state.bytes, state.first), 0
  if state.newest < state.first then
    state.begun = view
  else
    if view - state.begun < rule.segment then
      kept, charged = string.sub(state.bytes, state.first, state.newest - 1), state.charged
    else
      state.begun = view
      -- Moves the previously newest segment to its position by time.
      local at = state.newest
      while at > state.first and struct.unpack('<I7', state.bytes, at - SEGMENT_BYTES) > state.last do at = at - SEGMENT_BYTES end
      if at < state.newest then
        kept = string.sub(state.bytes, state.first, at - 1)
          .. string.sub(state.bytes, state.newest)
          .. string.sub(state.bytes, at, state.newest - 1)
      end
    end
  end
  state.last, state.charged = view, charged + cost
  state.bytes, state.used = kept .. struct.pack(SEGMENT, view, state.charged), state.used + cost
  state.first, state.newest = 1, #kept + 1
end

function sliding_window.charge(state, now, cost, rule)
  if cost > 0 then sliding_window.charge_newest(state, sliding_window.view_of(state, now, rule), cost, rule) end
end

function sliding_window.expires(state, rule)
  if state.newest < state.first then return 0 end
  return latest(state) + rule.period
end
