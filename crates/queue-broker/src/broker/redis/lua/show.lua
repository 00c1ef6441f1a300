-- One job in the form for readers. Prepended to the scripts that read. The list is flat: id, state,
-- time that orders it in that state, envelope, delivery, started, failures, run_at or "", percent
-- or -1, message, note or nothing, result or nothing, checkpoint or nothing, history as {started,
-- ended, error}.
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
    where == 'done' and (redis.call('HGET', K.result, id) or 'null') or false,
    redis.call('HGET', K.checkpoint, id), history,
  }
end
