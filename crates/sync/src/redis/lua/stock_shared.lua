-- The shared part of the scripts of a stock. Prepended to each of them, after the clock and
-- journal.lua.
--
-- KEYS[1] state    HASH, kept by journal.lua: available, reserved, sold, total, released, expired
--                  (the last two are totals), and for each reservation or addition
--                  `e:<id>` -> state,quantity,time. The states are o open, c confirmed, r released,
--                  x expired, a added. The time is when an open one expires, and when any other
--                  entry is removed, µs.
-- KEYS[2] open     ZSET reservation -> when it expires, µs: an index
-- KEYS[3] closed   ZSET reservation -> when its entry is removed, µs: an index
-- ARGV[1] how long entries are kept after their end, µs
local open, closed = KEYS[2], KEYS[3]
local now = now_us()
local now_text = string.format('%.0f', now)
local forget_at = now + tonumber(ARGV[1])
local needless = {}

local function parsed(text)
  local state, quantity, at = string.match(text, '^(%a),(%d+),(%d+)$')
  return state, tonumber(quantity), tonumber(at)
end

-- An entry that the previous step has closed is no longer needed in the index.
for field, text in pairs(last) do
  if string.sub(field, 1, 2) == 'e:' and parsed(text) ~= 'o' then
    redis.call('ZREM', open, string.sub(field, 3))
  end
end

-- State, quantity and time of an entry; nil if it is unknown.
local function entry(id)
  local text = get('e:' .. id)
  if text then return parsed(text) end
end

-- Sets an entry, and adds it to the index at its time.
local function put(index, id, state, quantity, at)
  redis.call('ZADD', index, string.format('%.0f', at), id)
  set('e:' .. id, string.format('%s,%.0f,%.0f', state, quantity, at))
end

local function add(count, quantity) set(count, string.format('%.0f', tonumber(get(count) or 0) + quantity)) end

-- Moves the quantity from reserved to another count, and ends the reservation.
local function close(id, quantity, to, state)
  add('reserved', -quantity)
  add(to, quantity)
  if state == 'r' then add('released', quantity) end
  if state == 'x' then add('expired', quantity) end
  put(closed, id, state, quantity, forget_at)
end

-- Ends expired reservations, at most `limit`. The index may also contain entries that a torn file
-- has left, and entries that this step has closed.
local function expire(limit)
  local found = 0
  local due = redis.call('ZRANGEBYSCORE', open, '-inf', now_text, 'LIMIT', 0, 2 * limit + 20)
  for _, id in ipairs(due) do
    local state, quantity, at = entry(id)
    if state ~= 'o' then
      if changes['e:' .. id] == nil then redis.call('ZREM', open, id) end
    elseif at > now then
      redis.call('ZADD', open, string.format('%.0f', at), id)
    elseif found < limit then
      close(id, quantity, 'available', 'x')
      found = found + 1
    end
  end
  return found
end

-- Removes entries whose horizon has passed, at most `limit`.
local function forget(limit)
  local found = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', closed, '-inf', now_text, 'LIMIT', 0, limit)) do
    local text = get('e:' .. id)
    local state, _, at = parsed(text or '')
    if text and state ~= 'o' and at > now then
      redis.call('ZADD', closed, string.format('%.0f', at), id)
    else
      if text and state ~= 'o' then
        remove('e:' .. id)
        found = found + 1
      end
      needless[#needless + 1] = id
    end
  end
  return found
end

-- Writes the state, then removes what the index no longer needs.
local function finish(answer)
  commit()
  for _, id in ipairs(needless) do
    if not changes['e:' .. id] then redis.call('ZREM', closed, id) end
  end
  return answer
end
