-- Takes back leases that expired, unless their holders may not have had a chance to be heard: maintenance paused, the
-- clock jumped, or this is not the server, or not the start of it, that the last maintenance saw.
-- KEYS  meta, lease, latest, job, state, back, delayed, dead, cancelled, wake
-- ARGV  length of a lease in ms; gap that counts as a pause in ms; leases a job may lose; most jobs
-- Returns 1 where nothing was looked at, else 0; ids that are ready; dead; cancelled.
local now = now_ms()
local layout, last, from, server = unpack(redis.call('HMGET', K.meta, 'layout', 'maintained', 'reclaim_from', 'server'))
if not layout then
  return { 0, {}, {}, {} }
end

-- A restart and a failover begin a new history of replication. Where the server doesn't tell, the other signs must do.
local info = redis.pcall('INFO', 'replication')
local this_server = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
local longest = now + ARGV[1]
last = tonumber(last)
from = tonumber(from or 0)
local backward = last and now < last
if not last or backward or now - last > tonumber(ARGV[2]) or this_server ~= server then
  from = longest
end
redis.call('HSET', K.meta, 'maintained', whole(now), 'reclaim_from', whole(from), 'server', this_server)
if backward then
  -- As many as workers run at once.
  local late = redis.call('ZRANGE', K.lease, '(' .. whole(longest), '+inf', 'BYSCORE')
  local cut = {}
  for _, member in ipairs(late) do
    cut[#cut + 1] = whole(longest)
    cut[#cut + 1] = member
  end
  bulk('ZADD', K.lease, cut)
end
if now < from then
  return { 1, {}, {}, {} }
end

local ready, dead, cancelled = {}, {}, {}

local function expire(id, run)
  local state = load_state(id)
  redis.call('HINCRBY', K.meta, 'reclaimed', 1)
  state.lost = (state.lost or 0) + 1
  remember(state, run.started, now, 'lease expired at worker ' .. run.nonce)
  run.nonce = '-'
  save_run(id, run)
  if cancelled_instead(id, state, now) then
    cancelled[#cancelled + 1] = id
  elseif state.lost >= tonumber(ARGV[3]) then
    redis.call('HINCRBY', K.meta, 'failed', 1)
    state.note = 'lost ' .. whole(state.lost) .. ' leases'
    redis.call('ZADD', K.dead, whole(now), id)
    dead[#dead + 1] = id
  else
    postpone(id, run.seq, run.level, state, now, now)
    ready[#ready + 1] = id
  end
  save_state(id, state)
end

for _, member in ipairs(redis.call('ZRANGE', K.lease, '-inf', whole(now), 'BYSCORE', 'LIMIT', 0, ARGV[4])) do
  redis.call('ZREM', K.lease, member)
  local id = string.match(member, '^(.*)%.%d+%.[^.]+$')
  local run = load_run(id)
  if run then
    expire(id, run)
  end
end
return { 0, ready, dead, cancelled }
