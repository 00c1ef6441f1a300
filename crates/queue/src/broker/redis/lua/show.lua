-- Where jobs stand, and one as readers see it; in front of the scripts that read.

-- A job's state, the time that orders it there, and its latest token.
local function standing(id, envelope)
  local entry = redis.call('HGET', K.lease, id)
  if entry then
    local run = read_lease(entry)
    return 'leased', whole(run.deadline), run.token
  end
  local ended = redis.call('HGET', K.ended, id)
  if ended then
    local at, token = string.match(ended, '^(%d+) (.*)$')
    return 'done', at, token
  end
  local latest = redis.call('HGET', K.latest, id)
  for _, state in ipairs({ 'dead', 'cancelled' }) do
    local at = redis.call('ZSCORE', K[state], id)
    if at then
      return state, at, latest
    end
  end
  local seq, created, _, level = head(envelope)
  local due = redis.call('ZSCORE', K.delayed, place(seq, level, id))
  if due then
    return 'delayed', due, latest
  end
  local back = redis.call('ZSCORE', K.back, place(seq, level, id))
  if back then
    return 'ready', whole(tonumber(back) - level * LEVEL), latest
  end
  return 'ready', whole(created), latest
end

-- Flat: id, state, time that orders it there, envelope, delivery, started, failures, run_at or "", percent or -1, message,
-- note or nothing, result or nothing, history as {started, ended, error}.
local function show(id, where, at, envelope, token)
  local state = load_state(id)
  local history = {}
  for nth, attempt in ipairs(state.history or {}) do
    history[nth] = { whole(attempt[1]), whole(attempt[2]), attempt[3] }
  end
  local delivery, _, started
  if token then
    delivery, _, started = token_parts(token)
    delivery = delivery or string.match(token, '^%d+')
  end
  return {
    id, where, at, envelope,
    delivery or '0', started or '', whole(state.failures or 0),
    state.run_at and whole(state.run_at) or '', state.percent or -1, state.message or '', state.note or false,
    where == 'done' and (redis.call('HGET', K.result, id) or 'null') or false, history,
  }
end
