-- Stores what a caller brought; loads under way may no longer fill.
-- KEYS[1] value, KEYS[2] fence
-- ARGV[1] entry, ARGV[2] its lifetime in ms
-- Returns 1.
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
