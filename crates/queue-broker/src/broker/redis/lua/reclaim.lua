-- Reclaims expired leases, unless their holders may not have had a chance to report: maintenance
-- paused, the clock jumped, or this is another server, or another start of it, than the last
-- maintenance saw. Also wakes waiting workers if jobs wait too and there is no token: it may have
-- been lost with the process that took it.
-- KEYS  meta, lease, ended, latest, job, state, back, delayed, dead, cancelled, wake, those of
--       links, ready0 … ready4
-- ARGV  length of a lease in ms; gap that counts as a pause in ms; leases a job may lose; maximum
--       number of jobs
-- Returns 1 if nothing was checked, else 0; ids that are ready; dead; cancelled; ms until the next
--         lease may expire, or nothing; if the queue must be audited, the server's history.
local LOOKS = 20000 -- leases looked at in one step
local there = redis.call('EXISTS', K.meta, K.lease, K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4, K.delayed)
if there == 0 then
  return { 0, {}, {}, {}, false, false }
end
local now = now_ms()
local layout, last, from, server, expiry, cursor, soonest, audited, auditing, claimed = unpack(redis.call('HMGET', K.meta,
  'layout', 'maintained', 'reclaim_from', 'server', 'expiry', 'scan', 'soonest', 'audited', 'auditing', 'auditing_server'))
local refused = refusal(layout)
if refused then
  return refused
end

-- A restart and a failover begin a new history of replication. If the server does not report it,
-- the other signs must do. A process that audits an earlier history does not keep others from
-- auditing this one.
local info = redis.pcall('INFO', 'replication')
local this_server = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
local audit = layout and this_server ~= '' and audited ~= this_server
  and (claimed ~= this_server or not auditing or tonumber(auditing) <= now or tonumber(auditing) > now + AUDIT)
  and this_server
if audit then
  redis.call('HSET', K.meta, 'auditing', whole(now + AUDIT), 'auditing_server', this_server)
end

-- If nothing is leased, no holder has to report.
local function begin_anew(server)
  redis.call('HSET', K.meta, 'maintained', whole(now), 'reclaim_from', whole(now), 'server', server)
  return { 0, {}, {}, {}, false, audit }
end

-- The usual check of an idle queue.
if there == 1 then
  return begin_anew('')
end
if redis.call('EXISTS', K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4) > 0 then
  wake_for_ready()
end
local due = redis.call('ZRANGE', K.delayed, 0, 0, 'WITHSCORES')[2]
if due and tonumber(due) < now then
  wake('d')
end

if leased_count() == 0 then
  if expiry then
    redis.call('HDEL', K.lease, '')
    redis.call('HDEL', K.meta, 'expiry', 'scan', 'soonest')
  end
  return begin_anew(this_server)
end
local longest = now + ARGV[1]
last, from = tonumber(last or nil), tonumber(from or 0)
local is_elsewhere = server ~= '' and this_server ~= server
local backward = last and now < last
if not last or backward or now - last > tonumber(ARGV[2]) or is_elsewhere then
  from = longest
  -- On another server a cursor means nothing, and after a jump no time does. A torn file may also
  -- have kept the start of a walk over leases without its end, and so a time at which none is
  -- searched.
  if cursor or is_elsewhere then
    cursor, soonest, expiry = nil, nil, whole(now)
    redis.call('HDEL', K.meta, 'scan', 'soonest')
    redis.call('HSET', K.meta, 'expiry', expiry)
  end
end
redis.call('HSET', K.meta, 'maintained', whole(now), 'reclaim_from', whole(from), 'server', this_server)
if backward then
  -- As many as concurrent runs of workers.
  local entries = redis.call('HGETALL', K.lease)
  local cut = {}
  for at = 1, #entries, 2 do
    local run = entries[at] ~= '' and read_lease(entries[at + 1])
    if run and run.deadline > longest then
      cut[#cut + 1] = entries[at]
      cut[#cut + 1] = run.token .. ' ' .. whole(longest) .. ' ' .. run.ready_at .. run.mark
    end
  end
  bulk('HSET', K.lease, cut)
  -- Also if none is shortened: leases renewed since the jump end before the known time.
  expiry = whole(now)
  redis.call('HSET', K.meta, 'expiry', expiry)
end

local function next_in()
  local at = cursor and now or tonumber(expiry)
  return at and leased_count() > 0 and whole(math.max(math.max(at, from) - now, 0)) or false
end

if now < from then
  return { 1, {}, {}, {}, next_in(), audit }
end

local ready, dead, cancelled = {}, {}, {}

local function expire(id, run)
  local envelope = redis.call('HGET', K.job, id)
  if not envelope then
    redis.call('HDEL', K.lease, id)
    return
  end
  -- If a job has ended too, as after a torn append-only file, the end holds.
  local ended = redis.call('HGET', K.ended, id)
  if is_end_of(ended, envelope) then
    if string.match(ended, '^%d+ (.*)$') == run.token then
      has_ended(id, envelope, 'done', now)
    end
    redis.call('HDEL', K.lease, id)
    return
  end
  for _, set in ipairs({ 'dead', 'cancelled' }) do
    if is_end_of(redis.call('ZSCORE', K[set], id), envelope) then
      has_ended(id, envelope, set, now)
      redis.call('HDEL', K.lease, id)
      return
    end
  end
  local state = load_state(id)
  local lost = (state.lost or 0) + 1
  local seq, _, _, level = head(envelope)
  state.lost = lost
  remember(state, run.started, now, 'lease expired at worker ' .. run.worker)
  if state.cancel then
    state.note = 'cancelled while running'
  elseif lost >= tonumber(ARGV[3]) then
    state.note = 'lost ' .. whole(lost) .. ' leases'
  else
    state.run_at = now
  end
  add_to(K.meta, 'reclaimed', 1)
  save_state(id, state)
  redis.call('HSET', K.latest, id, run.delivery .. ' -')
  if state.cancel then
    redis.call('ZADD', K.cancelled, whole(now), id)
    has_ended(id, envelope, 'cancelled', now)
    cancelled[#cancelled + 1] = id
  elseif lost >= tonumber(ARGV[3]) then
    add_to(K.meta, 'failed', 1)
    redis.call('ZADD', K.dead, whole(now), id)
    has_ended(id, envelope, 'dead', now)
    dead[#dead + 1] = id
  else
    add_event(now, id, 'reclaimed')
    make_ready(id, seq, level, now)
    ready[#ready + 1] = id
  end
  redis.call('HDEL', K.lease, id)
end

-- No lease ends before `expiry`. Once it has passed, all leases are checked, some thousand per
-- step, and it is set again. The walk may miss jobs that are leased meanwhile. So `expiry` begins
-- as never, and fetches lower it.
if not cursor then
  if expiry and now < tonumber(expiry) then
    return { 0, {}, {}, {}, next_in(), audit }
  end
  redis.call('HSET', K.meta, 'expiry', whole(LAST_TIME))
end
cursor, soonest = cursor or '0', tonumber(soonest or LAST_TIME)
local most = tonumber(ARGV[4])
local late = {}
local looked = 0
repeat
  local page = redis.call('HSCAN', K.lease, cursor, 'COUNT', CHUNK)
  cursor = page[1]
  for at = 1, #page[2], 2 do
    looked = looked + 1
    local run = page[2][at] ~= '' and read_lease(page[2][at + 1])
    if not run then
      looked = looked - 1
    elseif run.deadline <= now then
      run.id = page[2][at]
      late[#late + 1] = run
    elseif run.deadline < soonest then
      soonest = run.deadline
    end
  end
until cursor == '0' or looked >= LOOKS or #late >= most
table.sort(late, function(a, b)
  return a.deadline < b.deadline or (a.deadline == b.deadline and a.id < b.id)
end)
for nth = 1, math.min(#late, most) do
  expire(late[nth].id, late[nth])
end
if #late > most then
  soonest = now
end
if cursor ~= '0' then
  redis.call('HSET', K.meta, 'scan', cursor, 'soonest', whole(soonest))
else
  cursor = nil
  redis.call('HDEL', K.meta, 'scan', 'soonest')
  if leased_count() > 0 then
    expiry = whole(math.min(soonest, tonumber(redis.call('HGET', K.meta, 'expiry'))))
    redis.call('HSET', K.meta, 'expiry', expiry)
  else
    expiry = nil
    redis.call('HDEL', K.meta, 'expiry')
    redis.call('HDEL', K.lease, '')
  end
end
if #late > 0 then
  wake_if_limited()
end
return { 0, ready, dead, cancelled, next_in(), audit }
