-- Stores what a caller brought, unless what is there ends so, before its date; loads under way may no longer fill. What comes
-- too late does nothing, as in `put`.
-- KEYS[1] value, KEYS[2] fence
-- ARGV[1] entry, ARGV[2] its lifetime in ms, ARGV[3] the end of an entry that stays
-- ARGV[4] the server's time in µs until which it counts
-- Returns 1 when stored, 0 when refused, -1 when it is too late.
if now_us() > tonumber(ARGV[4]) then
  return -1
end
if redis.call('GETRANGE', KEYS[1], -#ARGV[3] - 16, -17) == ARGV[3] then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], dated(ARGV[1], ARGV[2], now_us()), 'PX', ARGV[2])
return 1
