-- Puts keys behind all others, since their values can't be read by the process that asks.
-- KEYS[1] order
-- ARGV keys
-- Returns 1.
local now = string.format('%.0f', now_us())
for _, key in ipairs(ARGV) do
  redis.call('ZADD', KEYS[1], 'XX', now, key)
end
return 1
