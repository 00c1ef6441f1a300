-- Prepended to scripts that move or read generations of tags. Whether a reply to GET is a
-- generation: whole microseconds, small enough that one more is another number. Any other reply is
-- foreign, and counts as no generation.
local function is_generation(reply)
  return type(reply) == 'string' and #reply <= 16 and string.find(reply, '^%d+$') ~= nil
end
