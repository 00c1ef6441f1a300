-- Invalidates a key: deletes value and fence in one step. If there was no value, one is set and
-- deleted, so that Redis notifies every process that follows, also those that hold a value which
-- Redis does not. Nothing stays whose expiry would cause a notice too.
-- KEYS[1] value, KEYS[2] fence
-- Returns 1.
redis.call('UNLINK', KEYS[2])
if redis.call('UNLINK', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], '')
  redis.call('DEL', KEYS[1])
end
return 1
