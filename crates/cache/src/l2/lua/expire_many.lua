-- Ends the fresh life of values: their grace begins now, and loads under way may no longer fill. What has no grace, or is no entry,
-- goes, as in `forget`. An entry that was fresh gets another head, one more in the first byte of its id, so that whoever holds it
-- as fresh finds that this is not what lies here. Its grace becomes the life that it speaks of, so that no clock that is set back
-- makes it fresh. Every process that follows is told in any case: where there is nothing by a mark
-- that comes and goes, which whoever set it knows as its own. The value itself is not read.
-- KEYS for each key: value, fence, mark
-- ARGV[1] the form of entries
-- Returns for each key 1.
local function number(key, at, bytes)
  local text, sum = redis.call('GETRANGE', key, at, at + bytes - 1), 0
  if #text < bytes then
    return nil
  end
  for i = 1, bytes do
    sum = sum * 256 + string.byte(text, i)
  end
  return sum
end

-- ms of the grace and of the life, and where that stands: behind class and epoch, and the moves of the class.
local function spans_of(key)
  if type(redis.pcall('STRLEN', key)) ~= 'number' or number(key, 0, 1) ~= tonumber(ARGV[1]) then
    return 0, 0
  end
  local class = number(key, 9, 2)
  local epoch = class and number(key, 11 + class, 2)
  local at = epoch and 13 + class + epoch + 8
  local grace = at and number(key, at + 8, 8)
  if not grace then
    return 0, 0
  end
  return grace, number(key, at, 8), at
end

local answers, now = {}, now_us()
for i = 1, #KEYS / 3 do
  local value, fence, mark = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i]
  redis.call('UNLINK', fence)
  local grace, life, at = spans_of(value)
  local left = math.min(redis.call('PTTL', value), life)
  if grace > 0 and left > 0 then
    if left > grace then
      left = grace
      redis.call('SETRANGE', value, at, redis.call('GETRANGE', value, at + 8, at + 15))
      redis.call('SETRANGE', value, 1, string.char((number(value, 1, 1) + 1) % 256))
      redis.call('SETRANGE', value, redis.call('STRLEN', value) - 16, string.format('%016.0f', now + left * 1000))
    end
    redis.call('PEXPIRE', value, left)
  elseif redis.call('UNLINK', value) == 0 then
    redis.call('SET', mark, '')
    redis.call('DEL', mark)
  end
  answers[i] = 1
end
return answers
