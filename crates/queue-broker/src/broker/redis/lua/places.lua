-- Places of jobs that have not started, and how they leave them.

-- A job's state, the time that orders it in that state, and its latest token. A torn removal may
-- have left the end of an earlier job of this id.
local function standing(id, envelope)
  local entry = redis.call('HGET', K.lease, id)
  if entry then
    local run = read_lease(entry)
    return 'leased', whole(run.deadline), run.token
  end
  local ended = redis.call('HGET', K.ended, id)
  if is_end_of(ended, envelope) then
    local at, token = string.match(ended, '^(%d+) (.*)$')
    return 'done', at, token
  end
  local latest = redis.call('HGET', K.latest, id)
  for _, state in ipairs({ 'dead', 'cancelled' }) do
    local at = redis.call('ZSCORE', K[state], id)
    if is_end_of(at, envelope) then
      return state, at, latest
    end
  end
  local seq, created, _, level = head(envelope)
  local member = place(seq, level, id)
  for _, state in ipairs({ 'delayed', 'waiting' }) do
    local at = redis.call('ZSCORE', K[state], member)
    if at then
      return state, at, latest
    end
  end
  local back = redis.call('ZSCORE', K.back, member)
  if back then
    return 'ready', whole(tonumber(back) - level * LEVEL), latest
  end
  return 'ready', whole(created), latest
end
