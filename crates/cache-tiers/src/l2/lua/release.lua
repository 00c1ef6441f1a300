-- Gives back the fence of a load that returned nothing to store.
-- KEYS[1] fence
-- ARGV[1] the load's fence
-- Returns 1 if it was still in force, 0 if an invalidation or another load removed it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
