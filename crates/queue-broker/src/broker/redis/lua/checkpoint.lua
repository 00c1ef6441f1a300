-- Stores the point from which a job's next run should continue. A full server keeps the old
-- checkpoint if the new one is longer, and counts the new one as dropped.
-- KEYS  meta, lease, checkpoint
-- ARGV  id, "delivery nonce", text
-- Returns 1 if the lease is held, else 0.
if not held_by(ARGV[1], ARGV[2]) then
  return 0
end
if FULL and #(redis.call('HGET', K.checkpoint, ARGV[1]) or '') < #ARGV[3] then
  redis.call('HINCRBY', K.meta, 'dropped', 1)
  return 1
end
redis.call('HSET', K.checkpoint, ARGV[1], ARGV[3])
return 1
