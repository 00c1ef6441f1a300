-- Writes or removes a document, unless it was changed.
-- KEYS  collection, revision
-- ARGV  name; the expected revision, or "" for none; 1 to write, 0 to remove; body
-- Returns 1 if that was its revision, else 0.
local stored = redis.call('HGET', K.collection, ARGV[1])
if (stored and string.match(stored, '^%d+') or '') ~= ARGV[2] then
  return 0
end
if ARGV[3] == '1' then
  redis.call('HSET', K.collection, ARGV[1], whole(redis.call('INCR', K.revision)) .. ' ' .. ARGV[4])
else
  redis.call('HDEL', K.collection, ARGV[1])
end
return 1
