-- The batch that is being written to the store: the one that was taken and not settled, else a new
-- one of the oldest sums. It never changes again, and the next one is taken when it is settled.
-- KEYS[1] sums, KEYS[2] order, KEYS[3] last number
-- ARGV[1] maximum number of keys in a batch, ARGV[2] a number that was given before
-- Returns {the batch, whether more are pending, replicas that follow}; the batch is key, sum, key,
-- sum …, with its number under the empty key.
local taken, more = batch(), true
if not taken then
  local full
  repeat
    taken = {''}
    local gone = {}
    local keys = redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1)
    for _, key in ipairs(keys) do
      local sum = redis.call('HGET', KEYS[1], key)
      if sum and sum ~= '0' then
        taken[#taken + 1], taken[#taken + 2] = key, sum
      else
        gone[#gone + 1] = key
      end
    end
    full = #keys == tonumber(ARGV[1])
    if #gone > 0 then
      redis.call('HDEL', KEYS[1], unpack(gone))
      redis.call('ZREM', KEYS[2], unpack(gone))
    end
  until #taken > 1 or not full
  if #taken == 1 then
    return {{}, 0, 0}
  end
  local number = math.max(tonumber(redis.call('GET', KEYS[3]) or '0') + 1, now_us(), ARGV[2] + 1)
  taken[1] = string.format('%.0f', number)
  redis.call('SET', KEYS[3], taken[1])
  redis.call('HSET', KEYS[1], '', cmsgpack.pack(taken))
  more = full and redis.call('ZCARD', KEYS[2]) > (#taken - 1) / 2
end
local replicas = string.match(redis.call('INFO', 'replication'), 'connected_slaves:(%d+)') or '0'
return {{'', unpack(taken)}, more and 1 or 0, tonumber(replicas)}
