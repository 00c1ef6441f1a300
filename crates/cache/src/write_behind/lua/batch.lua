-- The batch of increments that is being written to the store. Prepended to the scripts that use it.
--
-- KEYS[1] sums: HASH key -> what the store may not have yet, the batch included. The field '' holds
-- the batch, packed: its number, key, sum, key, sum …
--
-- So one HSET settles a batch: it subtracts the sums of the batch and deletes the batch. If the
-- append-only file is torn, that has happened as a whole or not at all.
local function batch()
  local packed = redis.call('HGET', KEYS[1], '')
  if packed and packed ~= '' then return cmsgpack.unpack(packed) end
end

-- A number of up to 64 bits as its sign, its last nine digits and those before them.
local function halves(text)
  local minus, digits = string.match(text, '^(-?)(%d+)$')
  if not digits then return 0, 0 end
  local sign = minus == '-' and -1 or 1
  return sign * (tonumber(string.sub(digits, 1, -10)) or 0), sign * tonumber(string.sub(digits, -9))
end

-- The difference of two whole numbers of up to 64 bits, which a number of Lua would round.
local function less(text, by)
  local high, low = halves(text)
  local by_high, by_low = halves(by)
  high, low = high - by_high, low - by_low
  if low >= 1e9 then high, low = high + 1, low - 1e9 end
  if low <= -1e9 then high, low = high - 1, low + 1e9 end
  if high > 0 and low < 0 then high, low = high - 1, low + 1e9 end
  if high < 0 and low > 0 then high, low = high + 1, low - 1e9 end
  if high == 0 then return string.format('%.0f', low == 0 and 0 or low) end
  return string.format('%.0f%09.0f', high, math.abs(low))
end
