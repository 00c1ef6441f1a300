-- What a check begins with: the time, and what is kept of its key.
local now, before = now_us(), redis.call('GET', KEYS[1])
