-- What the scripts of a stock share. In front of each of them, behind the clock.
--
-- KEYS[1] counts   HASH available, reserved, sold, total, released, expired (the last two count for ever)
-- KEYS[2] open     ZSET reservation -> when it expires, µs
-- KEYS[3] entries  HASH reservation -> state,quantity: o open, c confirmed, r released, x expired, a added
-- KEYS[4] closed   ZSET reservation -> when its entry is forgotten, µs
-- ARGV[1] how long entries are remembered after their end, µs
local counts, open, entries, closed = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now = now_us()
local forget_at = string.format('%.0f', now + tonumber(ARGV[1]))
local now_text = string.format('%.0f', now)

local function entry(id)
  local text = redis.call('HGET', entries, id)
  if not text then return nil end
  local state, quantity = string.match(text, '^(%a),(%d+)$')
  return state, tonumber(quantity)
end

-- Moves the quantity from reserved to another count, and ends the reservation.
local function close(id, quantity, to, state)
  local text = string.format('%.0f', quantity)
  redis.call('HINCRBY', counts, 'reserved', '-' .. text)
  redis.call('HINCRBY', counts, to, text)
  if state == 'r' then redis.call('HINCRBY', counts, 'released', text) end
  if state == 'x' then redis.call('HINCRBY', counts, 'expired', text) end
  redis.call('ZREM', open, id)
  redis.call('ZADD', closed, forget_at, id)
  redis.call('HSET', entries, id, state .. ',' .. text)
end

-- Takes back abandoned reservations, at most `limit`.
local function expire(limit)
  local due = redis.call('ZRANGEBYSCORE', open, '-inf', now_text, 'LIMIT', 0, limit)
  for _, id in ipairs(due) do
    local _, quantity = entry(id)
    close(id, quantity, 'available', 'x')
  end
  return #due
end

-- Forgets entries whose horizon has passed, at most `limit`.
local function forget(limit)
  local old = redis.call('ZRANGEBYSCORE', closed, '-inf', now_text, 'LIMIT', 0, limit)
  for _, id in ipairs(old) do
    redis.call('HDEL', entries, id)
    redis.call('ZREM', closed, id)
  end
  return #old
end
