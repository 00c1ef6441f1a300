-- Removes the oldest finished jobs with their records.
-- KEYS  meta, job, latest, state, result, checkpoint, log, done, ended, dead, cancelled, unique,
--       held
-- ARGV  maximum number of jobs of each state; 1 if this is the retention from now on; for each
--       state: its name, the minimum age in ms, how many may be kept, or "" for any
-- Returns how many were removed; 1 if there may be more, because jobs have logs, which are slow to
--         remove, or large records.
local MOST_LOGGED = 500
local MOST_BYTES = 4194304 -- of records looked at in one step
if redis.call('EXISTS', K.done, K.dead, K.cancelled, K.held) == 0 then
  return { 0, 0 }
end
local now = now_ms()
local most = tonumber(ARGV[1])
local removed, bytes = 0, 0
local has_more = redis.call('EXISTS', K.result, K.latest, K.state, K.checkpoint) > 0
local has_logs = redis.call('EXISTS', K.log) == 1

-- Returns how many more may be removed in this step.
local function at_most(count)
  return has_logs and math.max(math.min(count, MOST_LOGGED - removed), 0) or count
end

-- The record is deleted after all data that belongs to it, and before the field that states the end
-- of its job.
local function forget(ids)
  if has_more then
    for _, hash in ipairs({ 'latest', 'state', 'result', 'checkpoint' }) do
      bulk('HDEL', K[hash], ids)
    end
  end
  if has_logs then
    for nth, count in ipairs(collect('HMGET', K.log, ids)) do
      if count then
        local fields = { ids[nth] }
        for line = 0, math.min(tonumber(count), LOG_LINES) - 1 do
          fields[#fields + 1] = ids[nth] .. '#' .. line
        end
        redis.call('HDEL', K.log, unpack(fields))
      end
    end
  end
  bulk('HDEL', K.job, ids)
  removed = removed + #ids
end

-- Checks the first of these jobs, in the given order, as many as fit into a step. Returns how many;
-- those that have ended, each once; those whose record is gone or of a later job. A torn removal
-- leaves the latter.
local function sort_out(ids, ends)
  local over, stale, taken = {}, {}, {}
  for nth, id in ipairs(ids) do
    if bytes >= MOST_BYTES then
      return nth - 1, over, stale
    end
    if ends[nth] and not taken[id] then
      taken[id] = true
      local envelope = redis.call('HGET', K.job, id)
      bytes = bytes + #(envelope or '')
      local into = envelope and is_end_of(ends[nth], envelope) and over or stale
      into[#into + 1] = id
    end
  end
  return #ids, over, stale
end

local function remove(set, ids)
  local _, over, stale = sort_out(ids, #ids > 0 and collect('ZMSCORE', set, ids) or {})
  forget(over)
  bulk('ZREM', set, over)
  bulk('ZREM', set, stale)
  removed = removed + #stale
end

-- How many of the oldest completed jobs have ended by then.
local function done_by(bound)
  local count = 0
  while count < most do
    local ids = redis.call('LRANGE', K.done, count, math.min(count + CHUNK, most) - 1)
    local ended = collect('HMGET', K.ended, ids)
    for nth = 1, #ids do
      if ended[nth] and tonumber(string.match(ended[nth], '^%d+')) > bound then
        return count
      end
      count = count + 1
    end
    if #ids < CHUNK then
      return count
    end
  end
  return count
end

if ARGV[2] == '1' then
  local over = redis.call('ZRANGE', K.held, '-inf', whole(now), 'BYSCORE', 'LIMIT', 0, CHUNK)
  if #over > 0 then
    redis.call('HDEL', K.unique, unpack(over))
    redis.call('ZREM', K.held, unpack(over))
  end
end
for at = 3, #ARGV, 3 do
  local name, bound, kept = ARGV[at], math.max(now - ARGV[at + 1], 0), tonumber(ARGV[at + 2])
  if name == 'done' then
    local count = done_by(bound)
    if kept then
      count = math.min(math.max(count, redis.call('LLEN', K.done) - kept), most)
    end
    local left = at_most(count)
    while left > 0 do
      local ids = redis.call('LRANGE', K.done, 0, math.min(left, CHUNK) - 1)
      if #ids == 0 then
        break
      end
      local looked, over, stale = sort_out(ids, collect('HMGET', K.ended, ids))
      if looked == 0 then
        break
      end
      if #over > 0 then
        count_over(#over)
      end
      forget(over)
      bulk('HDEL', K.ended, over)
      bulk('HDEL', K.ended, stale)
      redis.call('LPOP', K.done, looked)
      left = left - looked
    end
    if ARGV[2] == '1' and redis.call('HGET', K.meta, 'keep') ~= (kept and whole(kept) or false)
      and redis.call('EXISTS', K.meta) == 1 then
      if kept then
        redis.call('HSET', K.meta, 'keep', whole(kept))
      else
        redis.call('HDEL', K.meta, 'keep')
      end
    end
  else
    local set = K[name]
    local aged = redis.call('ZRANGE', set, '-inf', whole(bound), 'BYSCORE', 'LIMIT', 0, at_most(most))
    remove(set, aged)
    local excess = kept and at_most(math.min(redis.call('ZCARD', set) - kept, most - #aged)) or 0
    if excess > 0 then
      remove(set, redis.call('ZRANGE', set, 0, excess - 1))
    end
  end
end
return { removed, (bytes >= MOST_BYTES or has_logs and removed >= MOST_LOGGED) and 1 or 0 }
