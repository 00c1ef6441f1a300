-- One job as readers see it; in front of the scripts that return some.
-- Flat: id, state, time that orders it there, envelope, delivery, started, failures, run_at or "", percent or -1, message,
-- note or nothing, result or nothing, history as {started, ended, error}.
local function show(id, where, at, envelope)
  local run = load_run(id)
  local state = load_state(id)
  local history = {}
  for nth, attempt in ipairs(state.history or {}) do
    history[nth] = { whole(attempt[1]), whole(attempt[2]), attempt[3] }
  end
  return {
    id, where, at, envelope,
    run and run.delivery or '0', run and run.started or '', whole(state.failures or 0),
    state.run_at and whole(state.run_at) or '', state.percent or -1, state.message or '', state.note or false,
    where == 'done' and redis.call('HGET', K.result, id) or false, history,
  }
end
