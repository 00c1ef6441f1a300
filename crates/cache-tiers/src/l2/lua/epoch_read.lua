-- The current epoch, for a process that remembers it for a moment, and the time. A value that is
-- not a hash is foreign, and counts as no epoch.
-- KEYS[1] epoch
-- Returns {microseconds, the hash as a list}.
local fields = redis.pcall('HGETALL', KEYS[1])
if fields.err then
  fields = {}
end
return {string.format('%.0f', now_us()), fields}
