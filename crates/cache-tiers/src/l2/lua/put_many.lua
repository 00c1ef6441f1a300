-- Stores values of a caller; loads of these keys that are in progress may no longer fill. A write
-- that arrives too late does nothing, as in `put`.
-- KEYS for each key: value, fence
-- ARGV for each key: entry, its lifetime in ms, the server's time in µs until which the write
-- counts
-- Returns for each key 1, or 0 if it is too late.
local answers, now = {}, now_us()
for i = 1, #KEYS / 2 do
  if now > tonumber(ARGV[3 * i]) then
    answers[i] = 0
  else
    redis.call('DEL', KEYS[2 * i])
    redis.call('SET', KEYS[2 * i - 1], dated(ARGV[3 * i - 2], ARGV[3 * i - 1], now), 'PX', ARGV[3 * i - 1])
    answers[i] = 1
  end
end
return answers
