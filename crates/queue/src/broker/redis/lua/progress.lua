-- Stores how far a leased job has come. A run that comes further than all before it forgets the leases lost.
-- A full server keeps the message before, if the new one is longer, and counts the new one.
-- KEYS  meta, lease, state, events
-- ARGV  id, "delivery nonce", percent, message
-- Returns 1 where the lease is held, else 0.
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
tell(now_ms(), id, 'progress ' .. ARGV[3])
return 1
