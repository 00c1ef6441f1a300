-- Reads values, and nothing else. A value that is not a string is foreign, and counts as no value.
-- KEYS values
-- ARGV[1] bytes after which no further value is read
-- Returns for each key its value, or nil. If the bytes are reached, for the first keys only.
local answers, bytes, most = {}, 0, tonumber(ARGV[1])
for i = 1, #KEYS do
  if bytes >= most then
    break
  end
  local value = redis.pcall('GET', KEYS[i])
  if type(value) == 'string' then
    bytes = bytes + #value
    answers[i] = value
  else
    answers[i] = false
  end
end
return answers
