-- Deletes what there is of keys for which a load brought nothing to keep, but for those of which an invalidation removed the fence.
-- KEYS for each key: value, fence
-- ARGV[1] 1 when every process that follows is to be told, also where there was no value: then one comes and goes, as in `forget`
-- ARGV then for each key: the load's fence
-- Returns for each key 2 when all others are to be told, 1 when there was nothing to tell, 0 when refused.
local answers, always = {}, ARGV[1] == '1'
for i = 1, #KEYS / 2 do
  local value, fence = KEYS[2 * i - 1], KEYS[2 * i]
  if redis.call('GET', fence) == ARGV[i + 1] then
    redis.call('DEL', fence)
    local deleted = redis.call('UNLINK', value)
    if deleted == 0 and always then
      redis.call('SET', value, '')
      redis.call('DEL', value)
      deleted = 1
    end
    answers[i] = 1 + deleted
  else
    answers[i] = 0
  end
end
return answers
