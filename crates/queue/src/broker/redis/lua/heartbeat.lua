-- Extends leases.
-- KEYS  lease, state
-- ARGV  length of a lease in ms; for each lease: id, delivery, nonce
-- Returns one digit for each lease: 0 extended, 1 extended and somebody wants it cancelled, 2 lost.
local deadline = whole(math.min(now_ms() + ARGV[1], LAST_TIME))
local ids, members = {}, {}
for at = 2, #ARGV, 3 do
  ids[#ids + 1] = ARGV[at]
  members[#members + 1] = ARGV[at] .. '.' .. ARGV[at + 1] .. '.' .. ARGV[at + 2]
end
local held = collect('ZMSCORE', K.lease, members)
local states = collect('HMGET', K.state, ids)
local extended, answer = {}, {}
for nth, member in ipairs(members) do
  if held[nth] then
    extended[#extended + 1] = deadline
    extended[#extended + 1] = member
    answer[nth] = states[nth] and cmsgpack.unpack(states[nth]).cancel and '1' or '0'
  else
    answer[nth] = '2'
  end
end
bulk('ZADD', K.lease, extended)
return table.concat(answer)
