-- Reads a sorted set.
-- KEYS[1] names, KEYS[2] index
-- ARGV[1] 'around': ARGV[2] a member, ARGV[3] how many on either side
--   Returns {its rank, the rank of the first name, names}, highest first; none when it is not
--   there.
-- ARGV[1] any other command: ARGV[2] 1 or 2, the key that it reads, ARGV[3..] what follows the key
--   Returns the command's answer.
mend(KEYS[1], KEYS[2])
if ARGV[1] ~= 'around' then
  return redis.call(ARGV[1], KEYS[tonumber(ARGV[2])], unpack(ARGV, 3))
end
local position = redis.call('HGET', KEYS[2], ARGV[2])
if not position then
  return false
end
local rank = redis.call('ZREVRANK', KEYS[1], position .. ARGV[2])
local first = math.max(0, rank - ARGV[3])
return {rank, first, redis.call('ZREVRANGE', KEYS[1], first, rank + ARGV[3])}
