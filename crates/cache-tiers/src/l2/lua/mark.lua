-- Notifies every process that follows of an invalidation: a mark is set and deleted. Nothing stays
-- whose expiry would cause a notice too. A no-op deletion comes first: a full server refuses a
-- script only until its first write.
-- KEYS[1] mark that processes follow
-- Returns 1.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '')
redis.call('DEL', KEYS[1])
return 1
