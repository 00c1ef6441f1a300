-- Posts to a ledger: a transfer between two accounts, a deposit into one or a withdrawal from one, once an id.
--
-- KEYS[1] accounts  HASH account -> balance
-- KEYS[2] posted    HASH id -> balance of the giver,balance of the taker,fingerprint
-- KEYS[3] forget    ZSET id -> when it is forgotten, µs
-- KEYS[4] fence     STRING highest fencing token seen
-- ARGV[1] id  ARGV[2] fingerprint of the other arguments  ARGV[3] giver or ''  ARGV[4] taker or ''  ARGV[5] amount
-- ARGV[6] fencing token, '' for none  ARGV[7] how long the id is remembered, µs
-- ARGV[8] which of giver and taker are there: 'both', 'giver', 'taker'
-- Returns {'posted', giver's balance, taker's balance}, {'reused'}, {'fenced', highest token}, {'unknown', which},
-- {'short', balance} or {'large'}; balances are text
local now = now_us()
local now_text = string.format('%.0f', now)
local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now_text, 'LIMIT', 0, 10)
for _, id in ipairs(old) do
  redis.call('HDEL', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
end

local before = redis.call('HGET', KEYS[2], ARGV[1])
if before then
  local giver, taker, print = string.match(before, '^(%d*),(%d*),(.*)$')
  if print ~= ARGV[2] then return {'reused'} end
  return {'posted', giver, taker}
end

local token = tonumber(ARGV[6])
if token then
  local highest = tonumber(redis.call('GET', KEYS[4]) or -1)
  if token < highest then return {'fenced', highest} end
  if token > highest then redis.call('SET', KEYS[4], ARGV[6]) end
end

local amount = tonumber(ARGV[5])
local has_giver, has_taker = ARGV[8] ~= 'taker', ARGV[8] ~= 'giver'
local giver, taker
if has_giver then
  giver = tonumber(redis.call('HGET', KEYS[1], ARGV[3]))
  if not giver then return {'unknown', 'giver'} end
end
if has_taker then
  taker = tonumber(redis.call('HGET', KEYS[1], ARGV[4]))
  if not taker then
    if has_giver then return {'unknown', 'taker'} end
    taker = 0
  end
end
if has_giver and giver < amount then return {'short', string.format('%.0f', giver)} end
if has_taker and taker + amount > 9007199254740991 then return {'large'} end

local giver_text, taker_text = '', ''
if has_giver then
  giver_text = string.format('%.0f', giver - amount)
  redis.call('HSET', KEYS[1], ARGV[3], giver_text)
end
if has_taker then
  taker_text = string.format('%.0f', taker + amount)
  redis.call('HSET', KEYS[1], ARGV[4], taker_text)
end
redis.call('HSET', KEYS[2], ARGV[1], giver_text .. ',' .. taker_text .. ',' .. ARGV[2])
redis.call('ZADD', KEYS[3], string.format('%.0f', now + tonumber(ARGV[7])), ARGV[1])
return {'posted', giver_text, taker_text}
