-- What the scripts of a ledger share. In front of each of them, behind the clock and journal.lua.
--
-- KEYS[1] state     HASH of one partition, kept by journal.lua:
--                   `b:<account>` -> balance,version,amount in transit out of it (the last if there
--                   is one; a balance alone is of version 0)
--                   `p:<id>` -> balance of the giver,balance of the taker,when it is forgotten in
--                   µs,fingerprint;
--                   `@<number>` in place of the taker's balance while the transfer of that number
--                   is in transit
--                   `i:<number>` -> transfer in transit to another partition, packed: target,
--                   amount, id, giver, taker; empty once it has ended
--                   `c:<source>:<number>` -> what became of a credit: taker's balance after it,
--                   `unknown` or `large`
--                   `w:<source>` -> all credits of that partition below this number have ended
--                   `fence` -> highest fencing token seen, `seq` -> number of the last transfer in
--                   transit,
--                   `deposited`, `withdrawn`, `sent`, `received` -> sums of all time, of any length
--                   `partitions` -> number of partitions, in partition 0 where there are several
-- KEYS[2] forget    ZSET id -> when it is forgotten, µs: an index
-- KEYS[3] transit   ZSET number of a transfer in transit -> the same: an index
-- KEYS[4] credits   ZSET `<source>:<number>` of a credit, by name: an index
-- ARGV[1] number of partitions  ARGV[2] this partition
-- Returns {'partitions', number} from each script, if the ledger has another number of partitions
local now = now_us()
local now_text = string.format('%.0f', now)
local needless = {}

local function whole(number) return string.format('%.0f', number) end

-- The answer of each script if the ledger has another number of partitions. Partition 0 knows the
-- number.
local function refusal()
  if ARGV[2] ~= '0' then return nil end
  local known = get('partitions')
  if not known and ARGV[1] ~= '1' then
    if redis.call('EXISTS', KEYS[1]) == 1 then known = '1' else set('partitions', ARGV[1]) end
  end
  if known and known ~= ARGV[1] then return {'partitions', tonumber(known)} end
end

-- Balance, version and amount in transit of an account; nil if it was never opened.
local function account(name)
  local text = get('b:' .. name)
  if not text then return nil end
  local balance, version, transit = string.match(text, '^(%d+),?(%d*),?(%d*)$')
  return tonumber(balance), tonumber(version) or 0, tonumber(transit) or 0
end

-- Sets an account whose balance this step has changed. Its new version is greater than all before,
-- also where the account was lost meanwhile.
local function put(name, balance_text, version, transit)
  local text = balance_text .. ',' .. (version < now and now_text or whole(version + 1))
  if transit > 0 then text = text .. ',' .. whole(transit) end
  set('b:' .. name, text)
end

-- Adds to a sum of all time. Where one number would round, the last eight digits are added by
-- themselves.
local function count(field, amount)
  local text = get(field) or '0'
  local sum = tonumber(text) + amount
  if sum < 9007199254740992 then return set(field, whole(sum)) end
  local low = tonumber(string.sub(text, -8)) + math.fmod(amount, 1e8)
  local high = (tonumber(string.sub(text, 1, -9)) or 0) + (amount - math.fmod(amount, 1e8)) / 1e8
  if low >= 1e8 then low, high = low - 1e8, high + 1 end
  set(field, string.format('%.0f%08.0f', high, low))
end

-- Balances, time and fingerprint of a posting.
local function parsed(text) return string.match(text, '^(%d*),([^,]*),(%d+),(.*)$') end

-- What the step before this one has ended is needed no longer.
for field, text in pairs(last) do
  if text == '' and string.sub(field, 1, 2) == 'i:' then
    remove(field)
    needless[#needless + 1] = string.sub(field, 3)
  end
end

-- The lowest number of a transfer in transit, or one that is lower. Looks at a bounded number of
-- them.
local function lowest(default)
  local numbers = redis.call('ZRANGE', KEYS[3], 0, 9)
  for _, number in ipairs(numbers) do
    local text = get('i:' .. number)
    if text and text ~= '' then return number end
    -- A torn file has left it. What this step or the one before it has ended is removed by a later
    -- one.
    if changes['i:' .. number] == nil then
      remove('i:' .. number)
      needless[#needless + 1] = number
    end
  end
  return numbers[10] or default
end

-- Writes the state, then removes what the indexes no longer need.
local function finish(answer)
  commit()
  if #needless > 0 then redis.call('ZREM', KEYS[3], unpack(needless)) end
  return answer
end
