-- Changes of a sliding window other than checks: leases, debits, penalties and rewards. Separate
-- from sliding_window.lua, whose functions each check defines again.

local function next_multiple(date, rule)
  local over = date % rule.segment
  return over > 0 and date + rule.segment - over or date
end

-- Charges before the newest segment, in the segment of that time or in a new one.
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

-- Charges an amount that is admitted before `ends` and counts as charged then. Must follow a
-- charge.
function sliding_window.charge_until(state, now, amount, ends, rule)
  charge_dated(state, next_multiple(ends + sliding_window.view_of(state, now, rule) - now, rule), amount)
end

-- Charges an amount that was admitted at an earlier time.
function sliding_window.charge_at(state, now, date, amount, rule)
  local view = sliding_window.view_of(state, now, rule)
  date = date + view - now
  if view - date >= rule.period then return end
  amount = math.min(amount, math.max(math.min(2 * rule.limit, MOST_CHARGED) - state.used, 0))
  if amount == 0 then return end
  date = next_multiple(date, rule)
  -- Its segment is before the newest. If none is as late, an empty one with the current time is
  -- added.
  if state.newest < state.first or date > state.last then
    sliding_window.charge_newest(state, view, 0, rule)
  end
  charge_dated(state, date, amount)
end

function sliding_window.penalty(state, now, cost, rule)
  local room = math.max(math.min(2 * rule.limit, MOST_CHARGED) - state.used, 0)
  sliding_window.charge(state, now, math.min(cost, room), rule)
end

function sliding_window.reward(state, now, amount, rule)
  local left, view = math.min(amount, state.used), sliding_window.view_of(state, now, rule)
  state.used = state.used - left
  while left > 0 do
    local kept = math.max(state.charged - left, 0)
    left = left - (state.charged - kept)
    state.bytes = string.sub(state.bytes, 1, state.newest - 1)
    if kept > 0 then
      state.bytes = state.bytes .. struct.pack(SEGMENT, state.last, kept)
    else
      -- The start of the segment that is now the newest is not stored. The next charge begins a new
      -- one.
      state.begun = 0
    end
    sliding_window.note_newest(state)
  end
  if state.newest >= state.first and state.last > view then
    -- The rest of a lease: time must not be relative to its end.
    state.bytes, state.begun = state.bytes .. struct.pack(SEGMENT, view, 0), view
    sliding_window.note_newest(state)
  end
end
