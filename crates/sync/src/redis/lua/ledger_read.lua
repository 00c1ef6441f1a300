-- Reads accounts and sums, and what a posting was answered.
--
-- KEYS, ARGV[1], ARGV[2]: ledger_shared.lua  ARGV[3] id of a posting, '' for none, then the
-- accounts
-- Returns {'read', sums, posting, account, …}: sums are {deposited, withdrawn, sent, received}, a
-- posting is {giver's balance, taker's balance, fingerprint}, an account is {balance, version,
-- amount in transit}; {} if there is none
local refused = refusal()
if refused then return refused end
local answer = {'read', {}, {}}
for nth, field in ipairs({'deposited', 'withdrawn', 'sent', 'received'}) do answer[2][nth] = get(field) or '0' end
if ARGV[3] ~= '' then
  local giver, taker, at, print = parsed(get('p:' .. ARGV[3]) or '')
  if at and tonumber(at) > now then answer[3] = {giver, taker, print} end
end
for at = 4, #ARGV do
  local balance, version, transit = account(ARGV[at])
  answer[#answer + 1] = balance and {whole(balance), whole(version), whole(transit)} or {}
end
return answer
