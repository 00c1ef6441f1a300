-- Second half of transfers from other partitions: credits their takers, once for each source and
-- number.
--
-- KEYS, ARGV[1], ARGV[2]: ledger_shared.lua, then five for each credit: partition of the giver,
-- number of the transfer, lowest number in transit there, taker, amount
-- Returns for each credit {'credited', taker's balance after it}, {'before'} (it has ended long
-- ago), or, if it can never be credited, {'unknown'} or {'large'}; balances are text
local refused = refusal()
if refused then return refused end
local FORGET = math.max(20, 2 * (#ARGV - 2) / 5)
local answers, old, indexed, marks = {}, {}, {}, {}

-- Numbers of a source have 16 digits until the year 2286. The index sorts them as text.
local function entry(source, number) return source .. ':' .. string.rep('0', 16 - #number) .. number end

local function credit(source, number, low, taker, amount)
  local mark = marks[source]
  if not mark then
    mark = tonumber(get('w:' .. source) or 0)
    marks[source] = mark
    -- The source has settled all below the mark. A mark that this step sets may yet be lost, so it
    -- counts from the next.
    local below = '(' .. entry(source, whole(mark))
    for _, name in ipairs(redis.call('ZRANGEBYLEX', KEYS[4], '[' .. source .. ':', below, 'LIMIT', 0, FORGET)) do
      remove('c:' .. source .. ':' .. string.match(name, ':0*(%d+)$'))
      old[#old + 1] = name
    end
  end
  if tonumber(low) > tonumber(get('w:' .. source) or 0) then set('w:' .. source, low) end
  if tonumber(number) < mark then return {'before'} end

  local field = 'c:' .. source .. ':' .. number
  local outcome = get(field)
  if not outcome then
    local balance, version, transit = account(taker)
    if not balance then
      outcome = 'unknown'
    elseif balance + transit > 9007199254740991 - amount then
      outcome = 'large'
    else
      outcome = whole(balance + amount)
      put(taker, outcome, version, transit)
      count('received', amount)
    end
    indexed[#indexed + 1], indexed[#indexed + 2] = '0', entry(source, number)
    set(field, outcome)
  end
  if tonumber(outcome) then return {'credited', outcome} end
  return {outcome}
end

for at = 3, #ARGV, 5 do
  answers[#answers + 1] = credit(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4]))
end
if #indexed > 0 then redis.call('ZADD', KEYS[4], unpack(indexed)) end
finish()
if #old > 0 then redis.call('ZREM', KEYS[4], unpack(old)) end
return answers
