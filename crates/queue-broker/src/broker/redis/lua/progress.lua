-- Stores the progress of a leased job. A run with more progress than all before it resets the count
-- of lost leases. A full server keeps the old message if the new one is longer, and counts the new
-- one.
-- KEYS  meta, lease, state, events
-- ARGV  id, "delivery nonce", percent, message
-- Returns 1 if the lease is held, else 0.
local id, percent = ARGV[1], tonumber(ARGV[3])
if not held_by(id, ARGV[2]) then
  return 0
end
local state = load_state(id)
if percent > (state.furthest or 0) then
  state.furthest = percent
  state.lost = nil
end
state.percent = percent
if FULL and #(state.message or '') < #ARGV[4] then
  redis.call('HINCRBY', K.meta, 'dropped', 1)
else
  state.message = ARGV[4]
end
save_state(id, state)
add_event(now_ms(), id, 'progress ' .. ARGV[3])
return 1
