-- Stores what a job's next run should go on from.
-- KEYS  lease, checkpoint
-- ARGV  id, "delivery nonce", text
-- Returns 1 where the lease is held, else 0.
if not held_by(ARGV[1], ARGV[2]) then
  return 0
end
redis.call('HSET', K.checkpoint, ARGV[1], ARGV[3])
return 1
