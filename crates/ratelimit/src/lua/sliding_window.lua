-- Conservative sliding window: a segment counts in full until all of it is older than the period.
-- src/algorithm/sliding_window.rs says the same in Rust.
--
-- State: <I7 begin of the newest segment, µs><I7 used>, then for each segment, oldest first, <I7 last charge, µs>
-- <I7 used>. The string is cut at its ends and never taken apart: a check reads the segments that leave and the newest.
-- A lease's charge is dated at the lease's end, so it may lie in the future. Its segment stands before the newest one, which
-- never does: time is seen from the newest. All but the newest are in the order of their dates.
-- Leases and debits are dated up to the next multiple of a segment's length, so that those of one multiple share a segment:
-- beside them each length has at most one of its own charges, so a period has at most twice its segments, and some ahead.
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

-- When the last charge was made, or a lease ends.
local function latest(state)
  local last, charged = struct.unpack(SEGMENT, state.bytes, state.newest)
  if state.newest - SEGMENT_BYTES < state.first then return last end
  local before = struct.unpack('<I7', state.bytes, state.newest - SEGMENT_BYTES)
  return charged == 0 and before or math.max(last, before)
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
  if used > 0 then reset = rule.period - (view - latest(state)) + lag end
  if cost <= math.max(rule.limit - used, 0) then return true, used, reset, 0 end
  local left, date = used, 0
  for at = first, state.newest, SEGMENT_BYTES do
    local last, charged = struct.unpack(SEGMENT, state.bytes, at)
    left, date = left - charged, math.max(date, last)
    if left <= rule.limit - cost then return false, used, reset, rule.period - (view - date) + lag end
  end
  return false, used, reset, reset
end

-- Charges the newest segment, which begins here where there is none to join.
local function charge_newest(state, view, cost, rule)
  local kept, charged = string.sub(state.bytes, state.first), 0
  if state.newest < state.first then
    state.begun = view
  else
    local last, before = struct.unpack(SEGMENT, state.bytes, state.newest)
    if view - state.begun < rule.segment then
      kept, charged = string.sub(state.bytes, state.first, state.newest - 1), before
    else
      state.begun = view
      -- It takes its place among those that it isn't the newest of any more.
      local at = state.newest
      while at > state.first and struct.unpack('<I7', state.bytes, at - SEGMENT_BYTES) > last do at = at - SEGMENT_BYTES end
      if at < state.newest then
        kept = string.sub(state.bytes, state.first, at - 1)
          .. string.sub(state.bytes, state.newest)
          .. string.sub(state.bytes, at, state.newest - 1)
      end
    end
  end
  state.bytes, state.used = kept .. struct.pack(SEGMENT, view, charged + cost), state.used + cost
  state.first, state.newest = 1, #state.bytes - SEGMENT_BYTES + 1
end

function sliding_window.charge(state, now, cost, rule)
  if cost > 0 then charge_newest(state, view_of(state, now, rule), cost, rule) end
end

local function next_multiple(date, rule)
  local over = date % rule.segment
  return over > 0 and date + rule.segment - over or date
end

-- Charges before the newest segment, in the one of that date or in its own.
local function charge_dated(state, date, amount)
  local at, charged = state.newest, 0
  while at > state.first and struct.unpack('<I7', state.bytes, at - SEGMENT_BYTES) > date do at = at - SEGMENT_BYTES end
  local kept = string.sub(state.bytes, 1, at - 1)
  if at > state.first then
    local last, before = struct.unpack(SEGMENT, state.bytes, at - SEGMENT_BYTES)
    if last == date then kept, charged = string.sub(state.bytes, 1, at - SEGMENT_BYTES - 1), before end
  end
  state.bytes = kept .. struct.pack(SEGMENT, date, charged + amount) .. string.sub(state.bytes, at)
  state.used, state.newest = state.used + amount, #state.bytes - SEGMENT_BYTES + 1
end

-- Charges what is admitted by `ends` at the latest, and so counts as charged then. Right behind a charge.
function sliding_window.charge_until(state, now, amount, ends, rule)
  charge_dated(state, next_multiple(ends + view_of(state, now, rule) - now, rule), amount)
end

-- Charges what was admitted at an earlier date.
function sliding_window.charge_at(state, now, date, amount, rule)
  local view = view_of(state, now, rule)
  date = date + view - now
  if view - date >= rule.period then return end
  amount = math.min(amount, math.max(math.min(2 * rule.limit, MOST_CHARGED) - state.used, 0))
  if amount == 0 then return end
  date = next_multiple(date, rule)
  -- It stands before the newest: one of now, which may be empty, where there is none as late.
  if state.newest < state.first or date > struct.unpack('<I7', state.bytes, state.newest) then
    charge_newest(state, view, 0, rule)
  end
  charge_dated(state, date, amount)
end

function sliding_window.penalty(state, now, cost, rule)
  local room = math.max(math.min(2 * rule.limit, MOST_CHARGED) - state.used, 0)
  sliding_window.charge(state, now, math.min(cost, room), rule)
end

function sliding_window.reward(state, now, amount, rule)
  local left, view = math.min(amount, state.used), view_of(state, now, rule)
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
  if state.newest >= state.first and struct.unpack('<I7', state.bytes, state.newest) > view then
    -- What is left of a lease: time is not to be seen from its end.
    state.bytes, state.begun = state.bytes .. struct.pack(SEGMENT, view, 0), view
    state.newest = state.newest + SEGMENT_BYTES
  end
end

function sliding_window.expires(state, rule)
  if state.newest < state.first then return 0 end
  return latest(state) + rule.period
end
