-- Tells every process that follows of an invalidation: a mark comes and goes. Nothing stays whose end would be told as well.
-- KEYS[1] mark that processes follow
-- Returns 1.
-- A deletion comes first, of nothing: a server that is full refuses a script only until it has written.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '')
redis.call('DEL', KEYS[1])
return 1
