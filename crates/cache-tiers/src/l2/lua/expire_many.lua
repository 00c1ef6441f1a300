-- Ends the fresh life of values: their grace begins now, and loads in progress may no longer fill.
-- A value without a grace, or that is not an entry, is deleted, as in `forget`. A fresh entry gets
-- another head: one more in the first byte of its id. So a process that holds it as fresh finds
-- that the stored value is another one. The grace becomes the life that the entry states, so that
-- no clock that is set back makes it fresh. Every process that follows is always notified. If there
-- is no value, a mark is set and deleted, which the process that set it knows as its own.
--
-- A torn append-only file can bring back another value in front of this script. So the script
-- writes a value as a whole, not in part. It writes the removal of a value even if there is none:
-- one command removes the value and the mark, which exists.
--
-- KEYS for each key: value, fence, mark
-- ARGV[1] the form of entries, ARGV[2] bytes after which no further value is read
-- Returns 1 for each key; if the bytes are reached, for the first keys only.
local function number(entry, at, bytes)
  if #entry < at + bytes - 1 then
    return nil
  end
  local sum = 0
  for i = at, at + bytes - 1 do
    sum = sum * 256 + string.byte(entry, i)
  end
  return sum
end

-- ms of the grace and of the life, and their offset: behind class, epoch and the moves of the
-- class.
local function spans_of(entry)
  if number(entry, 1, 1) ~= tonumber(ARGV[1]) then
    return 0, 0
  end
  local class = number(entry, 10, 2)
  local epoch = class and number(entry, 12 + class, 2)
  local at = epoch and 14 + class + epoch + 8
  local grace = at and number(entry, at + 8, 8)
  if not grace then
    return 0, 0
  end
  return grace, number(entry, at, 8), at
end

-- The stale entry, with its grace in place of its life.
local function expired(entry, at, date)
  local head = string.sub(entry, 1, 1) .. string.char((string.byte(entry, 2) + 1) % 256)
  local grace = string.sub(entry, at + 8, at + 15)
  return head .. string.sub(entry, 3, at - 1) .. grace .. string.sub(entry, at + 8, -17) .. string.format('%016.0f', date)
end

local answers, now, bytes, most = {}, now_us(), 0, tonumber(ARGV[2])
for i = 1, #KEYS / 3 do
  if bytes >= most then
    break
  end
  local value, fence, mark = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  redis.call('UNLINK', fence)
  local entry = redis.pcall('GET', value)
  entry = type(entry) == 'string' and entry or ''
  bytes = bytes + #entry
  local grace, life, at = spans_of(entry)
  local left = math.min(redis.call('PTTL', value), life)
  if grace > 0 and left > 0 then
    if left > grace then
      left = grace
      entry = expired(entry, at, now + left * 1000)
    end
    redis.call('SET', value, entry, 'PX', left)
  elseif redis.call('UNLINK', value) == 0 then
    redis.call('SET', mark, '')
    redis.call('UNLINK', value, mark)
  end
  answers[i] = 1
end
return answers
