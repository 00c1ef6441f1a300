-- Stands in front of scripts that store entries.
-- The entry with the server's time in µs at which Redis lets go of it: 16 digits at its end.
local function dated(entry, ms, now)
  return entry .. string.format('%016.0f', now + ms * 1000)
end
