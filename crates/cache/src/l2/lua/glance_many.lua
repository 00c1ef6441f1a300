-- Reads values, and nothing else. What is no string is foreign, and counts as nothing.
-- KEYS values
-- ARGV[1] bytes after which no further value is read
-- Returns for each key its value, or nil; of the first keys only when their bytes are enough.
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
