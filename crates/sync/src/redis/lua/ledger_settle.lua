-- Ends transfers to other partitions: their amount has arrived, or it returns to the giver.
--
-- KEYS, ARGV[1], ARGV[2]: ledger_shared.lua, then two for each transfer: its number, and the
-- taker's balance ('' if it is not known any more) or 'returned'
-- Returns for each transfer 1, or 0 if it had ended before
local refused = refusal()
if refused then return refused end
local answers = {}

local function settle(number, outcome)
  local packed = get('i:' .. number)
  if not packed or packed == '' then return 0 end
  local transfer = cmsgpack.unpack(packed)
  local amount, id, giver = tonumber(transfer[2]), transfer[3], transfer[4]
  local balance, version, transit = account(giver)
  local text = get('p:' .. id)
  local giver_text, taker_text, at, print = parsed(text or '')
  local is_known = taker_text == '@' .. number
  if outcome == 'returned' then
    put(giver, whole(balance + amount), version, transit - amount)
    count('received', amount)
    -- Forgotten at once, so that the id may be tried again. Not removed: that would be a step of
    -- its own.
    if is_known then set('p:' .. id, ',,0,') end
  else
    -- The balance is the same, and so is the version.
    set('b:' .. giver, whole(balance) .. ',' .. whole(version) .. ',' .. whole(transit - amount))
    if is_known then set('p:' .. id, giver_text .. ',' .. outcome .. ',' .. at .. ',' .. print) end
  end
  set('i:' .. number, '')
  return 1
end

for at = 3, #ARGV, 2 do answers[#answers + 1] = settle(ARGV[at], ARGV[at + 1]) end
return finish(answers)
