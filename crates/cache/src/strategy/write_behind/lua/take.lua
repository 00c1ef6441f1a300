-- The batch that is on its way to the store: the one that was taken and not settled, else a new one of the oldest sums. It never
-- changes again, and the next one is taken when it is settled.
-- KEYS[1] sums, KEYS[2] order, KEYS[3] batch, KEYS[4] last number
-- ARGV[1] most keys in a batch, ARGV[2] a number that was given before
-- Returns {the batch, whether more wait, replicas that follow}; the batch is key, sum, key, sum …, with its number under the empty key.
local full = true
if redis.call('EXISTS', KEYS[3]) == 0 then
  local keys = redis.call('ZRANGE', KEYS[2], 0, ARGV[1] - 1)
  if #keys == 0 then
    return {{}, 0, 0}
  end
  full = #keys == tonumber(ARGV[1])
  local number = math.max(tonumber(redis.call('GET', KEYS[4]) or '0') + 1, now_us(), ARGV[2] + 1)
  local text = string.format('%.0f', number)
  redis.call('SET', KEYS[4], text)
  redis.call('HSET', KEYS[3], '', text)
  for _, key in ipairs(keys) do
    local sum = redis.call('HGET', KEYS[1], key)
    if sum then
      redis.call('HSET', KEYS[3], key, sum)
      redis.call('HDEL', KEYS[1], key)
    end
    redis.call('ZREM', KEYS[2], key)
  end
end
local more = full and redis.call('ZCARD', KEYS[2]) > 0
local replicas = string.match(redis.call('INFO', 'replication'), 'connected_slaves:(%d+)') or '0'
return {redis.call('HGETALL', KEYS[3]), more and 1 or 0, tonumber(replicas)}
