-- Releases a permit, or the position in the queue, and wakes the first in the queue.
--
-- KEYS[1] holders  KEYS[2] queue  KEYS[3] alive: as in permit_acquire.lua
-- ARGV[1] owner  ARGV[2] prefix of the channels' names
-- Returns the number of released permits: 1, or 0 if there was none
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
local released = redis.call('ZREM', KEYS[1], ARGV[1])
wake_first(KEYS[2], ARGV[2])
return released
