-- Settles successes, then leases what is next by level, time and age.
-- KEYS  meta, lease, latest, job, state, done, result, back, tomb, wake, ready0 … ready4
-- ARGV  nonce of the worker; most jobs; length of a lease in ms; number of this request;
--       count and numbers of earlier requests of this worker whose reply was lost;
--       for each success: id, delivery, nonce, result
-- Returns the time; one digit for each success (0 now, 1 before, 2 superseded);
--         for each job: id, delivery, failures, ready_at (0: as enqueued), envelope.
local now = now_ms()
local stamp = whole(now)
local nonce, request = ARGV[1], ARGV[4]
local need = tonumber(ARGV[2])
local deadline = whole(math.min(now + ARGV[3], LAST_TIME))
local lost = {}
local first_ack = 6 + ARGV[5]
for nth = 6, first_ack - 1 do
  lost[ARGV[nth]] = true
end

local layout, paused = unpack(redis.call('HMGET', K.meta, 'layout', 'paused'))
if layout and layout ~= LAYOUT then
  return redis.error_reply('LAYOUT ' .. layout .. ' of this queue is not ' .. LAYOUT)
end

local settled = {}
if #ARGV >= first_ack then
  local members = {}
  for nth = first_ack, #ARGV, 4 do
    members[#members + 1] = ARGV[nth] .. '.' .. ARGV[nth + 1] .. '.' .. ARGV[nth + 2]
  end
  local held = collect('ZMSCORE', K.lease, members)
  local ended, done, results, late = {}, {}, {}, {}
  local taken = {}
  for nth, member in ipairs(members) do
    local at = first_ack + (nth - 1) * 4
    if held[nth] and not taken[member] then
      taken[member] = true
      settled[nth] = '0'
      ended[#ended + 1] = member
      done[#done + 1] = stamp
      done[#done + 1] = ARGV[at]
      results[#results + 1] = ARGV[at]
      results[#results + 1] = ARGV[at + 3]
    else
      late[#late + 1] = nth
    end
  end
  if #ended > 0 then
    bulk('ZREM', K.lease, ended)
    bulk('ZADD', K.done, done)
    bulk('HSET', K.result, results)
    redis.call('HINCRBY', K.meta, 'completed', #ended)
  end
  for _, nth in ipairs(late) do
    local at = first_ack + (nth - 1) * 4
    settled[nth] = unsettled(ARGV[at], ARGV[at + 1], ARGV[at + 2])
  end
end

local leases, runs, reply = {}, {}, {}
local given = 0

local function give(id, delivery, ready_at, seq, level, failures, envelope)
  given = given + 1
  delivery = whole(delivery)
  leases[#leases + 1] = deadline
  leases[#leases + 1] = id .. '.' .. delivery .. '.' .. nonce
  runs[#runs + 1] = id
  runs[#runs + 1] = delivery .. ' ' .. nonce .. ' ' .. request .. ' ' .. stamp .. ' ' .. ready_at .. ' ' .. seq
    .. ' ' .. level
  local at = #reply
  reply[at + 1], reply[at + 2], reply[at + 3], reply[at + 4], reply[at + 5] =
    id, delivery, failures, ready_at, envelope
end

-- What this worker was given by a reply that it never saw. It counts from now.
local function hand_over()
  local mine = '.' .. nonce
  for from = 0, redis.call('ZCARD', K.lease) - 1, CHUNK do
    for _, member in ipairs(redis.call('ZRANGE', K.lease, from, from + CHUNK - 1)) do
      if given >= need then
        return
      end
      if string.sub(member, -#mine) == mine then
        local id = string.match(member, '^(.*)%.%d+%.[^.]+$')
        local run = load_run(id)
        if run and lost[run.request] then
          give(id, tonumber(run.delivery), run.ready_at, run.seq, run.level,
            whole(load_state(id).failures or 0), redis.call('HGET', K.job, id))
        end
      end
    end
  end
end

-- What is next in line, as {id, seq, level, ready_at}. Tombstones in the list are skipped, a thousand in one call.
local function next_in_line(most)
  local picked = {}
  local skipped = 0
  local mixed = redis.call('EXISTS', K.back, K.tomb) > 0

  local function pick(seq, id, level, since)
    picked[#picked + 1] = { id, seq, level, since }
  end

  local function is_tomb(element)
    if mixed and redis.call('SREM', K.tomb, element) == 1 then
      skipped = skipped + 1
      return true
    end
    return false
  end

  for level = 0, 4 do
    local list = K['ready' .. level]
    local more = true
    while more and #picked < most and skipped < CHUNK do
      local window = math.min(most - #picked, CHUNK)
      local back = mixed and redis.call('ZRANGE', K.back, whole(level * LEVEL), '(' .. whole((level + 1) * LEVEL),
        'BYSCORE', 'LIMIT', 0, window, 'WITHSCORES') or {}
      if #back == 0 then
        local elements = redis.call('LPOP', list, window) or {}
        for _, element in ipairs(elements) do
          if not is_tomb(element) then
            local seq, id = string.match(element, '^(%d+)%.(.+)$')
            pick(seq, id, level, '0')
          end
        end
        more = #elements == window
      else
        local fresh = redis.call('LRANGE', list, 0, window - 1)
        local ids, seqs = {}, {}
        for nth, element in ipairs(fresh) do
          seqs[nth], ids[nth] = string.match(element, '^(%d+)%.(.+)$')
        end
        local envelopes = collect('HMGET', K.job, ids)
        local from_list, from_back, taken = 0, 0, {}
        local picked_here = 0
        more = true
        while picked_here < window do
          local element, member = fresh[from_list + 1], back[from_back * 2 + 1]
          if element and is_tomb(element) then
            from_list = from_list + 1
          elseif (not element and #fresh == window) or (not member and #back == window * 2) then
            break
          elseif not element and not member then
            more = false
            break
          else
            local since, created
            local first = element
            if member then
              since = tonumber(back[from_back * 2 + 2]) - level * LEVEL
              if element then
                created = tonumber((select(2, head(envelopes[from_list + 1]))))
                first = created < since
                  or (created == since and tonumber(seqs[from_list + 1]) < tonumber(string.sub(member, 1, 12)))
              end
            end
            picked_here = picked_here + 1
            if first then
              from_list = from_list + 1
              pick(seqs[from_list], ids[from_list], level, '0')
            else
              from_back = from_back + 1
              taken[from_back] = member
              local seq, id = string.match(member, '^(%d+)%.%d%.(.+)$')
              pick(seq, id, level, whole(since))
            end
          end
        end
        if from_list > 0 then
          redis.call('LPOP', list, from_list)
        end
        bulk('ZREM', K.back, taken)
      end
    end
    -- No tombstone stays in front, where it would pass for the oldest job.
    while mixed and skipped < CHUNK do
      local front = redis.call('LINDEX', list, 0)
      if not front or not is_tomb(front) then
        break
      end
      redis.call('LPOP', list)
    end
  end
  return picked, skipped >= CHUNK
end

if next(lost) and need > 0 then
  hand_over()
end
if layout and paused ~= '1' and need > given then
  local most = need - given
  local picked, interrupted = next_in_line(most)
  local ids = {}
  for nth, job in ipairs(picked) do
    ids[nth] = job[1]
  end
  local envelopes = collect('HMGET', K.job, ids)
  for nth, job in ipairs(picked) do
    local id, delivery, failures = job[1], 0, '0'
    if job[4] ~= '0' then
      local run = load_run(id)
      local state = load_state(id)
      delivery = run and tonumber(run.delivery) or 0
      failures = whole(state.failures or 0)
      if state.percent or state.note then
        state.percent, state.message, state.note = nil, nil, nil
        save_state(id, state)
      end
    end
    if envelopes[nth] then
      give(id, delivery + 1, job[4], job[2], job[3], failures, envelopes[nth])
    end
  end
  if (#picked == most or interrupted)
    and redis.call('EXISTS', K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4) > 0 then
    wake('r')
  else
    redis.call('LREM', K.wake, 0, 'r')
  end
end
if given > 0 then
  bulk('ZADD', K.lease, leases)
  bulk('HSET', K.latest, runs)
end
return { stamp, table.concat(settled), reply }
