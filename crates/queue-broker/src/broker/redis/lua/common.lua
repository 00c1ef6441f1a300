-- Shared code of the scripts of one partition. now_us() and K, the declared keys by name, precede
-- it.
--
-- job     id -> "[l]base created[/run_at] nth level[extras] version max_attempts timeout_ms kind
--               payload"   never changes; base + nth is the running number seq, the l marks a job
--               on which other jobs depend
-- lease   id -> "delivery nonce[ until ready_at[ l]]"   the jobs at workers. The nonce is
--               "worker-request-started-length"; until, if it is not 0, replaces started + length
-- ended   id -> "ended delivery nonce"   the completed jobs; done lists their ids as they ended
-- latest  id -> "delivery nonce"   of jobs whose lease ended otherwise; nonce "-": it was revoked
-- state   id -> MessagePack of failures, lost, furthest, cancel, history, percent, message, note,
--               run_at
-- ready:L id, jobs as enqueued
-- back    "seq.level.id" -> level * LEVEL + ready since, jobs that came back
-- tomb    id -> "created seq", elements of ready:L whose job was cancelled
-- waiting "seq.level.id" -> created, of jobs behind another one of their ordering key
-- lines   ordering key -> id of its active job
-- behind  "key NUL seq.level.id", all of score 0, the jobs that wait for the active one
-- unique  unique key -> "id[ until]";  held  unique key -> until
-- groups  "group total", "group done", "group dead", "group cancelled" -> count
-- events  a stream; the field e is "time id what"
-- The extras of an envelope are JSON: o ordering key, u unique key, d what a duplicate does, h for
-- how many ms the key is held, g group. Only the workers use t, x and e. Times are whole
-- milliseconds.
--
-- A crash can tear a script's effects in the append-only file. After two restarts, any first part
-- of them may have run, beside later scripts that saw none of it. Therefore each script writes a
-- job's new place before it removes the old one, and writes totals as absolute values. Only three
-- values are increments: `seq`, which may skip numbers, the lines of a log, and `dropped`, which
-- may count a drop twice. A job in two places is resolved when a script meets it. The audit finds a
-- job in none.
local LEVEL = 281474976710656 -- 2^48, above any time
local LAST_TIME = 253402300799999
local CHUNK = 1000 -- unpack takes no more, and pairs stay together
-- As in standing.rs: bytes of the errors of a history that are kept unchanged, and of each one
-- before those. A full server keeps less.
local HISTORY, HISTORY_BYTES, HISTORY_LEAST = 32, 6144, 64
if FULL then
  HISTORY, HISTORY_BYTES = 4, 256
end
local LOG_LINES = 100
local AUDIT = 10000 -- ms after which the audit of a process that died is given to another one

local function whole(number)
  return string.format('%.0f', number)
end

local function now_ms()
  return math.floor(now_us() / 1000)
end

-- Answer to a client that expects another layout than this queue's: nothing is changed. None if
-- there is no queue yet.
local function refusal(layout)
  if layout and layout ~= LAYOUT then
    return redis.error_reply('LAYOUT ' .. layout .. ' of this queue is not ' .. LAYOUT)
  end
end

-- Creates the queue. Nothing was leased before.
local function make_queue(now)
  redis.call('HSET', K.meta, 'layout', LAYOUT, 'scripts', SCRIPTS, 'maintained', whole(now), 'reclaim_from', whole(now),
    'server', '', 'over', '0')
end

-- Keeps an audit that continues from other processes, unless its queue was deleted.
local function hold_audit(now)
  if redis.call('HEXISTS', K.meta, 'layout') == 1 then
    redis.call('HSET', K.meta, 'auditing', whole(now + AUDIT))
  end
end

-- Runs a command that counts, with many arguments.
local function bulk(command, key, args)
  local total = 0
  for from = 1, #args, CHUNK do
    total = total + redis.call(command, key, unpack(args, from, math.min(from + CHUNK - 1, #args)))
  end
  return total
end

-- Runs a command that returns one reply per argument, with many.
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

-- The member of a waiting job: jobs of one time are ordered by age.
local function place(seq, level, id)
  return string.format('%012.0f.%s.%s', seq, level, id)
end

-- seq, created, run_at, level and extras of an envelope. A foreign envelope must not block its
-- neighbours: no worker can read it, so its job ends among the dead.
local function head(envelope)
  local base, created, run_at, nth, level, extras = string.match(envelope, '^l?(%d+) (%d+)/?(%d*) (%d+) ([0-4])(%S*) ')
  if not base then
    return 0, 0, 0, '2', ''
  end
  return base + nth, tonumber(created), tonumber(run_at) or tonumber(created), level, extras
end

-- The links of a job, or nothing.
local function links(envelope)
  if string.byte(envelope) ~= 108 then
    return nil
  end
  local is_read, link = pcall(cjson.decode, (select(5, head(envelope))))
  return is_read and link or nil
end

-- A token's parts: delivery, worker, started, length.
local function token_parts(token)
  return string.match(token, '^(%d+) (.-)%-%d+%-(%d+)%-(%d+)')
end

-- Fields of an entry of lease. `token` is "delivery nonce".
local function read_lease(entry)
  local token, more = string.match(entry, '^(%d+ %S+)(.*)$')
  local until_ms, ready_at, mark = string.match(more, '^ (%d+) (%d+)(.*)$')
  local delivery, worker, started, length = token_parts(token)
  local deadline = tonumber(until_ms or 0)
  if deadline == 0 then
    deadline = math.min(started + length, LAST_TIME)
  end
  return {
    token = token, delivery = delivery, worker = worker, started = started, deadline = deadline,
    ready_at = ready_at or '0', mark = mark or '',
  }
end

-- The lease that a token names, if it is held.
local function held_by(id, token)
  local entry = redis.call('HGET', K.lease, id)
  if entry and (entry == token or string.sub(entry, 1, #token + 1) == token .. ' ') then
    return read_lease(entry)
  end
  return nil
end

local function load_state(id)
  local packed = redis.call('HGET', K.state, id)
  return packed and cmsgpack.unpack(packed) or {}
end

local function save_state(id, state)
  redis.call('HSET', K.state, id, cmsgpack.pack(state))
end

-- At most one token of a kind waits: "r" for ready jobs, "d" if a check is due, as for an earlier
-- due time.
local function wake(kind)
  if not redis.call('LPOS', K.wake, kind) then
    redis.call('RPUSH', K.wake, kind)
  end
end

-- If settings limit how many jobs may run, waiting workers check by themselves.
local function wake_for_ready()
  local paused, limits = unpack(redis.call('HMGET', K.meta, 'paused', 'limits'))
  if paused ~= '1' then
    wake(limits and 'd' or 'r')
  end
end

local function make_ready(id, seq, level, since)
  redis.call('ZADD', K.back, whole(level * LEVEL + since), place(seq, level, id))
  wake_for_ready()
end

-- Running jobs may block a worker that waits for ready ones.
local function wake_if_limited()
  if redis.call('HGET', K.meta, 'limits')
    and redis.call('EXISTS', K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4) > 0 then
    wake_for_ready()
  end
end

-- Number of jobs at workers, without the field that keeps the hash wide.
local function leased_count()
  return redis.call('HLEN', K.lease) - redis.call('HEXISTS', K.lease, '')
end

-- Adds to a total, as an absolute value.
local function add_to(key, field, count)
  redis.call('HSET', key, field, whole((redis.call('HGET', key, field) or 0) + count))
end

-- Counts completed jobs before their records are deleted. All completed jobs are these and those in
-- `ended`, so that one command ends a job and counts it. An older release counted all in
-- `completed`.
local function count_over(jobs)
  local over = redis.call('HGET', K.meta, 'over')
  if not over or jobs > 0 then
    over = over or (redis.call('HGET', K.meta, 'completed') or 0) - redis.call('HLEN', K.ended)
    redis.call('HSET', K.meta, 'over', whole(over + jobs))
  end
end

-- Whether a time, which may be followed by more, is that of a job's end. A time before the job was
-- created belongs to an earlier job of the same id.
local function is_end_of(at, envelope)
  local ended = at and tonumber(string.match(at, '^%d+'))
  return ended ~= nil and ended ~= false and ended >= tonumber(string.match(envelope, '^l?%d+ (%d+)') or 0)
end

local keeps_events
local function add_event(now, id, what)
  if keeps_events == nil then
    keeps_events = not FULL and redis.call('HGET', K.meta, 'events') == '1'
  end
  if keeps_events then
    redis.call('XADD', K.events, 'MAXLEN', '~', 10000, '*', 'e', whole(now) .. ' ' .. id .. ' ' .. what)
  end
end

-- Delays jobs given as pairs of due time and place. Wakes a waiting worker if one of them is the
-- next due.
local function delay_all(pairs_of_due)
  local first = redis.call('ZRANGE', K.delayed, 0, 0)[1]
  bulk('ZADD', K.delayed, pairs_of_due)
  if redis.call('ZRANGE', K.delayed, 0, 0)[1] ~= first then
    wake('d')
  end
end

-- Ready or delayed.
local function place_at(id, seq, level, due, now)
  if due <= now then
    make_ready(id, seq, level, due)
  else
    delay_all({ whole(due), place(seq, level, id) })
  end
end

-- Returns the first bytes of a text, without cutting a character.
local function cut(text, most)
  if #text <= most then
    return text
  end
  while most > 0 and math.floor(string.byte(text, most + 1) / 64) == 2 do
    most = most - 1
  end
  return string.sub(text, 1, most) .. '…'
end

local function remember(state, started, now, failure)
  local history = state.history or {}
  while #history >= HISTORY do
    table.remove(history, 1)
  end
  history[#history + 1] = { tonumber(started), now, failure }
  local left = HISTORY_BYTES
  for nth = #history, 1, -1 do
    local text = cut(history[nth][3], math.max(left, HISTORY_LEAST))
    history[nth][3] = text
    left = left - #text
  end
  state.history = history
end

-- For a token without a lease: 1 if it names the latest lease, 2 if it is superseded.
local function unsettled(id, token)
  if not redis.call('HGET', K.lease, id) then
    local ended = redis.call('HGET', K.ended, id)
    local latest = ended and string.match(ended, '^%d+ (.*)$') or redis.call('HGET', K.latest, id)
    if latest == token then
      return '1'
    end
  end
  if redis.call('EXISTS', K.meta) == 1 then
    add_to(K.meta, 'stale', 1)
  end
  return '2'
end
