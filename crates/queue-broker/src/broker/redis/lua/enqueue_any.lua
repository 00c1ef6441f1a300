-- Adds jobs of any priority and due time.
-- KEYS  meta, job, back, tomb, delayed, wake, events, ready0 … ready4
-- ARGV  for each job, no two ids alike: id; level, followed by "+delay" or "=due" if it is not due
--       at once; rest of the envelope
-- Returns 1 if the queue is new, else 0; one digit for each job (0 new, 1 known), or nothing if all
--         are new.
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
local count = #ARGV / 3
local ids = {}
for nth = 1, count do
  ids[nth] = ARGV[nth * 3 - 2]
end
local known = collect('HMGET', K.job, ids)
local base = redis.call('HINCRBY', K.meta, 'seq', count) - count
local has_tombs = redis.call('EXISTS', K.tomb) == 1
local digits, all_new = {}, true
local added, ready, due = {}, {}, {}
local is_ready = false
for nth = 1, count do
  local id, when, rest = ids[nth], ARGV[nth * 3 - 1], ARGV[nth * 3]
  if known[nth] then
    digits[nth], all_new = '1', false
  else
    digits[nth] = '0'
    local level, run_at = string.sub(when, 1, 1), now
    if #when > 1 then
      run_at = tonumber(string.sub(when, 3))
      if string.sub(when, 2, 2) == '+' then
        run_at = math.min(now + run_at, LAST_TIME)
      end
    end
    added[#added + 1] = id
    added[#added + 1] = whole(base) .. ' ' .. stamp .. (run_at == now and '' or '/' .. whole(run_at)) .. ' ' .. rest
    if run_at > now then
      due[#due + 1] = whole(run_at)
      due[#due + 1] = place(base + string.match(rest, '^%d+'), level, id)
    elseif has_tombs and redis.call('HEXISTS', K.tomb, id) == 1 then
      is_ready = true
      redis.call('ZADD', K.back, whole(level * LEVEL + now), place(base + string.match(rest, '^%d+'), level, id))
    else
      is_ready = true
      local list = ready[level]
      if not list then
        list = {}
        ready[level] = list
      end
      list[#list + 1] = id
    end
  end
end
bulk('HSET', K.job, added)
for at = 1, #added, 2 do
  add_event(now, added[at], 'enqueued')
end
for level, list in pairs(ready) do
  for from = 1, #list, CHUNK do
    redis.call('RPUSH', K['ready' .. level], unpack(list, from, math.min(from + CHUNK - 1, #list)))
  end
end
if #due > 0 then
  delay_all(due)
end
if is_ready then
  wake_for_ready()
end
return { layout and 0 or 1, not all_new and table.concat(digits) or false }
