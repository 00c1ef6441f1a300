-- Adds to the pending sum of a key.
-- KEYS[1] sums, KEYS[2] order
-- ARGV[1] key, ARGV[2] increment, ARGV[3] maximum number of pending keys
-- Returns {1, pending keys}; {0, …} if too many are pending, {2, …} if the sum would leave 64 bits.
-- In both cases nothing was accepted.
local known = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
local waiting = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], '')
if not known and waiting >= tonumber(ARGV[3]) then
  return {0, waiting}
end
-- The order comes first, and changes each time: a torn append-only file can bring back a step that
-- has removed the key from it, in front of this one.
local since = redis.call('ZSCORE', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', since and since + 1 or now_us()), ARGV[1])
local sum = redis.pcall('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
if type(sum) == 'table' and sum.err then
  if string.find(sum.err, 'overflow', 1, true) then
    return {2, waiting}
  end
  return sum
end
return {1, known and waiting or waiting + 1}
