-- Settles leases that did not succeed.
-- KEYS  meta, lease, ended, latest, job, state, back, delayed, dead, cancelled, wake, those of
--       links, ready0 … ready4
-- ARGV  for each lease: id, "delivery nonce", action, delay in ms, text.
--       Actions: retry, snooze (an empty text is no note), dead, release, discard
-- Returns one digit for each lease: 0 now, 1 before, 2 superseded.
local now = now_ms()
local settled = {}

local function apply(id, token, run, action, delay, text)
  local state = load_state(id)
  local envelope = redis.call('HGET', K.job, id)
  if not envelope then
    return
  end
  if FULL then
    text = cut(text, HISTORY_LEAST)
  end
  local seq, created, _, level = head(envelope)
  local due = math.min(now + delay, LAST_TIME)
  if action == 'retry' or action == 'dead' then
    state.failures = (state.failures or 0) + 1
    remember(state, run.started, now, text)
  elseif action == 'discard' then
    state.note = text
  end
  -- A job with a cancel request is not requeued.
  local set = action == 'dead' and 'dead' or action == 'discard' and 'cancelled' or nil
  if not set and state.cancel then
    state.note = 'cancelled while running'
    set = 'cancelled'
  elseif action == 'snooze' then
    state.note = text ~= '' and text or nil
  end
  if not set and action ~= 'release' then
    state.run_at = due
  end
  if next(state) then
    save_state(id, state)
  end
  redis.call('HSET', K.latest, id, token)
  if set then
    if action == 'dead' then
      add_to(K.meta, 'failed', 1)
    end
    redis.call('ZADD', K[set], whole(now), id)
    has_ended(id, envelope, set, now)
  elseif action == 'release' then
    add_event(now, id, 'released')
    make_ready(id, seq, level, run.ready_at == '0' and created or tonumber(run.ready_at))
  else
    if action == 'retry' then
      add_to(K.meta, 'retried', 1)
    end
    add_event(now, id, action == 'retry' and 'retried' or 'snoozed')
    place_at(id, seq, level, due, now)
  end
end

for at = 1, #ARGV, 5 do
  local id, token = ARGV[at], ARGV[at + 1]
  local run = held_by(id, token)
  if run then
    apply(id, token, run, ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4])
    redis.call('HDEL', K.lease, id)
    settled[#settled + 1] = '0'
  else
    settled[#settled + 1] = unsettled(id, token)
  end
end
wake_if_limited()
return table.concat(settled)
