-- Deletes what there is of keys for which a load brought nothing to keep, but for those of which an invalidation removed the fence.
-- Where the fence is gone, because it ran out or was evicted, what the load was to replace goes all the same if it still lies there.
-- KEYS for each key: value, fence
-- ARGV for each key: the load's fence, the head of the value that lay there when it was given, or '', and 1 when every process that
-- follows is to be told, also where there was no value: then one comes and goes, as in `forget`
-- Returns for each key 2 when all others are to be told, 1 when there was nothing to tell, 0 when refused.
local answers = {}
for i = 1, #KEYS / 2 do
  local value, fence = KEYS[2 * i - 1], KEYS[2 * i]
  local given, past, always = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i] == '1'
  local stands = redis.call('GET', fence)
  if stands == given then
    -- One command, so that the removal of the value is written even if there is none: a torn
    -- append-only file can bring back a value in front of it.
    local deleted = redis.call('UNLINK', fence, value) - 1
    if deleted == 0 and always then
      redis.call('SET', value, '')
      redis.call('DEL', value)
      deleted = 1
    end
    answers[i] = 1 + deleted
  elseif not stands and past ~= '' and redis.pcall('GETRANGE', value, 0, #past - 1) == past then
    redis.call('UNLINK', value)
    answers[i] = 2
  else
    answers[i] = 0
  end
end
return answers
