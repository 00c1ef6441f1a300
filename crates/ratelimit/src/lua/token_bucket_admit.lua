-- The fast path, as in sliding_window_admit.lua: no block, no strikes, an unchanged quota, a clock
-- that was not set back, and a cost that fits. Uses the layout of key.lua and token_bucket.lua.
do
  local cost, _, _, _, _, limit, period, length, length_rest, refill, refill_rest =
    struct.unpack('<I8I8I8I8I8I8I8I8I8I8I8', ARGV[1])
  local head, full, rest = nil, now, 0
  if not before then
    head = struct.pack('<Bc1I7I7I4I7I7I7I7', 3, 't', 0, 0, 0, limit, period, length, length_rest)
  elseif #before == 62 then
    local version, letter, ends, _, strikes, its_limit, its_period, its_length, its_rest
    version, letter, ends, _, strikes, its_limit, its_period, its_length, its_rest, full, rest =
      struct.unpack('<BBI7I7I4I7I7I7I7I7I7', before)
    local is_same = its_limit == limit and its_period == period and its_length == length and its_rest == length_rest
    if version == 3 and letter == 116 and ends + strikes == 0 and is_same then head = string.sub(before, 1, 48) end
    if full < now then full, rest = now, 0 end
  end
  if cost > 0 and head then
    -- The remainders are compared before they are added: the sum might be inexact.
    if rest >= limit - refill_rest then
      full, rest = full + refill + 1, rest - (limit - refill_rest)
    else
      full, rest = full + refill, rest + refill_rest
    end
    local fits_until = now + length
    if full < fits_until or full == fits_until and rest <= length_rest then
      local ends = rest > 0 and full + 1 or full
      local px = math.max(math.ceil(ends / 1000) - math.floor(now / 1000), LEAST_PX)
      redis.call('SET', KEYS[1], head .. struct.pack('<I7I7', full, rest), 'PX', px)
      return { 1, 0, full - now, rest }
    end
  end
end
