-- Effects of the end of a job: on the jobs behind it, its unique key, its group.

-- Whether a job is the active one of its ordering key; else it waits.
local function join_line(key, id, seq, level, created)
  if redis.call('HSETNX', K.lines, key, id) == 1 or redis.call('HGET', K.lines, key) == id then
    return true
  end
  local member = place(seq, level, id)
  redis.call('ZADD', K.behind, 0, key .. '\0' .. member)
  redis.call('ZADD', K.waiting, whole(created), member)
  return false
end

local function is_over(id, envelope)
  return is_end_of(redis.call('HGET', K.ended, id), envelope) or is_end_of(redis.call('ZSCORE', K.dead, id), envelope)
    or is_end_of(redis.call('ZSCORE', K.cancelled, id), envelope)
end

-- Makes a job that waited in its line ready or delayed, unless it is there already.
local function come_forward(id, envelope, member, now)
  if redis.call('HEXISTS', K.lease, id) == 1 or redis.call('ZSCORE', K.back, member)
    or redis.call('ZSCORE', K.delayed, member) then
    return
  end
  local seq, level = string.match(member, '^(%d+)%.(%d)%.')
  local run_at = load_state(id).run_at or select(3, head(envelope))
  if run_at > now then
    delay_all({ whole(run_at), member })
  else
    make_ready(id, seq, level, now)
  end
end

-- Makes the next job of an ordering key the active one.
local function leave_line(key, id, now)
  if redis.call('HGET', K.lines, key) ~= id then
    return
  end
  while true do
    local first = redis.call('ZRANGE', K.behind, '[' .. key .. '\0', '(' .. key .. '\1', 'BYLEX', 'LIMIT', 0, 1)[1]
    if not first then
      redis.call('HDEL', K.lines, key)
      return
    end
    local member = string.sub(first, #key + 2)
    local next_id = string.match(member, '^%d+%.%d%.(.+)$')
    local envelope = redis.call('HGET', K.job, next_id)
    local is_next = envelope and not is_over(next_id, envelope)
    if is_next then
      redis.call('HSET', K.lines, key, next_id)
      come_forward(next_id, envelope, member, now)
    end
    redis.call('ZREM', K.waiting, member)
    redis.call('ZREM', K.behind, first)
    if is_next then
      return
    end
  end
end

-- A group that begins in this step. A job of that name that ends in the same step belonged to the
-- deleted group, and is not counted.
local new_group

-- `how` is done, dead or cancelled.
local function has_ended(id, envelope, how, now)
  add_event(now, id, how)
  local link = links(envelope)
  if not link then
    return
  end
  if link.u and redis.call('HGET', K.unique, link.u) == id then
    redis.call('HDEL', K.unique, link.u)
  end
  if link.o then
    leave_line(link.o, id, now)
  end
  -- Last, because a repetition counts again.
  if link.g and link.g ~= new_group and redis.call('HEXISTS', K.groups, link.g .. ' total') == 1 then
    add_to(K.groups, link.g .. ' ' .. how, 1)
  end
end
