-- Reads transfers in transit, in the order of their numbers.
--
-- KEYS, ARGV[1], ARGV[2]: ledger_shared.lua  ARGV[3] number behind which it begins  ARGV[4] how
-- many it looks at
-- Returns the number at which it has stopped, '' at the end, then for each transfer {number,
-- target, amount, id, giver, taker}
local refused = refusal()
if refused then return refused end
local numbers = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. ARGV[3], '+inf', 'LIMIT', 0, ARGV[4])
local answer = {#numbers == tonumber(ARGV[4]) and numbers[#numbers] or ''}
for _, number in ipairs(numbers) do
  local packed = get('i:' .. number)
  if packed and packed ~= '' then answer[#answer + 1] = {number, unpack(cmsgpack.unpack(packed))} end
end
return answer
