-- Settles successes, then leases what is next by level, time and age. This first half does what is usual; where
-- something isn't, the second goes on from there.
-- ARGV  worker; most jobs; length of a lease in ms; number of this request;
--       count and numbers of earlier requests of this worker whose reply was lost;
--       for each run of successes of one fetch: "delivery nonce", count, 1 where results follow the ids; ids (and results)
-- Returns the time; "delivery nonce" of the jobs that are plain; one digit for each success (0 now, 1 before,
--         2 superseded), or nothing where all are settled now;
--         for each job, its id and envelope; before the envelope stands "|delivery failures ready_at|" where they aren't
--         1, 0 and the time at which it was enqueued;
--         1 where all that the lost replies gave is among them.
local call = redis.call
-- A field of its own keeps the hash from being a small one, which the server would look through from the start.
local WIDE = string.rep('-', 65)
local now = math.floor(now_us() / 1000)
local stamp = string.format('%.0f', now)
local need = tonumber(ARGV[2])
local token = '1 ' .. ARGV[1] .. '-' .. ARGV[4] .. '-' .. stamp .. '-' .. ARGV[3]
local meta = call('HMGET', META, 'layout', 'paused', 'expiry', 'keep', 'limits', 'linked', 'events')
if meta[1] and meta[1] ~= LAYOUT then
  return redis.error_reply('LAYOUT ' .. meta[1] .. ' of this queue is not ' .. LAYOUT)
end
local first_ack = 6 + ARGV[5]

-- What is not settled in bulk: {number, id, token, result}.
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
    if #results > 0 then
      call('HSET', RESULT, unpack(results))
    end
  elseif step == 2 then
    call('HSET', RESULT, unpack(ARGV, first, last))
  end
  if #ids > 0 then
    if call('HDEL', LEASE, unpack(ids)) ~= #ids then
      -- Some were named twice.
      local once, taken = {}, {}
      for nth = 1, #ids do
        if taken[ids[nth]] then
          odd[#odd + 1] = { acks + nth, ids[nth], run }
        else
          taken[ids[nth]] = true
          once[#once + 1] = ids[nth]
        end
      end
      ids = once
    end
    local record, ended, pair = stamp .. ' ' .. run, {}, 0
    for nth = 1, #ids do
      ended[pair + 1] = ids[nth]
      pair = pair + 2
      ended[pair] = record
    end
    call('HSET', ENDED, unpack(ended))
    done_length = call('RPUSH', DONE, unpack(ids))
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
  call('HINCRBY', META, 'completed', completed)
  -- What is kept is trimmed exactly by upkeep, now and then; in between it grows no further than this.
  local excess = meta[4] and done_length - meta[4] - 1000 or 0
  if excess > 0 and call('EXISTS', LOG) == 0 then
    local old = call('LPOP', DONE, excess < 500 and excess or 500)
    call('HDEL', ENDED, unpack(old))
    call('HDEL', JOB, unpack(old))
    if call('EXISTS', RESULT, LATEST, STATE, CHECKPOINT) > 0 then
      call('HDEL', RESULT, unpack(old))
      call('HDEL', LATEST, unpack(old))
      call('HDEL', STATE, unpack(old))
      call('HDEL', CHECKPOINT, unpack(old))
    end
  end
end

local reply, given = {}, 0
local wants = meta[1] and meta[2] ~= '1' and need > 0

-- How many may begin to run, by the settings of the queue.
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
  return math.min(tokens, math.max(most_running - math.max(call('HLEN', LEASE) - 1, 0), 0))
end
local room = room_now()

if wants and ARGV[5] == '0' and #odd == 0 and call('EXISTS', BACK, TOMB) == 0 then
  local most = need < room and need or room
  while given < most do
    local window = most - given
    local popped = call('LMPOP', 5, READY0, READY1, READY2, READY3, READY4, 'LEFT', 'COUNT', window < 500 and window or 500)
    if not popped then
      break
    end
    local ids = popped[2]
    local envelopes = call('HMGET', JOB, unpack(ids))
    local leases, pair, place = {}, 0, given * 2
    for nth = 1, #ids do
      local id = ids[nth]
      leases[pair + 1] = id
      pair = pair + 2
      leases[pair] = token
      reply[place + 1] = id
      place = place + 2
      reply[place] = envelopes[nth]
    end
    if meta[6] then
      for nth = 1, #ids do
        if envelopes[nth] and string.byte(envelopes[nth]) == 108 then
          leases[nth * 2] = token .. ' 0 0 l'
        end
      end
    end
    call('HSET', LEASE, unpack(leases))
    given = given + #ids
    if meta[7] == '1' then
      for nth = 1, #ids do
        call('XADD', EVENTS, 'MAXLEN', '~', 10000, '*', 'e', stamp .. ' ' .. ids[nth] .. ' started')
      end
    end
  end
  wants = false
  if given == need and need < room and call('EXISTS', READY0, READY1, READY2, READY3, READY4) > 0 then
    if not call('LPOS', WAKE, 'r') then
      call('RPUSH', WAKE, 'r')
    end
  else
    call('LREM', WAKE, 0, 'r')
    -- Whoever took the last tokens is at work, and so waits for no others.
    if rate and given == need and tokens <= need and call('EXISTS', READY0, READY1, READY2, READY3, READY4) > 0
      and not call('LPOS', WAKE, 'd') then
      call('RPUSH', WAKE, 'd')
    end
  end
elseif meta[5] and completed > 0 and need == 0 and room > 0 and meta[2] ~= '1'
  and call('EXISTS', BACK, READY0, READY1, READY2, READY3, READY4) > 0 and not call('LPOS', WAKE, 'r') then
  -- Somebody may be kept from ready jobs by those that ended.
  call('RPUSH', WAKE, 'r')
end

local function take_tokens(taken)
  if rate and taken > 0 then
    local full_at = math.max(math.min(rate.full_at, now + rate.per), now) + taken * rate.interval
    call('HSET', META, 'full_at', string.format('%.17g', full_at))
  end
end

-- No lease ends before this time: what reclaim has to look at.
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
  return { stamp, token, false, reply }
end
