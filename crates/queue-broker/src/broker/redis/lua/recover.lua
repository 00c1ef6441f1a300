-- Puts jobs that have a record and no place back into the line, under a new lease number. A
-- completed job goes back to the list of completed jobs, where retention finds it.
-- KEYS  as change, and done
-- ARGV  the server's history if the audit ends with this step, or ""; ids
-- Returns how many of the ids were checked, because a list is searched from one end to the other;
--         how many are in line again.
local MOST_SEARCHED = 1000000 -- elements of lists, in one step
local now = now_ms()
local recovered, searched = 0, 0

local function is_in(list, id, ...)
  searched = searched + redis.call('LLEN', list)
  return redis.call('LPOS', list, id, ...)
end

local function put_back(id, envelope)
  local seq, created, run_at, level = head(envelope)
  local link = links(envelope)
  local lost = tonumber(string.match(redis.call('HGET', K.latest, id) or '0', '^%d+')) + 1
  redis.call('HSET', K.latest, id, whole(lost) .. ' -')
  add_to(K.meta, 'recovered', 1)
  add_event(now, id, 'reclaimed')
  if link and link.o and not join_line(link.o, id, seq, level, created) then
    return
  end
  place_at(id, seq, level, load_state(id).run_at or run_at, now)
end

for nth = 2, #ARGV do
  if searched >= MOST_SEARCHED then
    hold_audit(now)
    return { nth - 2, recovered }
  end
  local id = ARGV[nth]
  local envelope = redis.call('HGET', K.job, id)
  local list = envelope and list_of(id, envelope)
  if list == 'done' then
    -- From its end: jobs with a torn end are near it.
    if not is_in(K.done, id, 'RANK', -1) then
      redis.call('LPUSH', K.done, id)
    end
  elseif list and not is_in(K['ready' .. list], id) then
    put_back(id, envelope)
    recovered = recovered + 1
  end
end
if ARGV[1] ~= '' then
  redis.call('HSET', K.meta, 'audited', ARGV[1])
  redis.call('HDEL', K.meta, 'auditing', 'auditing_server')
else
  hold_audit(now)
end
return { #ARGV - 1, recovered }
