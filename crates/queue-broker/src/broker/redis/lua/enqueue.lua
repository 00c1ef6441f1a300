-- Adds plain jobs of one priority that are due at once. This is the usual case, so it shares
-- nothing and builds little.
-- KEYS  meta, job, wake, tomb, back, events, ready
-- ARGV  level; ids, no two alike; for each of them the rest of its envelope
-- Returns 1 if the queue is new, else 0; one digit for each job (0 new, 1 known), or nothing if all
--         are new.
local call, floor = redis.call, math.floor
local now = string.format('%.0f', floor(now_us() / 1000))
local meta = call('HMGET', KEYS[1], 'layout', 'paused', 'events', 'limits')
if meta[1] and meta[1] ~= LAYOUT then
  return redis.error_reply('LAYOUT ' .. meta[1] .. ' of this queue is not ' .. LAYOUT)
end
if not meta[1] then
  call('HSET', KEYS[1], 'layout', LAYOUT, 'scripts', SCRIPTS, 'maintained', now, 'reclaim_from', now, 'server', '',
    'over', '0')
end
local count = (#ARGV - 1) / 2
local base = call('HINCRBY', KEYS[1], 'seq', count) - count
local head = string.format('%.0f', base) .. ' ' .. now .. ' '
local has_tombs = call('EXISTS', KEYS[4]) == 1
local digits
for from = 2, count + 1, 500 do
  local to = from + 499
  if to > count + 1 then
    to = count + 1
  end
  local known = call('HMGET', KEYS[2], unpack(ARGV, from, to))
  local all_new = not has_tombs
  for nth = 1, to - from + 1 do
    if known[nth] then
      all_new = false
      break
    end
  end
  if all_new then
    local pairs_of_job, at = {}, 0
    for nth = from, to do
      pairs_of_job[at + 1] = ARGV[nth]
      at = at + 2
      pairs_of_job[at] = head .. ARGV[nth + count]
    end
    call('HSET', KEYS[2], unpack(pairs_of_job))
    call('RPUSH', KEYS[7], unpack(ARGV, from, to))
  else
    digits = digits or {}
    for nth = from, to do
      local id = ARGV[nth]
      if known[nth - from + 1] then
        digits[nth - 1] = '1'
      else
        digits[nth - 1] = '0'
        call('HSET', KEYS[2], id, head .. ARGV[nth + count])
        -- While an element of a list is the tombstone of an earlier job of this id, the job waits
        -- elsewhere.
        if has_tombs and call('HEXISTS', KEYS[4], id) == 1 then
          local seq = base + string.match(ARGV[nth + count], '^%d+')
          call('ZADD', KEYS[5], string.format('%.0f', ARGV[1] * 281474976710656 + now),
            string.format('%012.0f.%s.%s', seq, ARGV[1], id))
        else
          call('RPUSH', KEYS[7], id)
        end
      end
    end
  end
end
if digits then
  for nth = 1, count do
    digits[nth] = digits[nth] or '0'
  end
end
if meta[3] == '1' then
  for nth = 1, count do
    if not digits or digits[nth] == '0' then
      call('XADD', KEYS[6], 'MAXLEN', '~', 10000, '*', 'e', now .. ' ' .. ARGV[nth + 1] .. ' enqueued')
    end
  end
end
local kind = meta[4] and 'd' or 'r'
if count > 0 and meta[2] ~= '1' and not call('LPOS', KEYS[3], kind) then
  call('RPUSH', KEYS[3], kind)
end
return { meta[1] and 0 or 1, digits and table.concat(digits) or false }
