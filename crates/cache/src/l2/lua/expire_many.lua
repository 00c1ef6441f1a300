-- Ends the fresh life of values: their grace begins now, and loads under way may no longer fill. What has no grace, or is no entry,
-- goes, as in `forget`. An entry that was fresh gets another head, one more in the first byte of its id, so that whoever holds it
-- as fresh finds that this is not what lies here. Every process that follows is told in any case. The value itself is not read.
-- KEYS for each key: value, fence
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

-- ms of the grace: it stands behind class and epoch, the moves of the class and the ms of life.
local function grace_of(key)
  if type(redis.pcall('STRLEN', key)) ~= 'number' or number(key, 0, 1) ~= tonumber(ARGV[1]) then
    return 0
  end
  local class = number(key, 9, 2)
  local epoch = class and number(key, 11 + class, 2)
  return epoch and number(key, 13 + class + epoch + 16, 8) or 0
end

local answers, now = {}, now_us()
for i = 1, #KEYS / 2 do
  local value, fence = KEYS[2 * i - 1], KEYS[2 * i]
  redis.call('UNLINK', fence)
  local grace, left = grace_of(value), redis.call('PTTL', value)
  if grace > 0 and left > 0 then
    if left > grace then
      left = grace
      redis.call('SETRANGE', value, 1, string.char((number(value, 1, 1) + 1) % 256))
      redis.call('SETRANGE', value, redis.call('STRLEN', value) - 16, string.format('%016.0f', now + left * 1000))
    end
    redis.call('PEXPIRE', value, left)
  elseif redis.call('UNLINK', value) == 0 then
    redis.call('SET', value, '')
    redis.call('DEL', value)
  end
  answers[i] = 1
end
return answers
