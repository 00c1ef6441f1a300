-- What the store may not have of a key, at one moment.
-- KEYS[1] sums, KEYS[2] batch
-- ARGV[1] key
-- Returns {sum that waits, sum in the batch, number of the batch}, each nil where there is none.
return {
  redis.call('HGET', KEYS[1], ARGV[1]),
  redis.call('HGET', KEYS[2], ARGV[1]),
  redis.call('HGET', KEYS[2], ''),
}
