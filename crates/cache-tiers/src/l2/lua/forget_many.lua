-- Invalidates keys: deletes value and fence in one step. If there was no value, one is set and
-- deleted, so that Redis notifies every process that follows, also those that hold a value which
-- Redis does not.
-- KEYS for each key: value, fence
-- Returns for each key 1.
local answers = {}
for i = 1, #KEYS / 2 do
  redis.call('UNLINK', KEYS[2 * i])
  if redis.call('UNLINK', KEYS[2 * i - 1]) == 0 then
    redis.call('SET', KEYS[2 * i - 1], '')
    redis.call('DEL', KEYS[2 * i - 1])
  end
  answers[i] = 1
end
return answers
