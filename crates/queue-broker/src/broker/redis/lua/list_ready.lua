-- Reads ready jobs, in the order in which they will be leased.
-- KEYS  job, latest, state, result, back, tomb, ready0 … ready4
-- ARGV  the place after which to begin: level, ready since, age; maximum number of jobs
-- Returns the result of show() for each.
local MOST_SKIPPED = 100000 -- tombstones passed by in one page
local most = tonumber(ARGV[4])
local jobs = {}

local function comes_after(since, seq)
  local from = tonumber(ARGV[2])
  return since > from or (since == from and seq > tonumber(ARGV[3]))
end

-- The list's element at an index, as {since, seq, id, envelope}; a tombstone without the last two.
local function fresh(list, index)
  local id = redis.call('LINDEX', list, index)
  if not id then
    return nil
  end
  local tomb = redis.call('HGET', K.tomb, id)
  if tomb then
    local created, seq = string.match(tomb, '^(%d+) (%d+)$')
    return { since = tonumber(created), seq = tonumber(seq) }
  end
  local envelope = redis.call('HGET', K.job, id)
  if not envelope then
    return { since = 0, seq = 0 }
  end
  local seq, created = head(envelope)
  return { since = created, seq = seq, id = id, envelope = envelope }
end

-- The first index after the place. The list is sorted by age, and so by time.
local function first_fresh(list)
  local low, high = 0, redis.call('LLEN', list)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local job = fresh(list, middle)
    if comes_after(job.since, job.seq) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local function list_level(level, is_first)
  local list = K['ready' .. level]
  local index = is_first and first_fresh(list) or 0
  local back_from = level * LEVEL + (is_first and ARGV[2] or 0)
  local back, skip, at = {}, 0, 1
  local skipped = 0

  local function next_fresh()
    local job = fresh(list, index)
    while job and not job.id and skipped < MOST_SKIPPED do
      local tombs = redis.call('HMGET', K.tomb, unpack(redis.call('LRANGE', list, index, index + CHUNK - 1)))
      local step = 1
      while tombs[step + 1] do
        step = step + 1
      end
      skipped, index = skipped + step, index + step
      job = fresh(list, index)
    end
    return job and job.id and job or nil
  end

  local function next_back()
    while true do
      if at > #back then
        back = redis.call('ZRANGE', K.back, whole(back_from), '(' .. whole((level + 1) * LEVEL), 'BYSCORE', 'LIMIT', skip,
          most, 'WITHSCORES')
        if #back == 0 then
          return nil
        end
        skip, at = skip + #back / 2, 1
      end
      local seq, id = string.match(back[at], '^(%d+)%.%d%.(.+)$')
      local since = back[at + 1] - level * LEVEL
      if not is_first or comes_after(since, tonumber(seq)) then
        return { since = since, seq = tonumber(seq), id = id }
      end
      at = at + 2
    end
  end

  while #jobs < most do
    local a, b = next_fresh(), next_back()
    if not a and not b then
      return
    end
    if a and (not b or a.since < b.since or (a.since == b.since and a.seq < b.seq)) then
      index = index + 1
      jobs[#jobs + 1] = show(a.id, 'ready', whole(a.since), a.envelope, nil)
    else
      at = at + 2
      jobs[#jobs + 1] = show(b.id, 'ready', whole(b.since), redis.call('HGET', K.job, b.id), redis.call('HGET', K.latest, b.id))
    end
  end
end

local first = tonumber(ARGV[1])
for level = first, 4 do
  list_level(level, level == first)
end
return jobs
