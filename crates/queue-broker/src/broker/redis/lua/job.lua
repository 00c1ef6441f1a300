-- Reads one job.
-- KEYS  job, latest, state, lease, back, delayed, ended, dead, cancelled, result
-- ARGV  id
-- Returns the result of show(), or nothing.
local envelope = redis.call('HGET', K.job, ARGV[1])
if not envelope then
  return false
end
local where, at, token = standing(ARGV[1], envelope)
return show(ARGV[1], where, at, envelope, token)
