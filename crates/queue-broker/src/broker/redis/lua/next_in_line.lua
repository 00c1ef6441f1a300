-- Returns the next jobs in line, as {id, ready_at, envelope}, up to `most`. It skips tombstones in
-- the list, a thousand in one call, and jobs that have another place. All stay in line until
-- leave_line_up(), which follows once the picked jobs have their new place. Records are read one by
-- one, up to MOST_READ bytes. Returns also whether that limit, or the skipped elements, ended it.
local MOST_READ = 4194304
local passed

local function next_in_line(most)
  local picked, taken, tombs = {}, {}, {}
  local skipped, read = 0, 0
  local mixed = redis.call('EXISTS', K.back, K.tomb) > 0
  passed = { counts = {}, back = {}, tombs = {} }

  local function is_tomb(id, tomb)
    if tomb and not tombs[id] then
      tombs[id] = true
      skipped = skipped + 1
      passed.tombs[#passed.tombs + 1] = id
      return true
    end
    return false
  end

  local function goes_on()
    return #picked < most and skipped < CHUNK and read < MOST_READ
  end

  -- Known data of jobs besides their place in line and their record.
  local function facts(ids)
    return {
      ids = ids, envelope = {}, lease = collect('HMGET', K.lease, ids),
      ended = collect('HMGET', K.ended, ids),
      dead = redis.call('EXISTS', K.dead) == 1 and collect('ZMSCORE', K.dead, ids) or {},
      cancelled = redis.call('EXISTS', K.cancelled) == 1 and collect('ZMSCORE', K.cancelled, ids) or {},
    }
  end

  local function envelope_of(known, nth)
    local envelope = known.envelope[nth]
    if envelope == nil then
      envelope = redis.call('HGET', K.job, known.ids[nth])
      read = read + #(envelope or '')
      known.envelope[nth] = envelope
    end
    return envelope
  end

  local function may_run(known, nth)
    local id, envelope = known.ids[nth], envelope_of(known, nth)
    if not envelope or taken[id] or known.lease[nth] or is_end_of(known.ended[nth], envelope)
      or is_end_of(known.dead[nth], envelope) or is_end_of(known.cancelled[nth], envelope) then
      skipped = skipped + 1
      return false
    end
    taken[id] = true
    return true
  end

  for level = 0, 4 do
    local list = K['ready' .. level]
    local at_list, at_back = 0, 0
    local more = true
    while more and goes_on() do
      local window = math.min(most - #picked, CHUNK)
      local back = mixed and redis.call('ZRANGE', K.back, whole(level * LEVEL), '(' .. whole((level + 1) * LEVEL),
        'BYSCORE', 'LIMIT', at_back, window, 'WITHSCORES') or {}
      local fresh = redis.call('LRANGE', list, at_list, at_list + window - 1)
      local returned = {}
      for nth = 1, #back, 2 do
        returned[#returned + 1] = string.match(back[nth], '^%d+%.%d%.(.+)$')
      end
      local of_fresh, of_back = facts(fresh), facts(returned)
      local tomb = mixed and collect('HMGET', K.tomb, fresh) or {}
      local leased_before = redis.call('EXISTS', K.latest) == 1 and collect('HMGET', K.latest, fresh) or {}
      local from_list, from_back = 0, 0
      while goes_on() do
        local nth, nth_back = from_list + 1, from_back + 1
        local id, member = fresh[nth], back[nth_back * 2 - 1]
        if id and is_tomb(id, tomb[nth]) then
          from_list = nth
        elseif (not id and #fresh == window) or (not member and #back == window * 2) then
          break
        elseif not id and not member then
          more = false
          break
        else
          local since
          local first = id
          if member then
            since = tonumber(back[nth_back * 2]) - level * LEVEL
            local envelope = id and envelope_of(of_fresh, nth)
            if envelope then
              local seq, created = head(envelope)
              first = created < since or (created == since and seq < tonumber(string.sub(member, 1, 12)))
            end
          end
          if first then
            from_list = nth
            -- A job that was leased before is never in the list again.
            if leased_before[nth] then
              skipped = skipped + 1
            elseif may_run(of_fresh, nth) then
              picked[#picked + 1] = { id, '0', envelope_of(of_fresh, nth) }
            end
          else
            from_back = nth_back
            passed.back[#passed.back + 1] = member
            if may_run(of_back, nth_back) then
              picked[#picked + 1] = { returned[nth_back], whole(since), envelope_of(of_back, nth_back) }
            end
          end
        end
      end
      at_list, at_back = at_list + from_list, at_back + from_back
    end
    -- No tombstone stays at the front, where it would count as the oldest job.
    while mixed and skipped < CHUNK do
      local front = redis.call('LINDEX', list, at_list)
      if not front or not is_tomb(front, redis.call('HEXISTS', K.tomb, front) == 1) then
        break
      end
      at_list = at_list + 1
    end
    if at_list > 0 then
      passed.counts[#passed.counts + 1] = { list, at_list }
    end
  end
  return picked, skipped >= CHUNK or read >= MOST_READ
end

-- Removes the elements that the last next_in_line() passed from the line.
local function leave_line_up()
  for _, list in ipairs(passed.counts) do
    redis.call('LPOP', list[1], list[2])
  end
  bulk('ZREM', K.back, passed.back)
  bulk('HDEL', K.tomb, passed.tombs)
end

