-- Acquires a permit (if there is one permit: a lock), or a position in the queue for it.
--
-- KEYS[1] holders  ZSET owner -> end of its lease, µs
-- KEYS[2] fence    STRING highest fencing token so far
-- KEYS[3] queue    ZSET waiting owner -> arrival, µs, greater than all before
-- KEYS[4] alive    ZSET waiting owner -> time at which it counts as dead, µs
-- ARGV[1] owner  ARGV[2] total number of permits  ARGV[3] lease, µs
-- ARGV[4] how long the position in the queue is kept, µs; 0: do not queue
-- ARGV[5] how long the fence is stored, ms
-- ARGV[6] prefix of the channels' names
-- Returns {1, fencing token} or {0, number of earlier owners, µs until a lease ends}
--
-- If it is repeated by the same owner, it acquires no second permit but renews the existing one
-- with a new token.
local owner, permits, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local wait = tonumber(ARGV[4])
local now = now_us()
local function whole(number) return string.format('%.0f', number) end

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', whole(now))
local has = redis.call('ZSCORE', KEYS[1], owner)
-- A torn append-only file can restore a permit that its owner never received and that another owner
-- has by now. An owner that still sends requests has received no reply, so it returns its permit if
-- there are too many holders.
if has and redis.call('ZCARD', KEYS[1]) > permits then
  redis.call('ZREM', KEYS[1], owner)
  has = false
end
local free = permits - redis.call('ZCARD', KEYS[1])

local ahead = 0
if not has then
  local dead = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', whole(now), 'LIMIT', 0, 100)
  for _, waiter in ipairs(dead) do
    if waiter ~= owner then
      redis.call('ZREM', KEYS[3], waiter)
      redis.call('ZREM', KEYS[4], waiter)
    end
  end
  ahead = redis.call('ZRANK', KEYS[3], owner) or redis.call('ZCARD', KEYS[3])
end

if has or ahead < free then
  local fence = tonumber(redis.call('GET', KEYS[2]) or 0) + 1
  if fence < now then fence = now end
  redis.call('SET', KEYS[2], whole(fence), 'PX', ARGV[5])
  redis.call('ZADD', KEYS[1], whole(now + lease), owner)
  local keep = math.ceil(lease / 1000) + 1000
  if redis.call('PTTL', KEYS[1]) < keep then
    redis.call('PEXPIRE', KEYS[1], whole(keep))
  end
  redis.call('ZREM', KEYS[3], owner)
  redis.call('ZREM', KEYS[4], owner)
  -- Several permits may have been released before the first waiter sent a request.
  if free > 1 then wake_first(KEYS[3], ARGV[6]) end
  return {1, fence}
end

if wait > 0 then
  -- The liveness entry comes first: a waiter without one would never be removed from the queue.
  redis.call('ZADD', KEYS[4], whole(now + wait), owner)
  if not redis.call('ZSCORE', KEYS[3], owner) then
    -- After the last one, even if the clock has not advanced.
    local arrival, last = now, redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')
    if last[2] and tonumber(last[2]) >= now then arrival = tonumber(last[2]) + 1 end
    redis.call('ZADD', KEYS[3], whole(arrival), owner)
  end
  -- The position of another waiter may be kept for 1 s longer than this one's.
  local keep = whole(math.ceil(wait / 1000) + 2000)
  redis.call('PEXPIRE', KEYS[3], keep)
  redis.call('PEXPIRE', KEYS[4], keep)
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local free_in = 0
if first[2] then free_in = tonumber(first[2]) - now end
if free > 0 then ahead = ahead - free end
return {0, ahead, free_in}
