-- The generation of a tag for an entry that is about to carry it; created where it is missing, or where something foreign lies.
-- KEYS[1] generation
-- ARGV[1] ms that it must live on at least, ARGV[2] ms that it gets when it would not
-- Returns the generation.
local generation = redis.pcall('GET', KEYS[1])
if not is_generation(generation) then
  generation = string.format('%.0f', now_us())
  redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
elseif redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return generation
