-- Reads values, or takes part in the loads of them. A value that is not a string is foreign, and
-- counts as no value.
-- KEYS for each key: value, fence
-- ARGV[1] a new fence, or '' to take part in no load, ARGV[2] its lifetime in ms, ARGV[3] bytes
-- after which no further value is read
-- ARGV[4] ms left to a fence below which its load is dead, since it was not renewed: then the new
-- fence replaces it
-- ARGV[5..] for each key the head of a value that is known to be invalid, or ''
-- Returns for each key value and ms left, or nil and the fence in force ('' if there is none). If
-- the bytes are reached, for the first keys only.
local answers, bytes, most = {}, 0, tonumber(ARGV[3])
for i = 1, #KEYS, 2 do
  if bytes >= most then
    break
  end
  local rejected = ARGV[4 + (i + 1) / 2]
  local value = redis.pcall('GET', KEYS[i])
  if type(value) == 'string' and value ~= '' and (rejected == '' or string.sub(value, 1, #rejected) ~= rejected) then
    bytes = bytes + #value
    answers[i] = value
    answers[i + 1] = redis.call('PTTL', KEYS[i])
  else
    local fence = ''
    if ARGV[1] ~= '' then
      fence = redis.pcall('GET', KEYS[i + 1])
      if type(fence) ~= 'string' or redis.call('PTTL', KEYS[i + 1]) < tonumber(ARGV[4]) then
        fence = ARGV[1]
        redis.call('SET', KEYS[i + 1], fence, 'PX', ARGV[2])
      end
    end
    answers[i] = false
    answers[i + 1] = fence
  end
end
return answers
