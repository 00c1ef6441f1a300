-- Stores a value of a caller, unless the existing entry ends, before its date, with the bytes in
-- ARGV[3]. Loads in progress may no longer fill. A write that arrives too late does nothing, as in
-- `put`.
-- KEYS[1] value, KEYS[2] fence
-- ARGV[1] entry, ARGV[2] its lifetime in ms, ARGV[3] the end of an entry that stays
-- ARGV[4] the server's time in µs until which the write counts
-- Returns 1 if stored, 0 if refused, -1 if it is too late.
if now_us() > tonumber(ARGV[4]) then
  return -1
end
if redis.call('GETRANGE', KEYS[1], -#ARGV[3] - 16, -17) == ARGV[3] then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], dated(ARGV[1], ARGV[2], now_us()), 'PX', ARGV[2])
return 1
