-- Cancels jobs that have not started: those next in line, then the delayed, then the waiting ones.
-- KEYS  as change
-- ARGV  maximum number of jobs
-- Returns how many; 1 if there were more tombstones than one step skips, so that another step is
--         worth it.
local now = now_ms()
local left = tonumber(ARGV[1])
local before = left
local interrupted = false

local function drained(id)
  local envelope = redis.call('HGET', K.job, id)
  if envelope then
    give_up(id, envelope, 'drained', now)
    left = left - 1
  end
end

local function drain_set(set)
  local before_set = left
  for _, member in ipairs(redis.call('ZRANGE', K[set], 0, left - 1)) do
    local id = string.match(member, '^%d+%.%d%.(.+)$')
    local envelope = redis.call('HGET', K.job, id)
    if envelope then
      drained(id)
      take_out(id, envelope, set)
    else
      redis.call('ZREM', K[set], member)
    end
  end
  return before_set > left
end

-- Jobs that move up behind a cancelled one are next, also in a set that was empty before.
local goes_on = left > 0
while goes_on do
  local picked
  picked, interrupted = next_in_line(left)
  for _, job in ipairs(picked) do
    drained(job[1])
  end
  leave_line_up()
  goes_on = left > 0 and not interrupted and (#picked > 0 or drain_set('delayed') or drain_set('waiting'))
end
return { before - left, interrupted and 1 or 0 }
