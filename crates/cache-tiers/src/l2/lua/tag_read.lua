-- The generation of a tag for an entry that is about to carry it; created if it is missing, or if
-- the key holds something foreign.
-- KEYS[1] generation
-- ARGV[1] minimum lifetime in ms, ARGV[2] lifetime in ms that it gets if less is left
-- Returns the generation.
local generation = redis.pcall('GET', KEYS[1])
if not is_generation(generation) then
  generation = string.format('%.0f', now_us())
  redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return generation
