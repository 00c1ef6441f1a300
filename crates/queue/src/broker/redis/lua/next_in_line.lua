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

