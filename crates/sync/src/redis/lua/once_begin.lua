-- Begins an operation that must be executed once, unless it is running or completed.
--
-- KEYS[1] record  HASH state (p: in progress, d: done), owner, ends (of the lease, µs), attempt,
--                 result
-- Every step on a record writes all fields that it depends on, with one HSET: a torn append-only
-- file can restore an earlier step of another owner.
-- ARGV[1] owner  ARGV[2] lease, µs  ARGV[3] how long the record is kept, ms
-- Returns {'started', attempt} or {'busy', µs until the lease ends} or {'done', result}
local now = now_us()
local record = redis.call('HMGET', KEYS[1], 'state', 'owner', 'ends', 'attempt', 'result')
if record[1] == 'd' then return {'done', record[5]} end
local attempt = tonumber(record[4] or 0)
if record[1] == 'p' and record[2] ~= ARGV[1] then
  local ends = tonumber(record[3])
  if ends > now then return {'busy', ends - now} end
end
if record[2] ~= ARGV[1] then attempt = attempt + 1 end
redis.call('HSET', KEYS[1], 'state', 'p', 'owner', ARGV[1], 'ends',
  string.format('%.0f', now + tonumber(ARGV[2])), 'attempt', string.format('%.0f', attempt))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'started', attempt}
