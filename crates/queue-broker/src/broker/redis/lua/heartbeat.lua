-- Extends leases.
-- KEYS  lease, state
-- ARGV  length of a lease in ms; for each lease: id, "delivery nonce"
-- Returns one digit for each lease: 0 extended, 1 extended and a cancellation is requested, 2 lost.
local deadline = whole(math.min(now_ms() + ARGV[1], LAST_TIME))
local ids = {}
for at = 2, #ARGV, 2 do
  ids[#ids + 1] = ARGV[at]
end
local entries = collect('HMGET', K.lease, ids)
local states = redis.call('EXISTS', K.state) == 1 and collect('HMGET', K.state, ids) or {}
local extended, answer = {}, {}
for nth, id in ipairs(ids) do
  local token, entry = ARGV[nth * 2 + 1], entries[nth]
  local more = entry and string.sub(entry, 1, #token) == token and string.sub(entry, #token + 1)
  if more == '' or (more and string.sub(more, 1, 1) == ' ') then
    extended[#extended + 1] = id
    extended[#extended + 1] = token .. ' ' .. deadline .. (string.match(more, '^ %d+( .*)$') or ' 0')
    answer[nth] = states[nth] and cmsgpack.unpack(states[nth]).cancel and '1' or '0'
  else
    answer[nth] = '2'
  end
end
bulk('HSET', K.lease, extended)
return table.concat(answer)
