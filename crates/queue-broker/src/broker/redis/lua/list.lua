-- Reads jobs of one state that a sorted set orders.
-- KEYS  job, latest, state, result, and as `set` one of delayed, waiting, dead, cancelled
-- ARGV  state; "up" or "down"; where to begin, as a score or "(score", or "" for the first; how
--       many of that score to skip; maximum number of jobs
-- Returns the result of show() for each.
local where, from = ARGV[1], ARGV[3]
local members
if ARGV[2] == 'up' then
  members = redis.call('ZRANGE', K.set, from == '' and '-inf' or from, '+inf', 'BYSCORE', 'LIMIT', ARGV[4], ARGV[5],
    'WITHSCORES')
else
  members = redis.call('ZRANGE', K.set, from == '' and '+inf' or from, '-inf', 'BYSCORE', 'REV', 'LIMIT', ARGV[4],
    ARGV[5], 'WITHSCORES')
end
local name = (where == 'delayed' or where == 'waiting') and '^%d+%.%d%.(.+)$' or '^(.+)$'
local jobs = {}
for at = 1, #members, 2 do
  local id = string.match(members[at], name)
  local envelope = redis.call('HGET', K.job, id)
  if envelope then
    jobs[#jobs + 1] = show(id, where, members[at + 1], envelope, redis.call('HGET', K.latest, id))
  end
end
return jobs
