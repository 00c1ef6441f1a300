-- Moves fields of the epoch: a class, or the cells of tags. Without an epoch nothing is valid, so nothing need move.
-- KEYS[1] epoch, KEYS[2] mark that processes follow (absent for cells)
-- ARGV[1] lifetime of the mark in ms, ARGV[2..] fields
-- Returns 1.
if redis.call('HEXISTS', KEYS[1], 'e') == 1 then
  for i = 2, #ARGV do
    redis.call('HINCRBY', KEYS[1], ARGV[i], 1)
  end
end
if KEYS[2] then
  redis.call('SET', KEYS[2], '', 'PX', ARGV[1])
end
return 1
