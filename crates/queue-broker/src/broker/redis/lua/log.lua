-- Adds lines to a job's log, a ring of fields: "id" counts the lines, "id#n" is "time delivery
-- line".
-- KEYS  meta, lease, log
-- ARGV  id, "delivery nonce", lines
-- Returns 1 if the lease is held, else 0.
local id = ARGV[1]
local run = held_by(id, ARGV[2])
if not run then
  return 0
end
local count = #ARGV - 2
if count == 0 then
  return 1
end
if FULL then
  redis.call('HINCRBY', K.meta, 'dropped', count)
  return 1
end
local front = whole(now_ms()) .. ' ' .. run.delivery .. ' '
local first = redis.call('HINCRBY', K.log, id, count) - count
for nth = math.max(count - LOG_LINES, 0) + 1, count do
  redis.call('HSET', K.log, id .. '#' .. whole((first + nth - 1) % LOG_LINES), front .. ARGV[nth + 2])
end
return 1
