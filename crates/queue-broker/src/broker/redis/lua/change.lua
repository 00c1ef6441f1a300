-- Cancels a job, or makes a waiting or ended one ready.
-- KEYS  meta, job, latest, state, lease, ended, back, tomb, delayed, dead, cancelled, wake, those
--       of links, ready0 … ready4
-- ARGV  id; cancel or retry
-- Returns applied, requested, missing, or the state that does not allow it.
local id = ARGV[1]
local now = now_ms()
local envelope = redis.call('HGET', K.job, id)
if not envelope then
  return 'missing'
end
local where, _, token = standing(id, envelope)

if ARGV[2] == 'cancel' then
  if where == 'leased' then
    local state = load_state(id)
    state.cancel = true
    save_state(id, state)
    return 'requested'
  elseif where ~= 'ready' and where ~= 'delayed' and where ~= 'waiting' then
    return where
  end
  give_up(id, envelope, nil, now)
  take_out(id, envelope, where)
  return 'applied'
end
if where ~= 'delayed' and where ~= 'dead' and where ~= 'cancelled' then
  return where
end
revive(id, envelope, where, token, now)
return 'applied'
