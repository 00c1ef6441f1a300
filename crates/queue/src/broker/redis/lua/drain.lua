-- Cancels jobs that have not started: those next in line, then the delayed, then the waiting ones.
-- KEYS  as change
-- ARGV  most jobs
-- Returns how many; 1 where more tombstones were met than one step skips, so that it is worth another one.
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

-- Those that come forward behind one that went are next.
local left_before
repeat
  left_before = left
  repeat
    local picked
    picked, interrupted = next_in_line(left)
    for _, job in ipairs(picked) do
      drained(job[1])
    end
  until #picked == 0 or left <= 0 or interrupted
  for _, set in ipairs({ 'delayed', 'waiting' }) do
    local members = (interrupted or left <= 0) and {} or redis.call('ZRANGE', K[set], 0, left - 1)
    while left > 0 and #members > 0 do
      for _, member in ipairs(members) do
        local id = string.match(member, '^%d+%.%d%.(.+)$')
        -- It may have come forward meanwhile.
        local envelope = left > 0 and redis.call('ZSCORE', K[set], member) and redis.call('HGET', K.job, id)
        if envelope then
          take_out(id, envelope, set)
          drained(id)
        end
      end
      members = left > 0 and redis.call('ZRANGE', K[set], 0, left - 1) or {}
    end
  end
until left == left_before or left <= 0 or interrupted
return { before - left, interrupted and 1 or 0 }
