-- Number of pending sums: those of the batch, and those that were added to since.
-- KEYS[1] sums
local waiting, taken = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], ''), batch()
for i = 2, taken and #taken or 0, 2 do
  if redis.call('HGET', KEYS[1], taken[i]) ~= taken[i + 1] then waiting = waiting + 1 end
end
return waiting
