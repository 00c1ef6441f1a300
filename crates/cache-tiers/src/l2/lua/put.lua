-- Stores a value of a caller; loads in progress may no longer fill. A write that arrives too late
-- does nothing: its sender has given up and deleted the key instead, and others may have stored
-- since.
-- KEYS[1] value, KEYS[2] fence
-- ARGV[1] entry, ARGV[2] its lifetime in ms, ARGV[3] the server's time in µs until which the write
-- counts
-- Returns 1, or 0 if it is too late.
local now = now_us()
if now > tonumber(ARGV[3]) then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], dated(ARGV[1], ARGV[2], now), 'PX', ARGV[2])
return 1
