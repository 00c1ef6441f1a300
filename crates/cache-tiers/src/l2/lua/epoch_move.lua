-- Moves fields of the epoch: a class, or the cells of tags. Without an epoch no entry is valid, so
-- nothing need move. A no-op deletion comes first: a full server refuses a script only until its
-- first write.
-- KEYS[1] epoch, KEYS[2] mark that processes follow, which is set and deleted (absent for cells)
-- ARGV fields
-- Returns 1.
redis.pcall('HDEL', KEYS[1], '')
if redis.pcall('HEXISTS', KEYS[1], 'e') == 1 then
  for i = 1, #ARGV do
    redis.call('HINCRBY', KEYS[1], ARGV[i], 1)
  end
end
if KEYS[2] then
  redis.call('SET', KEYS[2], '')
  redis.call('DEL', KEYS[2])
end
return 1
