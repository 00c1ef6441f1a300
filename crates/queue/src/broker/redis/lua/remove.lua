-- Removes the oldest of finished jobs, record and all.
-- KEYS  job, latest, state, result, done, dead, cancelled
-- ARGV  most jobs of each state; for each state: its name, the least age in ms, how many may be kept, or "" for any
-- Returns how many went.
local now = now_ms()
local most = tonumber(ARGV[1])
local removed = 0

local function remove(set, ids)
  if #ids == 0 then
    return
  end
  bulk('ZREM', set, ids)
  for _, hash in ipairs({ 'job', 'latest', 'state', 'result' }) do
    bulk('HDEL', K[hash], ids)
  end
  removed = removed + #ids
end

for at = 2, #ARGV, 3 do
  local set, age, kept = K[ARGV[at]], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local aged = redis.call('ZRANGE', set, '-inf', whole(math.max(now - age, 0)), 'BYSCORE', 'LIMIT', 0, most)
  remove(set, aged)
  local excess = kept and math.min(redis.call('ZCARD', set) - kept, most - #aged) or 0
  if excess > 0 then
    remove(set, redis.call('ZRANGE', set, 0, excess - 1))
  end
end
return removed
