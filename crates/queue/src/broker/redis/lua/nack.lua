-- Settles leases that did not succeed.
-- KEYS  meta, lease, ended, latest, job, state, back, delayed, dead, cancelled, wake, those of links, ready0 … ready4
-- ARGV  for each lease: id, "delivery nonce", action, delay in ms, text.
--       Actions: retry, snooze (an empty text is no note), dead, release, discard
-- Returns one digit for each lease: 0 now, 1 before, 2 superseded.
local now = now_ms()
local settled = {}

local function finish(set, id, envelope)
  redis.call('ZADD', K[set], whole(now), id)
  has_ended(id, envelope, set, now)
end

local function apply(id, run, action, delay, text)
  local state = load_state(id)
  local envelope = redis.call('HGET', K.job, id)
  local seq, created, _, level = head(envelope)
  if action == 'retry' then
    state.failures = (state.failures or 0) + 1
    remember(state, run.started, now, text)
    if not cancelled_instead(id, envelope, state, now) then
      redis.call('HINCRBY', K.meta, 'retried', 1)
      tell(now, id, 'retried')
      postpone(id, seq, level, state, math.min(now + delay, LAST_TIME), now)
    end
  elseif action == 'snooze' then
    if not cancelled_instead(id, envelope, state, now) then
      if text ~= '' then
        state.note = text
      else
        state.note = nil
      end
      tell(now, id, 'snoozed')
      postpone(id, seq, level, state, math.min(now + delay, LAST_TIME), now)
    end
  elseif action == 'dead' then
    state.failures = (state.failures or 0) + 1
    remember(state, run.started, now, text)
    redis.call('HINCRBY', K.meta, 'failed', 1)
    finish('dead', id, envelope)
  elseif action == 'release' then
    if not cancelled_instead(id, envelope, state, now) then
      tell(now, id, 'released')
      make_ready(id, seq, level, run.ready_at == '0' and created or tonumber(run.ready_at))
    end
  else
    state.note = text
    finish('cancelled', id, envelope)
  end
  if next(state) then
    save_state(id, state)
  end
end

for at = 1, #ARGV, 5 do
  local id, token = ARGV[at], ARGV[at + 1]
  local run = held_by(id, token)
  if run then
    redis.call('HDEL', K.lease, id)
    redis.call('HSET', K.latest, id, token)
    apply(id, run, ARGV[at + 2], tonumber(ARGV[at + 3]), ARGV[at + 4])
    settled[#settled + 1] = '0'
  else
    settled[#settled + 1] = unsettled(id, token)
  end
end
wake_if_limited()
return table.concat(settled)
