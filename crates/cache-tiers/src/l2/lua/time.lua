-- The time of the server that has a key.
-- KEYS[1] the key
-- Returns microseconds.
return string.format('%.0f', now_us())
