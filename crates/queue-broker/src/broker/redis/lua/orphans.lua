-- Removes places whose job has no record, and other data of such a job. Gives an ordering key whose
-- active job has ended to its next job.
-- KEYS  as change, and result, checkpoint, log
-- ARGV  place, or the name of the other data; cursor
-- Returns the next cursor; how many were removed.
local name = ARGV[1]
local now = now_ms()
local removed = 0

local function has_record(id)
  return redis.call('HEXISTS', K.job, id) == 1
end

-- A job waits behind the active one of its line, or it is that one.
local function check_waiting(id, envelope, member)
  local link = links(envelope)
  local key = link and link.o
  local active = key and redis.call('HGET', K.lines, key)
  if key and active and active ~= id and not is_over(id, envelope) then
    redis.call('ZADD', K.behind, 0, key .. '\0' .. member)
    return
  end
  if key and not is_over(id, envelope) then
    redis.call('HSET', K.lines, key, id)
    come_forward(id, envelope, member, now)
  end
  redis.call('ZREM', K.waiting, member)
  if key then
    redis.call('ZREM', K.behind, key .. '\0' .. member)
  end
  removed = removed + 1
end

local function check_line(key, id)
  local envelope = redis.call('HGET', K.job, id)
  if not (envelope and (redis.call('HEXISTS', K.lease, id) == 1 or not is_over(id, envelope))) then
    leave_line(key, id, now)
    removed = removed + 1
  end
  return #(envelope or '')
end

-- The job that an entry belongs to.
local function job_of(field)
  if name == 'back' or name == 'delayed' or name == 'waiting' or name == 'behind' then
    return string.match(field, '%d+%.%d%.([^%z]+)$') or field
  elseif name == 'log' then
    return string.match(field, '^(.+)#%d+$') or field
  end
  return field
end

hold_audit(now)
local is_set = redis.call('TYPE', K[name]).ok == 'zset'
local cursor = scan(is_set and 'ZSCAN' or 'HSCAN', K[name], ARGV[2], function(field, value)
  local id = job_of(field)
  if name == 'lines' then
    return check_line(field, value)
  elseif not has_record(id) then
    redis.call(is_set and 'ZREM' or 'HDEL', K[name], field)
    removed = removed + 1
  elseif name == 'waiting' then
    local envelope = redis.call('HGET', K.job, id)
    check_waiting(id, envelope, field)
    return #envelope
  end
end)
return { cursor, removed }
