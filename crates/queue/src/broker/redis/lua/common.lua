-- What the scripts of one partition share. In front of it stand now_us() and K, the declared keys by name.
--
-- job     id -> "seq created run_at level version max_attempts timeout_ms kind payload"   never changes
-- latest  id -> "delivery nonce request started ready_at seq level"   the latest lease; nonce "-": it was taken away;
--               ready_at "0": as enqueued
-- state   id -> MessagePack of failures, lost, furthest, cancel, history, percent, message, note, run_at
-- lease   "id.delivery.nonce" -> deadline
-- ready:L "seq.id", jobs as enqueued;  back "seq.level.id" -> level * LEVEL + ready since, those that came back
-- Times are whole milliseconds.
local LEVEL = 281474976710656 -- 2^48, above any time
local LAST_TIME = 253402300799999
local CHUNK = 1000 -- unpack takes no more, and pairs stay together
local HISTORY = 32

local function whole(number)
  return string.format('%.0f', number)
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

-- Runs a command that counts, on many arguments.
local function bulk(command, key, args)
  local total = 0
  for from = 1, #args, CHUNK do
    total = total + redis.call(command, key, unpack(args, from, math.min(from + CHUNK - 1, #args)))
  end
  return total
end

-- Runs a command that answers each argument, on many.
local function collect(command, key, args)
  if #args <= CHUNK then
    return #args > 0 and redis.call(command, key, unpack(args)) or {}
  end
  local all = {}
  for from = 1, #args, CHUNK do
    for _, answer in ipairs(redis.call(command, key, unpack(args, from, math.min(from + CHUNK - 1, #args)))) do
      all[#all + 1] = answer
    end
  end
  return all
end

-- The member of a waiting job: those of one time are ordered by age.
local function place(seq, level, id)
  return string.format('%012.0f.%s.%s', seq, level, id)
end

local function load_run(id)
  local text = redis.call('HGET', K.latest, id)
  if not text then
    return nil
  end
  local run = {}
  run.delivery, run.nonce, run.request, run.started, run.ready_at, run.seq, run.level =
    string.match(text, '^(%d+) (%S+) (%d+) (%d+) (%d+) (%d+) (%d)$')
  return run
end

local function save_run(id, run)
  redis.call('HSET', K.latest, id, table.concat(
    { run.delivery, run.nonce, run.request, run.started, run.ready_at, run.seq, run.level }, ' '))
end

local function load_state(id)
  local packed = redis.call('HGET', K.state, id)
  return packed and cmsgpack.unpack(packed) or {}
end

local function save_state(id, state)
  redis.call('HSET', K.state, id, cmsgpack.pack(state))
end

-- seq, created, run_at and level of an envelope.
local function head(envelope)
  return string.match(envelope, '^(%d+) (%d+) (%d+) (%d) ')
end

-- At most one token of a kind waits: "r" for ready jobs, "d" for an earlier due time.
local function wake(kind)
  if not redis.call('LPOS', K.wake, kind) then
    redis.call('RPUSH', K.wake, kind)
  end
end

local function wake_for_ready()
  if redis.call('HGET', K.meta, 'paused') ~= '1' then
    wake('r')
  end
end

local function make_ready(id, seq, level, since)
  redis.call('ZADD', K.back, whole(level * LEVEL + since), place(seq, level, id))
  wake_for_ready()
end

-- Delays jobs given as pairs of due time and place, and tells who waits when one of them is the next due.
local function delay_all(pairs_of_due)
  local first = redis.call('ZRANGE', K.delayed, 0, 0)[1]
  bulk('ZADD', K.delayed, pairs_of_due)
  if redis.call('ZRANGE', K.delayed, 0, 0)[1] ~= first then
    wake('d')
  end
end

-- Ready or delayed, with a new due time.
local function postpone(id, seq, level, state, due, now)
  state.run_at = due
  if due <= now then
    make_ready(id, seq, level, due)
  else
    delay_all({ whole(due), place(seq, level, id) })
  end
end

local function remember(state, started, now, failure)
  local history = state.history or {}
  if #history >= HISTORY then
    table.remove(history, 1)
  end
  history[#history + 1] = { tonumber(started), now, failure }
  state.history = history
end

-- A job that somebody wants cancelled does not go back. Returns whether that is so.
local function cancelled_instead(id, state, now)
  if state.cancel then
    state.note = 'cancelled while running'
    redis.call('ZADD', K.cancelled, whole(now), id)
  end
  return state.cancel
end

-- For a token that holds no lease: 1 where it names the latest lease, 2 where it is superseded.
local function unsettled(id, delivery, nonce)
  local named = delivery .. ' ' .. nonce .. ' '
  local latest = redis.call('HGET', K.latest, id)
  if latest and string.sub(latest, 1, #named) == named then
    return '1'
  end
  if redis.call('EXISTS', K.meta) == 1 then
    redis.call('HINCRBY', K.meta, 'stale', 1)
  end
  return '2'
end

-- Where a job stands: its state and the time that orders it there.
local function standing(id, envelope)
  local latest = load_run(id)
  if latest and latest.nonce ~= '-' then
    local deadline = redis.call('ZSCORE', K.lease, id .. '.' .. latest.delivery .. '.' .. latest.nonce)
    if deadline then
      return 'leased', deadline, latest
    end
  end
  for _, state in ipairs({ 'done', 'dead', 'cancelled' }) do
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
  return 'ready', created, latest
end
