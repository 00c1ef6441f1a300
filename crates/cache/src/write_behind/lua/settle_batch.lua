-- Deletes the batch that was added to the store, and puts its unreadable increments aside.
-- KEYS[1] sums, KEYS[2] order, KEYS[3] unreadable increments
-- ARGV[1] its number, then the keys that could not be read
-- Returns 1 if it was there, 0 if it was settled before.
local taken = batch()
if not taken or taken[1] ~= ARGV[1] then
  return 0
end
local rests, gone, sums = {'', ''}, {''}, {}
for i = 2, #taken, 2 do
  local key = taken[i]
  sums[key] = taken[i + 1]
  local rest = less(redis.call('HGET', KEYS[1], key) or '0', sums[key])
  rests[#rests + 1], rests[#rests + 2] = key, rest
  if rest == '0' then
    gone[#gone + 1] = key
  else
    -- Behind the keys that were pending when the batch was taken: a key that is always counted must
    -- not delay them.
    redis.call('ZADD', KEYS[2], 'XX', taken[1], key)
  end
end
for i = 2, #ARGV do
  redis.call('HSET', KEYS[3], ARGV[1] .. ' ' .. ARGV[i], sums[ARGV[i]] or '')
end
redis.call('HSET', KEYS[1], unpack(rests))
redis.call('HDEL', KEYS[1], unpack(gone))
redis.call('ZREM', KEYS[2], unpack(gone))
return 1
