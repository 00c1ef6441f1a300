-- Moves fields of the epoch: a class, or the cells of tags. Without an epoch nothing is valid, so nothing need move.
-- KEYS[1] epoch, KEYS[2] mark that processes follow, which comes and goes (absent for cells)
-- ARGV fields
-- Returns 1.
-- A deletion comes first, of nothing: a server that is full refuses a script only until it has written.
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
