-- The first bytes of values, which distinguish one entry from every other.
-- KEYS for each key: value
-- ARGV[1] index of the last byte wanted
-- Returns for each key its bytes, '' if there is no value or a foreign one.
local answers = {}
for i, value in ipairs(KEYS) do
  local head = redis.pcall('GETRANGE', value, 0, ARGV[1])
  answers[i] = type(head) == 'string' and head or ''
end
return answers
