-- Adds jobs whose ids are not known.
-- KEYS  meta, job, delayed, wake, ready0 … ready4
-- ARGV  for each job: id; level, followed by "+delay" or "=due" where it isn't due at once; rest of the envelope
-- Returns how many were new, and 1 where the queue was.
local now = now_ms()
local stamp = whole(now)
local known_layout, paused = unpack(redis.call('HMGET', K.meta, 'layout', 'paused'))
if known_layout and known_layout ~= LAYOUT then
  return redis.error_reply('LAYOUT ' .. known_layout .. ' of this queue is not ' .. LAYOUT)
end
if not known_layout then
  redis.call('HSET', K.meta, 'layout', LAYOUT, 'scripts', SCRIPTS)
end

local count = #ARGV / 3
local ids = {}
for nth = 1, count do
  ids[nth] = ARGV[nth * 3 - 2]
end
local known = collect('HMGET', K.job, ids)
local seq = redis.call('HINCRBY', K.meta, 'seq', count) - count

local added, ready, due = {}, {}, {}
local seen = {}
for nth = 1, count do
  local id = ids[nth]
  if not known[nth] and not seen[id] then
    seen[id] = true
    local when = ARGV[nth * 3 - 1]
    local level, run_at = when, now
    if #when > 1 then
      level, run_at = string.sub(when, 1, 1), tonumber(string.sub(when, 3))
      if string.sub(when, 2, 2) == '+' then
        run_at = math.min(now + run_at, LAST_TIME)
      end
    end
    local age = whole(seq + nth)
    added[#added + 1] = id
    added[#added + 1] = age .. ' ' .. stamp .. ' ' .. (run_at == now and stamp or whole(run_at)) .. ' ' .. level
      .. ' ' .. ARGV[nth * 3]
    if run_at <= now then
      local list = ready[level]
      if not list then
        list = {}
        ready[level] = list
      end
      list[#list + 1] = age .. '.' .. id
    else
      due[#due + 1] = whole(run_at)
      due[#due + 1] = place(seq + nth, level, id)
    end
  end
end

bulk('HSET', K.job, added)
for level, list in pairs(ready) do
  bulk('RPUSH', K['ready' .. level], list)
end
if #due > 0 then
  delay_all(due)
end
if next(ready) and paused ~= '1' then
  wake('r')
end
return { #added / 2, known_layout and 0 or 1 }
