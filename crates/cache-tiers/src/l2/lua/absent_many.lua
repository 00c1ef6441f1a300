-- Deletes values of keys for which a load returned nothing to store. Keys whose fence an
-- invalidation removed are skipped. If the fence is gone because it expired or was evicted, the
-- value that the load was to replace is deleted if it is still there.
-- KEYS for each key: value, fence
-- ARGV for each key: the load's fence; the head of the value that existed when the fence was given,
-- or ''; 1 if every process that follows must be notified even if there was no value. Such a key is
-- written and deleted, as in `forget`.
-- Returns for each key 2 if all others must be notified, 1 if there is nothing to notify, 0 if
-- refused.
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
