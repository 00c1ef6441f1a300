-- The list in which a job should be, "done" or its level; none if it has another place. A completed
-- job may still have its lease, which reclaim removes.
local function list_of(id, envelope)
  if is_end_of(redis.call('HGET', K.ended, id), envelope) then
    return 'done'
  elseif redis.call('HEXISTS', K.lease, id) == 1 or is_end_of(redis.call('ZSCORE', K.dead, id), envelope)
    or is_end_of(redis.call('ZSCORE', K.cancelled, id), envelope) then
    return nil
  end
  local seq, _, _, level = head(envelope)
  local member = place(seq, level, id)
  if redis.call('ZSCORE', K.back, member) or redis.call('ZSCORE', K.delayed, member)
    or redis.call('ZSCORE', K.waiting, member) then
    return nil
  end
  return level
end
