-- Posts to a ledger, in turn: transfers between two accounts, deposits into one and withdrawals
-- from one, once an id. Of a transfer to another partition this is the first half: the amount is in
-- transit until ledger_settle.lua.
--
-- KEYS, ARGV[1], ARGV[2]: ledger_shared.lua  ARGV[3] how long ids are remembered, µs, then nine for
-- each posting: id, fingerprint of the arguments, giver, taker, amount, fencing token or '', which
-- of giver and taker are in this partition ('both', 'giver', 'taker'), version that the giver (of a
-- deposit: the taker) must have or '', partition of the taker if it is another one or ''
-- Returns for each posting {'posted', giver's balance, taker's balance}, {'transit', giver's
-- balance, number of the transfer, lowest number in transit}, {'reused'}, {'fenced', highest
-- token}, {'unknown', which}, {'conflict', balance, version, amount in transit}, {'short', balance}
-- or {'large'}; balances and numbers are text
local fields = {'partitions'}
for at = 4, #ARGV, 9 do
  local sides, target = ARGV[at + 6], ARGV[at + 8]
  fields[#fields + 1] = 'p:' .. ARGV[at]
  if sides ~= 'taker' then fields[#fields + 1] = 'b:' .. ARGV[at + 2] end
  if sides ~= 'giver' then fields[#fields + 1] = 'b:' .. ARGV[at + 3] end
  if sides == 'taker' then
    fields[#fields + 1] = 'deposited'
  elseif target ~= '' then
    fields[#fields + 1], fields[#fields + 2] = 'sent', 'seq'
  elseif sides == 'giver' then
    fields[#fields + 1] = 'withdrawn'
  end
end
prefetch(fields)
local refused = refusal()
if refused then return refused end

local answers, under_way, forget_at = {}, {}, whole(now + tonumber(ARGV[3]))
local to_forget, to_transit = {}, {}

local postings = (#ARGV - 3) / 9
local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now_text, 'LIMIT', 0, 10 + postings)
for _, id in ipairs(old) do
  local text = get('p:' .. id)
  if text then
    local _, _, at = parsed(text)
    if tonumber(at) <= now then remove('p:' .. id) end
  end
end

local function remember(id, giver, taker, print)
  to_forget[#to_forget + 1], to_forget[#to_forget + 2] = forget_at, id
  set('p:' .. id, giver .. ',' .. taker .. ',' .. forget_at .. ',' .. print)
end

local function in_transit(giver, number)
  local answer = {'transit', giver, number}
  under_way[#under_way + 1] = answer
  return answer
end

local function post(id, print, giver, taker, amount_text, token_text, sides, expected, target)
  local before = get('p:' .. id)
  if before then
    local giver_text, taker_text, at, known = parsed(before)
    if tonumber(at) > now then
      if known ~= print then return {'reused'} end
      if string.sub(taker_text, 1, 1) == '@' then return in_transit(giver_text, string.sub(taker_text, 2)) end
      return {'posted', giver_text, taker_text}
    end
  end

  local token = tonumber(token_text)
  if token then
    local highest = tonumber(get('fence') or -1)
    if token < highest then return {'fenced', highest} end
    if token > highest then set('fence', token_text) end
  end

  local amount = tonumber(amount_text)
  local has_giver, has_taker = sides ~= 'taker', sides ~= 'giver'
  local balance, version, transit, taken, taken_version, taken_transit
  if has_giver then
    balance, version, transit = account(giver)
    if not balance then return {'unknown', 'giver'} end
  end
  if has_taker then
    taken, taken_version, taken_transit = account(taker)
    if not taken then
      if has_giver or expected ~= '' then return {'unknown', 'taker'} end
      taken, taken_version, taken_transit = 0, 0, 0
    end
  end
  if expected ~= '' then
    local seen = has_giver and {balance, version, transit} or {taken, taken_version, taken_transit}
    if tonumber(expected) ~= seen[2] then return {'conflict', whole(seen[1]), whole(seen[2]), whole(seen[3])} end
  end
  if has_giver and balance < amount then return {'short', whole(balance)} end
  -- What is in transit may come back, so there must be room for it.
  if has_taker and taken + taken_transit > 9007199254740991 - amount then return {'large'} end

  local giver_text, taker_text = '', ''
  if target ~= '' then
    local number = whole(math.max(now, tonumber(get('seq') or 0) + 1))
    set('seq', number)
    set('i:' .. number, cmsgpack.pack({target, amount_text, id, giver, taker}))
    to_transit[#to_transit + 1], to_transit[#to_transit + 2] = number, number
    count('sent', amount)
    giver_text = whole(balance - amount)
    put(giver, giver_text, version, transit + amount)
    remember(id, giver_text, '@' .. number, print)
    return in_transit(giver_text, number)
  end
  if has_giver then
    giver_text = whole(balance - amount)
    put(giver, giver_text, version, transit)
    if not has_taker then count('withdrawn', amount) end
  end
  if has_taker then
    taker_text = whole(taken + amount)
    put(taker, taker_text, taken_version, taken_transit)
    if not has_giver then count('deposited', amount) end
  end
  remember(id, giver_text, taker_text, print)
  return {'posted', giver_text, taker_text}
end

for at = 4, #ARGV, 9 do answers[#answers + 1] = post(unpack(ARGV, at, at + 8)) end

-- The indexes come first: what is in the state is found in them, also where a file was torn.
if #to_forget > 0 then redis.call('ZADD', KEYS[2], unpack(to_forget)) end
if #to_transit > 0 then redis.call('ZADD', KEYS[3], unpack(to_transit)) end
if #under_way > 0 then
  local low = lowest('0')
  for _, answer in ipairs(under_way) do answer[4] = low end
end
finish()
local gone = {}
for _, id in ipairs(old) do
  if not changes['p:' .. id] then gone[#gone + 1] = id end
end
if #gone > 0 then redis.call('ZREM', KEYS[2], unpack(gone)) end
return answers
