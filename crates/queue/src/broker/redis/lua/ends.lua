-- What the end of a job means to others: those behind it, its unique key, its group.

-- Whether a job is the active one of its ordering key; else it waits.
local function join_line(key, id, seq, level, created)
  if redis.call('HSETNX', K.lines, key, id) == 1 then
    return true
  end
  local member = place(seq, level, id)
  redis.call('ZADD', K.waiting, whole(created), member)
  redis.call('ZADD', K.behind, 0, key .. '\0' .. member)
  return false
end

-- Makes the next job of an ordering key the active one.
local function leave_line(key, id, now)
  if redis.call('HGET', K.lines, key) ~= id then
    return
  end
  local first = redis.call('ZRANGE', K.behind, '[' .. key .. '\0', '(' .. key .. '\1', 'BYLEX', 'LIMIT', 0, 1)[1]
  if not first then
    redis.call('HDEL', K.lines, key)
    return
  end
  local member = string.sub(first, #key + 2)
  redis.call('ZREM', K.behind, first)
  redis.call('ZREM', K.waiting, member)
  local seq, level, next_id = string.match(member, '^(%d+)%.(%d)%.(.+)$')
  redis.call('HSET', K.lines, key, next_id)
  local run_at = load_state(next_id).run_at or select(3, head(redis.call('HGET', K.job, next_id)))
  if run_at > now then
    delay_all({ whole(run_at), member })
  else
    make_ready(next_id, seq, level, now)
  end
end

-- `how` is done, dead or cancelled.
local function has_ended(id, envelope, how, now)
  tell(now, id, how)
  local link = links(envelope)
  if not link then
    return
  end
  if link.g and redis.call('HEXISTS', K.groups, link.g .. ' total') == 1 then
    redis.call('HINCRBY', K.groups, link.g .. ' ' .. how, 1)
  end
  if link.u and redis.call('HGET', K.unique, link.u) == id then
    redis.call('HDEL', K.unique, link.u)
  end
  if link.o then
    leave_line(link.o, id, now)
  end
end

-- A job that somebody wants cancelled does not go back. Returns whether that is so.
local function cancelled_instead(id, envelope, state, now)
  if state.cancel then
    state.note = 'cancelled while running'
    redis.call('ZADD', K.cancelled, whole(now), id)
    has_ended(id, envelope, 'cancelled', now)
  end
  return state.cancel
end
