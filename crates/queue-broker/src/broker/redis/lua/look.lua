-- Checks whether there are jobs to lease or to promote. Gives back a token that no worker could
-- use. No tombstone stays at the front of a list, so that any job found is worth a fetch.
-- KEYS  meta, lease, back, delayed, wake, ready0 … ready4
-- ARGV  1 to give a token back
-- Returns 1 if jobs are ready, else 0; ms until the next delayed one is due or one may begin to
--         run, or nothing.
local is_ready = redis.call('EXISTS', K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4) > 0
local due = redis.call('ZRANGE', K.delayed, 0, 0, 'WITHSCORES')[2]
if not is_ready and not due then
  return { 0, false }
end
local now = now_ms()
local meta = is_ready
  and redis.call('HMGET', K.meta, 'paused', 'max_running', 'rate_jobs', 'rate_per', 'full_at') or {}
is_ready = is_ready and meta[1] ~= '1'
local token
if is_ready and meta[3] then
  local per, interval, full_at = tonumber(meta[4]), meta[4] / meta[3], tonumber(meta[5] or 0)
  local missing = math.min(math.max(full_at - now, 0), per)
  if math.floor((per - missing) / interval + 1e-6) == 0 then
    is_ready = false
    token = math.ceil(math.min(full_at, now + per) - per + interval - 1e-6)
  end
end
if is_ready and meta[2] and leased_count() >= tonumber(meta[2]) then
  is_ready = false
end
due = due and math.min(tonumber(due), token or math.huge) or token
if ARGV[1] == '1' then
  if is_ready then
    wake('r')
  end
  -- A waiting worker keeps a timer only for the due time of its last check.
  if due then
    wake('d')
  end
end
return { is_ready and 1 or 0, due and math.max(due - now, 0) or false }
