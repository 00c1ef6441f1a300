-- Reads jobs at workers, the next deadline first. Their number is that of the runs of all workers.
-- KEYS  job, latest, state, result, lease
-- ARGV  where to begin, as a deadline or "(deadline", or "" for the first; how many of that
--       deadline to skip; maximum number of jobs
-- Returns the result of show() for each.
local from, skip, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local is_open = string.sub(from, 1, 1) == '('
local bound = tonumber(is_open and string.sub(from, 2) or from) or -1
local runs = {}
local entries = redis.call('HGETALL', K.lease)
for at = 1, #entries, 2 do
  local run = entries[at] ~= '' and read_lease(entries[at + 1])
  if run and (run.deadline > bound or (run.deadline == bound and not is_open)) then
    run.id = entries[at]
    runs[#runs + 1] = run
  end
end
table.sort(runs, function(a, b)
  return a.deadline < b.deadline or (a.deadline == b.deadline and a.id < b.id)
end)
local jobs = {}
for nth = skip + 1, math.min(skip + most, #runs) do
  local run = runs[nth]
  local envelope = redis.call('HGET', K.job, run.id)
  if envelope then
    jobs[#jobs + 1] = show(run.id, 'leased', whole(run.deadline), envelope, run.token)
  end
end
return jobs
