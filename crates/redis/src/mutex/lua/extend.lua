-- Lets a lock that is held with a token expire later.
-- KEYS[1]  the lock
-- ARGV[1]  the token
-- ARGV[2]  milliseconds from now
-- returns  1 if it is held with that token, else 0
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
