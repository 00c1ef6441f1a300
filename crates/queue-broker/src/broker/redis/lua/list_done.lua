-- Reads completed jobs, the latest first.
-- KEYS  job, latest, state, result, done, ended
-- ARGV  where to begin, as a time or "(time", or "" for the latest; how many of that time to skip;
--       maximum number of jobs
-- Returns the result of show() for each.
local from, skip, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local function record(index)
  local id = redis.call('LINDEX', K.done, index)
  local ended = id and redis.call('HGET', K.ended, id)
  if not ended then
    return nil
  end
  local at, token = string.match(ended, '^(%d+) (.*)$')
  return id, at, token
end

-- The list is sorted by time: the number of jobs up to the place, or below it.
local count = redis.call('LLEN', K.done)
if from ~= '' then
  local is_open = string.sub(from, 1, 1) == '('
  local bound = tonumber(is_open and string.sub(from, 2) or from)
  local low, high = 0, count
  while low < high do
    local middle = math.floor((low + high) / 2)
    local _, at = record(middle)
    at = tonumber(at or 0)
    if at < bound or (at == bound and not is_open) then
      low = middle + 1
    else
      high = middle
    end
  end
  count = low
end
local jobs = {}
local last = count - skip - 1
if last >= 0 then
  local ids = redis.call('LRANGE', K.done, math.max(last - most + 1, 0), last)
  for nth = #ids, 1, -1 do
    local id = ids[nth]
    local envelope, ended = redis.call('HGET', K.job, id), redis.call('HGET', K.ended, id)
    if envelope and is_end_of(ended, envelope) then
      local at, token = string.match(ended, '^(%d+) (.*)$')
      jobs[#jobs + 1] = show(id, 'done', at, envelope, token)
    end
  end
end
return jobs
