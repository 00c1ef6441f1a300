-- Publishes the quotas of a limiter, or withdraws them, unless another node has done so since this
-- node read them.
--
-- KEYS[1]  all quotas: a hash of limiter to date, a space and text. The text is empty if they were
--          withdrawn. The date is the server's time in µs, but always after the date that it
--          replaces. A text without a date is older than any other.
-- ARGV     the limiter's name; the text; the date that the node knows
-- returns  1 and the date of the change; or 0 and the field, which is newer than the node's
local held = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local held_at, known_at = tonumber(string.match(held, '^(%d+) ') or 0), tonumber(ARGV[3])
if held_at > known_at then return {0, held} end
local time = redis.call('TIME')
local at = string.format('%.0f', math.max(time[1] * 1000000 + time[2], known_at + 1))
redis.call('HSET', KEYS[1], ARGV[1], at .. ' ' .. ARGV[2])
return {1, at}
