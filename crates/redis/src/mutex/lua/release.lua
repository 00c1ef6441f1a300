-- Deletes a lock that is held with a token.
-- KEYS[1]  the lock
-- ARGV[1]  the token
-- returns  1 if it was held with that token, else 0
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  return 1
end
return 0
