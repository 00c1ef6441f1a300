-- Reads a value, or takes part in the load of it. A value that is not a string is foreign, and
-- counts as no value.
-- KEYS[1] value, KEYS[2] fence
-- ARGV[1] a new fence, ARGV[2] its lifetime in ms, ARGV[3] head of a value that is known to be
-- invalid, or ''
-- ARGV[4] ms left to a fence below which its load is dead, since it was not renewed: then the new
-- fence replaces it
-- Returns {value, ms left}, or {nil, the fence in force}. The caller whose fence that is loads.
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'string' and value ~= '' and (ARGV[3] == '' or string.sub(value, 1, #ARGV[3]) ~= ARGV[3]) then
  return {value, redis.call('PTTL', KEYS[1])}
end
local fence = redis.pcall('GET', KEYS[2])
if type(fence) ~= 'string' or redis.call('PTTL', KEYS[2]) < tonumber(ARGV[4]) then
  fence = ARGV[1]
  redis.call('SET', KEYS[2], fence, 'PX', ARGV[2])
end
return {false, fence}
