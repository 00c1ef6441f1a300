local function end_as_done(id, record)
  count_over(0)
  if redis.call('HSET', K.ended, id, record) == 0 then
    redis.call('LREM', K.done, 1, id)
  end
  redis.call('RPUSH', K.done, id)
end

local digits
if #odd > 0 then
  digits = {}
  for nth = 1, acks do
    digits[nth] = '0'
  end
  for _, ack in ipairs(odd) do
    local number, id, run, result = unpack(ack)
    local entry = redis.call('HGET', K.lease, id)
    if entry and (entry == run or string.sub(entry, 1, #run + 1) == run .. ' ') then
      -- Other jobs depend on it.
      if result and not FULL then
        redis.call('HSET', K.result, id, result)
      end
      end_as_done(id, stamp .. ' ' .. run)
      local envelope = redis.call('HGET', K.job, id)
      if envelope then
        has_ended(id, envelope, 'done', now)
      end
      if FULL then
        redis.call('HDEL', K.checkpoint, id)
        if result then
          redis.call('HINCRBY', K.meta, 'dropped', 1)
        end
      end
      redis.call('HDEL', K.lease, id)
    else
      digits[number] = unsettled(id, run)
    end
  end
end
local nonce = string.sub(token, 3)
local lost = {}
for nth = 6, first_ack - 1 do
  lost[ARGV[nth]] = true
end
local leases = {}

local function give(id, delivery, ready_at, failures, checkpoint, envelope)
  given = given + 1
  local is_linked = string.byte(envelope) == 108
  leases[#leases + 1] = id
  if delivery == 1 and ready_at == '0' and not is_linked then
    leases[#leases + 1] = token
  else
    leases[#leases + 1] = whole(delivery) .. ' ' .. nonce .. ' 0 ' .. ready_at .. (is_linked and ' l' or '')
  end
  reply[#reply + 1] = id
  if delivery == 1 and ready_at == '0' then
    reply[#reply + 1] = envelope
  else
    reply[#reply + 1] = '|' .. whole(delivery) .. ' ' .. whole(failures) .. ' ' .. ready_at .. ' '
      .. (checkpoint and #checkpoint or '-') .. '|' .. (checkpoint or '') .. envelope
  end
end

-- Hands over the jobs of a reply that this worker never received. Their time counts from now.
-- Returns whether that is all.
local function hand_over()
  local mine = ARGV[1] .. '-'
  local found = {}
  local cursor = '0'
  repeat
    local page = redis.call('HSCAN', K.lease, cursor, 'COUNT', CHUNK)
    cursor = page[1]
    for nth = 1, #page[2], 2 do
      local entry = page[2][nth + 1]
      if page[2][nth] ~= '' and string.find(entry, mine, 1, true) then
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
    give(id, tonumber(run.delivery), run.ready_at, load_state(id).failures or 0, redis.call('HGET', K.checkpoint, id), envelope)
  end
  return #jobs == given
end

local is_all = wants and next(lost) and hand_over()
local handed = given
local may_be_more
if wants and need > given then
  room = room_now()
  local most = math.min(need - given, room)
  local picked, interrupted = next_in_line(most)
  for _, job in ipairs(picked) do
    local id, delivery, failures, checkpoint = job[1], 0, 0, false
    local envelope = job[3]
    if job[2] ~= '0' then
      local latest = redis.call('HGET', K.latest, id)
      local state = load_state(id)
      delivery = latest and tonumber(string.match(latest, '^%d+')) or 0
      failures = state.failures or 0
      checkpoint = redis.call('HGET', K.checkpoint, id)
      if state.percent or state.note then
        state.percent, state.message, state.note = nil, nil, nil
        save_state(id, state)
      end
    end
    give(id, delivery + 1, job[2], failures, checkpoint, envelope)
    add_event(now, id, 'started')
  end
  may_be_more = { (#picked == most and most < room) or interrupted, rate and given == need and tokens <= most }
end
if #leases > 0 then
  bulk('HSET', K.lease, leases)
end
if may_be_more then
  leave_line_up()
  if may_be_more[1] and redis.call('EXISTS', K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4) > 0 then
    wake('r')
  else
    redis.call('LREM', K.wake, 0, 'r')
    if may_be_more[2] and redis.call('EXISTS', K.back, K.ready0, K.ready1, K.ready2, K.ready3, K.ready4) > 0 then
      wake('d')
    end
  end
end
if #leases > 0 then
  local expiry = redis.call('HGET', K.meta, 'expiry')
  if not expiry then
    redis.call('HSET', K.lease, '', WIDE)
  end
  if not expiry or tonumber(expiry) > now + ARGV[3] then
    redis.call('HSET', K.meta, 'expiry', whole(now + ARGV[3]))
  end
end
take_tokens(given - handed)
if #odd > 0 then
  wake_if_limited()
end
forget_full()
return { stamp, token, digits and table.concat(digits) or false, reply, is_all and 1 or false, is_kept_back and 1 or false }
