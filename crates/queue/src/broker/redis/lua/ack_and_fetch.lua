local digits
if #odd > 0 then
  digits = {}
  for nth = 1, acks do
    digits[nth] = '0'
  end
  for _, ack in ipairs(odd) do
    digits[ack[1]] = unsettled(ack[2], ack[3])
  end
end
local nonce = string.sub(token, 3)
local lost = {}
for nth = 6, first_ack - 1 do
  lost[ARGV[nth]] = true
end
local leases = {}

local function give(id, delivery, ready_at, failures, envelope)
  given = given + 1
  leases[#leases + 1] = id
  if delivery == 1 and ready_at == '0' then
    leases[#leases + 1] = token
  else
    leases[#leases + 1] = whole(delivery) .. ' ' .. nonce .. ' 0 ' .. ready_at
  end
  reply[#reply + 1] = id
  if delivery == 1 and ready_at == '0' and failures == 0 then
    reply[#reply + 1] = envelope
  else
    reply[#reply + 1] = '|' .. whole(delivery) .. ' ' .. whole(failures) .. ' ' .. ready_at .. '|' .. envelope
  end
end

-- What this worker was given by a reply that it never saw. It counts from now.
local function hand_over()
  local mine = ARGV[1] .. '-'
  local found = {}
  local cursor = '0'
  repeat
    local page = redis.call('HSCAN', K.lease, cursor, 'COUNT', CHUNK)
    cursor = page[1]
    for nth = 1, #page[2], 2 do
      local entry = page[2][nth + 1]
      if string.find(entry, mine, 1, true) then
        local request = string.match(entry, '^%d+ .-%-(%d+)%-%d+%-%d+')
        if lost[request] then
          found[page[2][nth]] = entry
        end
      end
    end
  until cursor == '0'
  local jobs = {}
  for id, entry in pairs(found) do
    local envelope = redis.call('HGET', K.job, id)
    if envelope then
      jobs[#jobs + 1] = { id, read_lease(entry), envelope, (head(envelope)) }
    end
  end
  table.sort(jobs, function(a, b) return a[4] < b[4] end)
  for nth = 1, math.min(#jobs, need - given) do
    local id, run, envelope = unpack(jobs[nth])
    give(id, tonumber(run.delivery), run.ready_at, load_state(id).failures or 0, envelope)
  end
end

-- What is next in line, as {id, ready_at, envelope}. Tombstones in the list are skipped, a thousand in one call.
local function next_in_line(most)
  local picked = {}
  local skipped = 0
  local mixed = redis.call('EXISTS', K.back, K.tomb) > 0

  local function is_tomb(id)
    if mixed and redis.call('HDEL', K.tomb, id) == 1 then
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
      local fresh
      if #back == 0 then
        fresh = redis.call('LPOP', list, window) or {}
        for _, id in ipairs(fresh) do
          if not is_tomb(id) then
            picked[#picked + 1] = { id, '0' }
          end
        end
        more = #fresh == window
      else
        fresh = redis.call('LRANGE', list, 0, window - 1)
        local envelopes = collect('HMGET', K.job, fresh)
        local from_list, from_back, taken = 0, 0, {}
        local picked_here = 0
        while picked_here < window do
          local id, member = fresh[from_list + 1], back[from_back * 2 + 1]
          if id and is_tomb(id) then
            from_list = from_list + 1
          elseif (not id and #fresh == window) or (not member and #back == window * 2) then
            break
          elseif not id and not member then
            more = false
            break
          else
            local since
            local first = id
            if member then
              since = tonumber(back[from_back * 2 + 2]) - level * LEVEL
              if id then
                local seq, created = head(envelopes[from_list + 1])
                first = created < since or (created == since and seq < tonumber(string.sub(member, 1, 12)))
              end
            end
            picked_here = picked_here + 1
            if first then
              from_list = from_list + 1
              picked[#picked + 1] = { id, '0' }
            else
              from_back = from_back + 1
              taken[from_back] = member
              picked[#picked + 1] = { string.match(member, '^%d+%.%d%.(.+)$'), whole(since) }
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

if wants and next(lost) then
  hand_over()
end
if wants and need > given then
  local most = need - given
  local picked, interrupted = next_in_line(most)
  local ids = {}
  for nth, job in ipairs(picked) do
    ids[nth] = job[1]
  end
  local envelopes = collect('HMGET', K.job, ids)
  for nth, job in ipairs(picked) do
    local id, delivery, failures = job[1], 0, 0
    if job[2] ~= '0' then
      local latest = redis.call('HGET', K.latest, id)
      local state = load_state(id)
      delivery = latest and tonumber(string.match(latest, '^%d+')) or 0
      failures = state.failures or 0
      if state.percent or state.note then
        state.percent, state.message, state.note = nil, nil, nil
        save_state(id, state)
      end
    end
    if envelopes[nth] then
      give(id, delivery + 1, job[2], failures, envelopes[nth])
    end
  end
  if (#picked == most or interrupted)
    and redis.call('EXISTS', K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4) > 0 then
    wake('r')
  else
    redis.call('LREM', K.wake, 0, 'r')
  end
end
if #leases > 0 then
  bulk('HSET', K.lease, leases)
  local expiry = redis.call('HGET', K.meta, 'expiry')
  if not expiry or tonumber(expiry) > now + ARGV[3] then
    redis.call('HSET', K.meta, 'expiry', whole(now + ARGV[3]))
  end
end
return { stamp, token, digits and table.concat(digits) or false, reply }
