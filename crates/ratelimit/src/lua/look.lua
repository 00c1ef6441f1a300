-- The start of a check: the time, and the state of its key.
local now, before = now_us(), redis.call('GET', KEYS[1])
