-- Cancels a job, or makes one ready that waits or has ended.
-- KEYS  meta, job, latest, state, lease, ended, back, tomb, delayed, dead, cancelled, wake, ready0 … ready4
-- ARGV  id; cancel or retry
-- Returns applied, requested, missing, or the state that does not allow it.
local id = ARGV[1]
local now = now_ms()
local envelope = redis.call('HGET', K.job, id)
if not envelope then
  return 'missing'
end
local seq, created, _, level = head(envelope)
local where, _, token = standing(id, envelope)
local state = load_state(id)
local member = place(seq, level, id)

if ARGV[2] == 'cancel' then
  if where == 'leased' then
    state.cancel = true
    save_state(id, state)
    return 'requested'
  elseif where == 'delayed' then
    redis.call('ZREM', K.delayed, member)
  elseif where == 'ready' then
    if redis.call('ZREM', K.back, member) == 0 then
      -- Taking it out of a long list would take long: it stays, marked, unless it is the first.
      local list = K['ready' .. level]
      if redis.call('LINDEX', list, 0) ~= id then
        redis.call('HSET', K.tomb, id, whole(created) .. ' ' .. whole(seq))
      else
        redis.call('LPOP', list)
        for _ = 1, CHUNK do
          local front = redis.call('LINDEX', list, 0)
          if not front or redis.call('HDEL', K.tomb, front) == 0 then
            break
          end
          redis.call('LPOP', list)
        end
      end
    end
  else
    return where
  end
  redis.call('ZADD', K.cancelled, whole(now), id)
  return 'applied'
end

if where == 'delayed' then
  redis.call('ZREM', K.delayed, member)
elseif where == 'dead' or where == 'cancelled' then
  redis.call('ZREM', K[where], id)
  if token then
    redis.call('HSET', K.latest, id, string.match(token, '^%d+') .. ' -')
  end
  state.failures, state.lost, state.cancel, state.percent, state.message = nil, nil, nil, nil, nil
else
  return where
end
state.note = nil
postpone(id, seq, level, state, now, now)
save_state(id, state)
return 'applied'
