-- Invalidates a key: value and fence go in one step. Where there was no value, one comes and goes, so that Redis tells every
-- process that follows, also those that hold a value which Redis does not. Nothing stays whose end would be told as well.
-- KEYS[1] value, KEYS[2] fence
-- Returns 1.
redis.call('UNLINK', KEYS[2])
if redis.call('UNLINK', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], '')
  redis.call('DEL', KEYS[1])
end
return 1
