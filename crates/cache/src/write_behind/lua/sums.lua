-- The sums that the store may not have of a key, at one moment.
-- KEYS[1] sums
-- ARGV[1] key
-- Returns {pending sum, sum in the batch, number of the batch}, each nil if there is none.
local sum, taken = redis.call('HGET', KEYS[1], ARGV[1]), batch()
for i = 2, taken and #taken or 0, 2 do
  if taken[i] == ARGV[1] then
    return {less(sum or '0', taken[i + 1]), taken[i + 1], taken[1]}
  end
end
return {sum, false, false}
