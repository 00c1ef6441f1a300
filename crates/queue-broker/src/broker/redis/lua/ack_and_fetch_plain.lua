-- Settles successes, then leases the next jobs by level, time and age. This first half handles the
-- usual case; the second half continues in any other.
-- ARGV  worker; maximum number of jobs; length of a lease in ms; number of this request;
--       count and numbers of earlier requests of this worker whose reply was lost;
--       for each run of successes of one fetch: "delivery nonce", count, 1 if results follow the
--       ids; ids (and results)
-- Returns the time; "delivery nonce" of the jobs that are plain; one digit for each success (0 now,
--         1 before, 2 superseded), or nothing if all are settled now;
--         for each job, its id and envelope; "|delivery failures ready_at|" precedes the envelope
--         if they are not 1, 0 and the time at which it was enqueued;
--         1 if all jobs of the lost replies are among them; 1 if a full server gives out no more
--         jobs.
local call = redis.call
-- An extra field keeps the hash from being a small one, which the server would search from the
-- start.
local WIDE = string.rep('-', 65)
local now = math.floor(now_us() / 1000)
local stamp = string.format('%.0f', now)
local need = tonumber(ARGV[2])
local token = '1 ' .. ARGV[1] .. '-' .. ARGV[4] .. '-' .. stamp .. '-' .. ARGV[3]
local meta = call('HMGET', META, 'layout', 'paused', 'expiry', 'keep', 'limits', 'linked', 'events', 'over', 'full_memory')
if meta[1] and meta[1] ~= LAYOUT then
  return redis.error_reply('LAYOUT ' .. meta[1] .. ' of this queue is not ' .. LAYOUT)
end
local first_ack = 6 + ARGV[5]
if FULL then
  -- No events.
  meta[7] = false
end

-- Successes that are not settled in bulk: {number, id, token, result}.
local odd = {}
local acks, completed, done_length = 0, 0, 0
local at = first_ack
while at <= #ARGV do
  local run, count, step = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2] == '1' and 2 or 1
  local first, last = at + 3, at + 2 + count * step
  local ids, is_plain = {}, true
  if step == 1 then
    for nth = 1, count do
      ids[nth] = ARGV[first + nth - 1]
    end
  else
    for nth = 1, count do
      ids[nth] = ARGV[first + nth * 2 - 2]
    end
  end
  local held = call('HMGET', LEASE, unpack(ids))
  for nth = 1, count do
    if held[nth] ~= run then
      is_plain = false
      break
    end
  end
  if not is_plain then
    local plain, results = {}, {}
    local taken = {}
    for nth = 1, count do
      local id, entry = ids[nth], held[nth]
      if entry and not taken[id] and string.sub(entry, -2) ~= ' l'
        and (entry == run or string.sub(entry, 1, #run + 1) == run .. ' ') then
        taken[id] = true
        plain[#plain + 1] = id
        if step == 2 then
          results[#results + 1] = id
          results[#results + 1] = ARGV[first + nth * 2 - 1]
        end
      else
        odd[#odd + 1] = { acks + nth, id, run, step == 2 and ARGV[first + nth * 2 - 1] or nil }
      end
    end
    ids = plain
    if #results > 0 and not FULL then
      call('HSET', RESULT, unpack(results))
    end
  elseif step == 2 and not FULL then
    call('HSET', RESULT, unpack(ARGV, first, last))
  end
  if #ids > 0 then
    if not meta[8] then
      -- An older release counted all completed jobs here.
      meta[8] = string.format('%.0f', (call('HGET', META, 'completed') or 0) - call('HLEN', ENDED))
      call('HSET', META, 'over', meta[8])
    end
    local record, ended, pair = stamp .. ' ' .. run, {}, 0
    for nth = 1, #ids do
      ended[pair + 1] = ids[nth]
      pair = pair + 2
      ended[pair] = record
    end
    -- A full server refuses the first write of a script, and accepts the later ones. Each possible
    -- first write (of results, of `over`, of ended jobs or of leases) takes memory, so a refusal
    -- changes nothing.
    local new = call('HSET', ENDED, unpack(ended))
    if new ~= #ids then
      -- Some were named twice, or had ended before.
      local once, taken = {}, {}
      for nth = 1, #ids do
        if taken[ids[nth]] then
          odd[#odd + 1] = { acks + nth, ids[nth], run }
        else
          taken[ids[nth]] = true
          once[#once + 1] = ids[nth]
        end
      end
      if new ~= #once then
        for nth = 1, #once do
          call('LREM', DONE, 1, once[nth])
        end
      end
      ids = once
    end
    done_length = call('RPUSH', DONE, unpack(ids))
    if FULL then
      call('HDEL', CHECKPOINT, unpack(ids))
      if step == 2 then
        call('HINCRBY', META, 'dropped', #ids)
      end
    end
    call('HDEL', LEASE, unpack(ids))
    completed = completed + #ids
    if meta[7] == '1' then
      for nth = 1, #ids do
        call('XADD', EVENTS, 'MAXLEN', '~', 10000, '*', 'e', stamp .. ' ' .. ids[nth] .. ' done')
      end
    end
  end
  acks = acks + count
  at = last + 1
end
if completed > 0 then
  -- Maintenance trims the kept jobs exactly, from time to time. In between they grow up to this
  -- number only.
  local excess = meta[4] and done_length - meta[4] - 1000 or 0
  if excess > 0 and call('EXISTS', LOG) == 0 then
    local oldest = call('LRANGE', DONE, 0, (excess < 500 and excess or 500) - 1)
    -- An id may be in the list twice, and counts once. A torn removal may have left the end of an
    -- earlier job of the same id. So the records are read, as many as fit into a step.
    local old, stale, taken, ended = {}, {}, {}, call('HMGET', ENDED, unpack(oldest))
    local looked, bytes = 0, 0
    while looked < #oldest and bytes < 1048576 do
      looked = looked + 1
      local id, ended_at = oldest[looked], ended[looked] and tonumber(string.match(ended[looked], '^%d+'))
      if ended_at and not taken[id] then
        taken[id] = true
        local envelope = call('HGET', JOB, id)
        bytes = bytes + #(envelope or '')
        if envelope and ended_at >= tonumber(string.match(envelope, '^l?%d+ (%d+)') or 0) then
          old[#old + 1] = id
        else
          stale[#stale + 1] = id
        end
      end
    end
    if #old > 0 and call('EXISTS', RESULT, LATEST, STATE, CHECKPOINT) > 0 then
      call('HDEL', RESULT, unpack(old))
      call('HDEL', LATEST, unpack(old))
      call('HDEL', STATE, unpack(old))
      call('HDEL', CHECKPOINT, unpack(old))
    end
    -- The record is deleted before the field that states the end of its job.
    if #old > 0 then
      call('HSET', META, 'over', string.format('%.0f', meta[8] + #old))
      call('HDEL', JOB, unpack(old))
      call('HDEL', ENDED, unpack(old))
    end
    if #stale > 0 then
      call('HDEL', ENDED, unpack(stale))
    end
    call('LPOP', DONE, looked)
  end
end

local reply, given = {}, 0
local wants = meta[1] and meta[2] ~= '1' and need > 0

-- Whether work has added much to a full server since it was full. Not every ended job frees memory:
-- dead jobs stay. Completed jobs are bounded by retention, and come on top.
local function has_outgrown()
  local info = redis.pcall('INFO', 'memory')
  local used = type(info) == 'string' and string.match(info, 'used_memory:(%d+)')
  if not used then
    return false
  end
  -- Scripts and clients are no work. On a small server, the scripts of a first worker alone would
  -- exceed the bound.
  for _, field in ipairs({ 'mem_not_counted_for_evict', 'used_memory_scripts', 'mem_clients_normal' }) do
    used = used - (string.match(info, field .. ':(%d+)') or 0)
  end
  used = used - 512 * call('LLEN', DONE)
  if not meta[9] then
    call('HSET', META, 'full_memory', string.format('%.0f', used))
  end
  -- Other buffers come and go, which matters on a small server.
  return meta[9] and used > meta[9] + math.max(meta[9] * 0.05, 262144)
end

local is_kept_back = FULL and wants and call('EXISTS', BACK, READY0, READY1, READY2, READY3, READY4) > 0
  and has_outgrown()
wants = wants and not is_kept_back

-- A server that accepts a write is no longer full.
local function forget_full()
  if meta[9] and not FULL and (given > 0 or completed > 0) then
    call('HDEL', META, 'full_memory')
  end
end

-- Number of jobs that may start, by the settings of the queue.
local tokens, most_running, rate = math.huge, nil, nil
if meta[5] then
  local limits = call('HMGET', META, 'max_running', 'rate_jobs', 'rate_per', 'full_at')
  most_running = tonumber(limits[1] or nil)
  if limits[2] then
    rate = { per = tonumber(limits[3]), interval = limits[3] / limits[2], full_at = tonumber(limits[4] or 0) }
    local missing = math.min(math.max(rate.full_at - now, 0), rate.per)
    tokens = math.floor((rate.per - missing) / rate.interval + 1e-6)
  end
end

local function room_now()
  if not most_running then
    return tokens
  end
  return math.min(tokens, math.max(most_running - (call('HLEN', LEASE) - call('HEXISTS', LEASE, '')), 0))
end
local room = room_now()

-- Returns those ids at the front of a list that have no other place, each once, with their
-- envelopes. A torn append-only file leaves others there.
local function in_no_other_place(ids, envelopes, held, ended)
  local latest, cancelled = call('HMGET', LATEST, unpack(ids)), call('ZMSCORE', CANCELLED, unpack(ids))
  local kept, kept_envelopes, taken = {}, {}, {}
  for nth = 1, #ids do
    local id, envelope = ids[nth], envelopes[nth]
    local is_free = envelope and not taken[id] and not held[nth] and not latest[nth]
    if is_free and (ended[nth] or cancelled[nth]) then
      -- Belongs to an earlier job of this id?
      local created = tonumber(string.match(envelope, '^l?%d+ (%d+)') or 0)
      is_free = tonumber(string.match(ended[nth] or cancelled[nth], '^%d+')) < created
    end
    if is_free then
      taken[id] = true
      kept[#kept + 1] = id
      kept_envelopes[#kept] = envelope
    end
  end
  return kept, kept_envelopes
end

if wants and ARGV[5] == '0' and #odd == 0 and call('EXISTS', BACK, TOMB) == 0 then
  local most = need < room and need or room
  local has_more = call('EXISTS', LATEST, CANCELLED) > 0
  for _, list in ipairs({ READY0, READY1, READY2, READY3, READY4 }) do
    local is_all = false
    while given < most and not is_all do
      local window = most - given < 500 and most - given or 500
      local ids = call('LRANGE', list, 0, window - 1)
      local passed = #ids
      is_all = passed < window
      local envelopes = {}
      if passed > 0 then
        envelopes = call('HMGET', JOB, unpack(ids))
        local held, ended = call('HMGET', LEASE, unpack(ids)), call('HMGET', ENDED, unpack(ids))
        local is_doubtful = has_more
        for nth = 1, passed do
          if held[nth] or ended[nth] or not envelopes[nth] then
            is_doubtful = true
            break
          end
        end
        if is_doubtful then
          ids, envelopes = in_no_other_place(ids, envelopes, held, ended)
        end
      end
      local leases, pair = {}, 0
      for nth = 1, #ids do
        leases[pair + 1] = ids[nth]
        pair = pair + 2
        leases[pair] = token
      end
      if meta[6] then
        for nth = 1, #ids do
          if string.byte(envelopes[nth]) == 108 then
            leases[nth * 2] = token .. ' 0 0 l'
          end
        end
      end
      if #ids > 0 and call('HSET', LEASE, unpack(leases)) ~= #ids then
        -- Some are in the list twice.
        ids, envelopes = in_no_other_place(ids, envelopes, {}, {})
      end
      local place = given * 2
      for nth = 1, #ids do
        reply[place + 1] = ids[nth]
        place = place + 2
        reply[place] = envelopes[nth]
      end
      given = given + #ids
      if passed > 0 then
        call('LPOP', list, passed)
      end
      if meta[7] == '1' then
        for nth = 1, #ids do
          call('XADD', EVENTS, 'MAXLEN', '~', 10000, '*', 'e', stamp .. ' ' .. ids[nth] .. ' started')
        end
      end
    end
    if given == most then
      break
    end
  end
  wants = false
  if given == need and need < room and call('EXISTS', READY0, READY1, READY2, READY3, READY4) > 0 then
    if not call('LPOS', WAKE, 'r') then
      call('RPUSH', WAKE, 'r')
    end
  else
    call('LREM', WAKE, 0, 'r')
    -- The worker that took the last tokens is busy, and so does not wait for others.
    if rate and given == need and tokens <= need and call('EXISTS', READY0, READY1, READY2, READY3, READY4) > 0
      and not call('LPOS', WAKE, 'd') then
      call('RPUSH', WAKE, 'd')
    end
  end
elseif meta[5] and completed > 0 and need == 0 and room > 0 and meta[2] ~= '1'
  and call('EXISTS', BACK, READY0, READY1, READY2, READY3, READY4) > 0 and not call('LPOS', WAKE, 'r') then
  -- A worker may be waiting for ready jobs that the ended ones blocked.
  call('RPUSH', WAKE, 'r')
end

local function take_tokens(taken)
  if rate and taken > 0 then
    local full_at = math.max(math.min(rate.full_at, now + rate.per), now) + taken * rate.interval
    call('HSET', META, 'full_at', string.format('%.17g', full_at))
  end
end

-- No lease ends before this time, which reclaim checks.
if given > 0 then
  if not meta[3] then
    call('HSET', LEASE, '', WIDE)
  end
  if not meta[3] or tonumber(meta[3]) > now + ARGV[3] then
    call('HSET', META, 'expiry', string.format('%.0f', now + ARGV[3]))
  end
end
if not wants and #odd == 0 then
  take_tokens(given)
  forget_full()
  return { stamp, token, false, reply, false, is_kept_back and 1 or false }
end
