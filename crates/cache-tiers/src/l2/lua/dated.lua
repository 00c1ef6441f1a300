-- Prepended to scripts that store entries. Returns the entry with the server's time in µs at which
-- Redis expires it, as 16 digits at the end.
local function dated(entry, ms, now)
  return entry .. string.format('%016.0f', now + ms * 1000)
end
