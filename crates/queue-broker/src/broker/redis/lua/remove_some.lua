-- Removes finished jobs by id, with their records.
-- KEYS  meta, job, latest, state, result, checkpoint, log, done, ended, dead, cancelled, and those
--       of standing()
-- ARGV  ids
-- Returns for each: removed, missing, or the state that does not allow it.
--
-- The record is deleted after all data that belongs to it, and before the place. A step that is cut
-- off leaves no record without a place, which would look like a lost job.
local answers = {}
for nth, id in ipairs(ARGV) do
  local envelope = redis.call('HGET', K.job, id)
  local where = envelope and standing(id, envelope)
  if not envelope then
    answers[nth] = 'missing'
  elseif where ~= 'done' and where ~= 'dead' and where ~= 'cancelled' then
    answers[nth] = where
  else
    for _, hash in ipairs({ 'latest', 'state', 'result', 'checkpoint' }) do
      redis.call('HDEL', K[hash], id)
    end
    local lines = redis.call('HGET', K.log, id)
    if lines then
      local fields = { id }
      for line = 0, math.min(tonumber(lines), LOG_LINES) - 1 do
        fields[#fields + 1] = id .. '#' .. line
      end
      redis.call('HDEL', K.log, unpack(fields))
    end
    if where == 'done' then
      count_over(1)
    end
    redis.call('HDEL', K.job, id)
    if where == 'done' then
      redis.call('LREM', K.done, -1, id)
      redis.call('HDEL', K.ended, id)
    else
      redis.call('ZREM', K[where], id)
    end
    answers[nth] = 'removed'
  end
end
return answers
