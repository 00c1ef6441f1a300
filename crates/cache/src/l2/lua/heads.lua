-- The first bytes of values, which tell one entry from every other.
-- KEYS for each key: value
-- ARGV[1] index of the last byte wanted
-- Returns for each key its bytes, '' where there is no value.
local answers = {}
for i, value in ipairs(KEYS) do
  answers[i] = redis.call('GETRANGE', value, 0, ARGV[1])
end
return answers
