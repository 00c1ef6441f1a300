-- Reads values on a replica, and writes nothing. A value that is not a string is foreign, and
-- counts as no value.
-- KEYS values
-- ARGV[1] bytes after which no further value is read
-- Returns for each key value and ms left, or nil twice. If the bytes are reached, for the first
-- keys only.
local answers, bytes, most = {}, 0, tonumber(ARGV[1])
for i = 1, #KEYS do
  if bytes >= most then
    break
  end
  local value = redis.pcall('GET', KEYS[i])
  if type(value) == 'string' and value ~= '' then
    bytes = bytes + #value
    answers[2 * i - 1] = value
    answers[2 * i] = redis.call('PTTL', KEYS[i])
  else
    answers[2 * i - 1] = false
    answers[2 * i] = false
  end
end
return answers
