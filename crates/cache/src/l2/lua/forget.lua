-- Invalidates a key: value and fence go in one step. The empty value that stays for a moment makes Redis tell every
-- process that follows, also those that hold a value which Redis does not.
-- KEYS[1] value, KEYS[2] fence
-- ARGV[1] lifetime of the empty value in ms
-- Returns 1.
redis.call('UNLINK', KEYS[1], KEYS[2])
redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
return 1
