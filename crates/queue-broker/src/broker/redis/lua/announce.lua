-- Records that a worker is alive. A new worker also causes the removal of some that have been
-- silent for long.
-- KEYS  workers
-- ARGV  worker; its description of itself; how long a silent one is remembered, in ms
local now = now_ms()
if redis.call('HSET', K.workers, ARGV[1], whole(now) .. ' ' .. ARGV[2]) == 1 then
  local some = redis.call('HRANDFIELD', K.workers, 100, 'WITHVALUES')
  for at = 1, #some, 2 do
    if tonumber(string.match(some[at + 1], '^%d+') or 0) <= now - ARGV[3] then
      redis.call('HDEL', K.workers, some[at])
    end
  end
end
redis.call('PEXPIRE', K.workers, ARGV[3])
return 1
