-- Reads a part of a list for the audit.
-- KEYS  meta, and as `list` a list of ids
-- ARGV  the first and the last index
-- Returns the ids.
hold_audit(now_ms())
return redis.call('LRANGE', K.list, ARGV[1], ARGV[2])
