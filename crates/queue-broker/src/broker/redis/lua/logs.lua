-- Reads a job's log.
-- KEYS  log
-- ARGV  id
-- Returns "time delivery line" for each, the oldest first.
local count = tonumber(redis.call('HGET', K.log, ARGV[1]) or 0)
if count == 0 then
  return {}
end
local fields = {}
for line = math.max(count - LOG_LINES, 0), count - 1 do
  fields[#fields + 1] = ARGV[1] .. '#' .. whole(line % LOG_LINES)
end
local lines = {}
for _, line in ipairs(redis.call('HMGET', K.log, unpack(fields))) do
  lines[#lines + 1] = line or nil
end
return lines
