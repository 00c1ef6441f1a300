-- Returns the time.
-- KEYS  names
return whole(now_ms())
