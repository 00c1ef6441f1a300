-- Adds jobs one after the other, some of which have a unique key, an ordering key or a group.
-- KEYS  as change, and held
-- ARGV  for each job: id; level, followed by "+delay" or "=due" if it is not due at once; rest of
--       the envelope; 1 if other jobs depend on it
-- Returns 1 if the queue is new, else 0; for each job: 0 new, 1 known, 2 and the id of the job that
--         has its unique key, 3 and the id of the job that it replaces.
local now = now_ms()
local stamp = whole(now)
local layout = redis.call('HGET', K.meta, 'layout')
if layout ~= LAYOUT then
  local refused = refusal(layout)
  if refused then
    return refused
  end
  make_queue(now)
end
redis.call('HSET', K.meta, 'linked', '1')
local count = #ARGV / 4
local base = redis.call('HINCRBY', K.meta, 'seq', count) - count

-- The job that has a unique key now.
local function holder(key)
  local id, until_ms = string.match(redis.call('HGET', K.unique, key) or '', '^(%S+) ?(%d*)$')
  if not id then
    return nil
  end
  if until_ms == '' then
    -- A torn file may leave the key of a job that was never stored.
    return redis.call('HEXISTS', K.job, id) == 1 and id or nil
  elseif tonumber(until_ms) > now then
    return id
  end
  return nil
end

local function hold(key, id, for_ms)
  if for_ms then
    local until_ms = whole(math.min(now + for_ms, LAST_TIME))
    redis.call('HSET', K.unique, key, id .. ' ' .. until_ms)
    redis.call('ZADD', K.held, until_ms, key)
  else
    redis.call('HSET', K.unique, key, id)
    redis.call('ZREM', K.held, key)
  end
end

-- Whether a ready job is the first of its list, and so leaves it at once.
local function is_first_in_list(id, envelope)
  local seq, _, _, level = head(envelope)
  return not redis.call('ZSCORE', K.back, place(seq, level, id)) and redis.call('LINDEX', K['ready' .. level], 0) == id
end

-- Whether a job is the active one of an ordering key for which no other waits.
local function is_alone_in_line(key, id)
  return redis.call('HGET', K.lines, key) == id
    and not redis.call('ZRANGE', K.behind, '[' .. key .. '\0', '(' .. key .. '\1', 'BYLEX', 'LIMIT', 0, 1)[1]
end

local function add(id, when, rest, is_linked)
  if redis.call('HEXISTS', K.job, id) == 1 then
    return '1'
  end
  local level, run_at = string.sub(when, 1, 1), now
  if #when > 1 then
    run_at = tonumber(string.sub(when, 3))
    if string.sub(when, 2, 2) == '+' then
      run_at = math.min(now + run_at, LAST_TIME)
    end
  end
  local link = is_linked and cjson.decode((string.match(rest, '^%d+ %d(%S+) '))) or {}
  local answer, ready_at, is_delayed, is_behind = '0', nil, run_at > now, false
  local replaced, replaced_in
  if link.u then
    local other = holder(link.u)
    if other and link.d == 'reject' then
      return '2' .. other
    end
    local envelope = other and redis.call('HGET', K.job, other)
    if envelope then
      local where, at = standing(other, envelope)
      if where == 'ready' or where == 'delayed' or where == 'waiting' then
        answer = '3' .. other
        if link.d == 'replace' then
          run_at = load_state(other).run_at or select(3, head(envelope))
          ready_at = where == 'ready' and tonumber(at) or nil
          -- An overdue job is promoted like others.
          is_delayed = where == 'delayed' or (where == 'waiting' and run_at > now)
        end
        -- Not into the list in which the old job leaves a mark, see take_out().
        is_behind = where == 'ready' and not is_first_in_list(other, envelope)
        replaced, replaced_in = envelope, where
      end
    end
  end
  local seq = base + string.match(rest, '^%d+')
  redis.call('HSET', K.job, id, (is_linked and 'l' or '') .. whole(base) .. ' ' .. stamp
    .. (run_at == now and '' or '/' .. whole(run_at)) .. ' ' .. rest)
  if link.u then
    hold(link.u, id, link.h)
  end
  if replaced and link.o and is_alone_in_line(link.o, string.sub(answer, 2)) then
    redis.call('HSET', K.lines, link.o, id)
  end
  new_group = link.g and redis.call('HEXISTS', K.groups, link.g .. ' total') == 0 and link.g or nil
  if link.g then
    add_to(K.groups, link.g .. ' total', 1)
  end
  if link.o and not join_line(link.o, id, seq, level, now) then
    -- It waits.
  elseif ready_at then
    make_ready(id, seq, level, ready_at)
  elseif is_delayed then
    delay_all({ whole(run_at), place(seq, level, id) })
  elseif is_behind or redis.call('HEXISTS', K.tomb, id) == 1 then
    make_ready(id, seq, level, now)
  else
    redis.call('RPUSH', K['ready' .. level], id)
    wake_for_ready()
  end
  -- The replaced job is removed last: a part of this step leaves one of the two.
  if replaced then
    local other = string.sub(answer, 2)
    give_up(other, replaced, 'replaced by ' .. id, now)
    take_out(other, replaced, replaced_in)
  end
  add_event(now, id, 'enqueued')
  return answer
end

local answers = {}
for nth = 1, count do
  local at = nth * 4
  answers[nth] = add(ARGV[at - 3], ARGV[at - 2], ARGV[at - 1], ARGV[at] == '1')
end
return { layout and 0 or 1, answers }
