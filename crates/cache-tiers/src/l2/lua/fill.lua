-- Stores a loaded value, unless an invalidation removed the fence under which its load started.
-- KEYS[1] value, KEYS[2] fence
-- ARGV[1] the load's fence, ARGV[2] entry, ARGV[3] its lifetime in ms
-- Returns 1 if stored, 0 if refused.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], dated(ARGV[2], ARGV[3], now_us()), 'PX', ARGV[3])
return 1
