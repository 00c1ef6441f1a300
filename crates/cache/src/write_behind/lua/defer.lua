-- Moves keys behind all others, because the calling process cannot read their values.
-- KEYS[1] order
-- ARGV keys
-- Returns 1.
local now = string.format('%.0f', now_us())
for _, key in ipairs(ARGV) do
  redis.call('ZADD', KEYS[1], 'XX', now, key)
end
return 1
