-- Publishes the quota of a limiter, or withdraws it.
--
-- KEYS[1]  all quotas: a hash of limiter to text; the field without a name counts the changes
-- ARGV     the limiter's name; the quota's text, empty to withdraw
-- returns  how many changes were made
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return redis.call('HINCRBY', KEYS[1], '', 1)
