-- Sets the settings for all workers.
-- KEYS  meta, wake, back, ready0 … ready4
-- ARGV  the settings as JSON; this partition's share of the jobs that may run, or ""; of the rate:
--       jobs, or "", and ms for them; 1 to keep events
-- Returns 1 if the queue is new, else 0.
local is_new = redis.call('EXISTS', K.meta) == 0
local now = now_ms()
if is_new then
  make_queue(now)
end
local old = redis.call('HMGET', K.meta, 'rate_jobs', 'rate_per', 'full_at')
redis.call('HSET', K.meta, 'settings', ARGV[1], 'events', ARGV[5])
local function set(field, value)
  if value == '' then
    redis.call('HDEL', K.meta, field)
  else
    redis.call('HSET', K.meta, field, value)
  end
end
set('max_running', ARGV[2])
set('limits', (ARGV[2] ~= '' or ARGV[3] ~= '') and '1' or '')
if ARGV[3] == '' then
  redis.call('HDEL', K.meta, 'rate_jobs', 'rate_per', 'full_at')
elseif ARGV[3] ~= old[1] or ARGV[4] ~= old[2] then
  -- The tokens stay, up to the new limit.
  local jobs = tonumber(ARGV[3])
  local tokens = jobs
  if old[1] then
    local per = tonumber(old[2])
    local missing = math.min(math.max((old[3] or 0) - now, 0), per)
    tokens = math.min(math.floor((per - missing) / (per / old[1]) + 1e-6), jobs)
  end
  local full_at = now + (jobs - tokens) * (ARGV[4] / jobs)
  redis.call('HSET', K.meta, 'rate_jobs', ARGV[3], 'rate_per', ARGV[4], 'full_at', string.format('%.17g', full_at))
end
if redis.call('EXISTS', K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4) > 0 then
  wake_for_ready()
end
return is_new and 1 or 0
