-- Stores what a caller brought; loads of these keys that are under way may no longer fill.
-- KEYS for each key: value, fence
-- ARGV for each key: entry, its lifetime in ms
-- Returns for each key 1.
local answers = {}
for i = 1, #KEYS / 2 do
  redis.call('DEL', KEYS[2 * i])
  redis.call('SET', KEYS[2 * i - 1], ARGV[2 * i - 1], 'PX', ARGV[2 * i])
  answers[i] = 1
end
return answers
