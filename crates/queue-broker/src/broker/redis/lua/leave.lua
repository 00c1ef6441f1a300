-- Removes a job from the place where it waits to start; `where` is the result of standing().
-- Returns whether a job that replaces it would leave a tombstone in the list when it is replaced in
-- turn. If so, it goes elsewhere.
local function take_out(id, envelope, where)
  local seq, created, _, level = head(envelope)
  local member = place(seq, level, id)
  if where == 'delayed' then
    redis.call('ZREM', K.delayed, member)
  elseif where == 'waiting' then
    redis.call('ZREM', K.waiting, member)
    redis.call('ZREM', K.behind, links(envelope).o .. '\0' .. member)
  elseif redis.call('ZREM', K.back, member) == 1 then
    return true
  else
    -- Removal from a long list is slow. So the element stays, marked, unless it is the first.
    local list = K['ready' .. level]
    if redis.call('LINDEX', list, 0) ~= id then
      redis.call('HSET', K.tomb, id, whole(created) .. ' ' .. whole(seq))
      return true
    end
    redis.call('LPOP', list)
    for _ = 1, CHUNK do
      local front = redis.call('LINDEX', list, 0)
      if not front or redis.call('HEXISTS', K.tomb, front) == 0 then
        return
      end
      redis.call('LPOP', list)
      redis.call('HDEL', K.tomb, front)
    end
  end
end

-- Cancels a job, which must then be removed from its place.
local function give_up(id, envelope, why, now)
  if why then
    local state = load_state(id)
    state.note = why
    save_state(id, state)
  end
  redis.call('ZADD', K.cancelled, whole(now), id)
  has_ended(id, envelope, 'cancelled', now)
end
