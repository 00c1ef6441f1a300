-- The quota of a tenant: minute, hour and day, charged together or not at all, its plan, its seats
-- and its block. One GET, and one SET if anything changed. Same as src/tenant/state.rs. look.lua
-- and tenant_admit.lua come first.
--
-- KEYS[1]  the tenant's state
--            byte 1        version, 2
--            bytes 2-36    the newest plan with an epoch, zeros if there is none
--            bytes 37-54   block as in key.lua: end, length, strikes
--            bytes 55-59   seats in use, or ANY if unknown
--            bytes 60-66   time of the last change of plan or seats, µs
--            bytes 67-94   hour and day as in fixed_window.lua
--            from 95 on    minute as in sliding_window.lua
--          Version 1 had only hour, day and minute, and is read too. A state of an unknown version
--          is not changed, and the script returns an error.
-- KEYS[2]  debit only: a HASH of process to the number of its last debit that was charged
-- ARGV     operation; amount; plan, or empty; block, its cap and the decay of a strike, in µs (0:
--          no policy, no escalation); the jitter of a block in percent, times 65,536, plus the
--          tenant's seed below 65,536; debit only: the process, the number of this debit, the
--          admitted amounts of the minute, the hour and the day
-- returns  check, peek            {1 admitted, 0 refused or 2 can never fit,
--                                  remaining µs of the block or the maximum cost that fits,
--                                  minute: used, µs until it is zero, µs until the cost fits,
--                                  hour: used, µs until the next window; day: the same;
--                                  the plan that applies if it is not the passed one}
--          usage, penalty, reward the same, then seats in use, strikes
--          take_seat              {1 taken or 0, seats in use, seats of the plan or ANY}
--          plan                   {1 stored or 0, the plan}
--          give_seat              {seats in use, or ANY}
--          others                 {1 or 0}
--
-- A plan: <I7 epoch><B tier><B bits of own limits><I7 minute><I7 hour><I7 day><I5 seats, or ANY>.
local TENANT, PLAN, HOUR, DAY, MINUTE = '<Bc35I7I7I4I5I7', '<I7BBI7I7I7I5', 67, 81, 95
local NO_PLAN, ANY, KEPT = string.rep('\0', 35), 4294967296, 86400000000
-- No process repeats a debit after its day has passed.
local DEBITS_PX = 90000000
local work, amount, brought = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local policy = { base = tonumber(ARGV[4]), cap = tonumber(ARGV[5]), decay = tonumber(ARGV[6]) }
policy.jitter, policy.seed = math.floor(ARGV[7] / 65536), ARGV[7] % 65536

local plan, seats, told, block = NO_PLAN, ANY, 0, { ends = 0, length = 0, strikes = 0 }
local bytes, shift, version = before or '', 0, before and string.byte(before) or 2
if version == 1 then
  shift = HOUR - 2
elseif version ~= 2 then
  return redis.error_reply('VERSION the state of a tenant is of an unknown version')
elseif before then
  local _
  _, plan, block.ends, block.length, block.strikes, seats, told = struct.unpack(TENANT, before)
end

-- The newest plan applies. With equal epochs it is the passed one.
local kept_epoch, in_force = struct.unpack('<I7', plan), plan
if brought ~= '' and struct.unpack('<I7', brought) >= kept_epoch then in_force = brought end
local epoch, _, _, per_minute, per_hour, per_day, allowed = struct.unpack(PLAN, in_force)
local minute_rule = { limit = per_minute, period = 60000000, segment = 1000000 }
local hour_rule = { limit = per_hour, period = 3600000000 }
local day_rule = { limit = per_day, period = 86400000000 }
local differs = in_force ~= brought and in_force or ''

local is_check = work == 'check'
if is_check or work == 'peek' then
  local greatest = math.min(per_minute, per_hour, per_day)
  if amount > greatest then return { 2, greatest, 0, 0, 0, 0, 0, 0, 0, differs } end
end

-- Adjusts the state to a clock that was set back.
block.ends = math.min(block.ends, now + block.length)
told = math.min(told, now)
local minute = sliding_window.read(bytes, MINUTE - shift)
local hour = fixed_window.read(bytes, HOUR - shift, now, hour_rule)
local day = fixed_window.read(bytes, DAY - shift, now, day_rule)
sliding_window.settle(minute, now, minute_rule)
fixed_window.settle(hour, now, hour_rule)
fixed_window.settle(day, now, day_rule)
local left = left_of(block, now)

local function figures(status, cost)
  local minute_fits, used, reset, retry = sliding_window.decide(minute, now, cost, minute_rule)
  local hour_fits, in_hour, hour_next = fixed_window.decide(hour, now, cost, hour_rule)
  local day_fits, in_day, day_next = fixed_window.decide(day, now, cost, day_rule)
  status = status or minute_fits and hour_fits and day_fits and left == 0 and 1 or 0
  return { status, left, used, reset, retry, in_hour, hour_next, in_day, day_next, differs }
end

local function adopt()
  if epoch > 0 and in_force ~= plan then plan, told = in_force, now end
end

local function usage()
  local answer = figures(1, 0)
  answer[11], answer[12] = seats, strikes_of(block, now, policy)
  return answer
end

local function save()
  local after = struct.pack(TENANT, 2, plan, block.ends, block.length, block.strikes, seats, told)
    .. fixed_window.write(hour) .. fixed_window.write(day) .. sliding_window.write(minute)
  if after == before then return end
  local ends = math.max(
    sliding_window.expires(minute, minute_rule),
    fixed_window.expires(hour, hour_rule),
    fixed_window.expires(day, day_rule),
    block.ends
  )
  if policy.decay > 0 then ends = math.max(ends, block.ends + block.strikes * policy.decay) end
  if plan ~= NO_PLAN or seats < ANY then ends = math.max(ends, told + KEPT) end
  ends = math.min(ends, now + MAX_MICROS)
  local px = math.max(math.ceil(ends / 1000) - math.floor(now / 1000), LEAST_PX)
  redis.call('SET', KEYS[1], after, 'PX', string.format('%.0f', px))
end

if is_check then
  adopt()
  local answer = figures(nil, amount)
  if answer[1] == 1 then
    sliding_window.charge(minute, now, amount, minute_rule)
    fixed_window.charge(hour, now, amount, hour_rule)
    fixed_window.charge(day, now, amount, day_rule)
    answer = figures(1, 0)
  elseif left == 0 and policy.base > 0 then
    answer[2] = strike(block, now, policy)
  end
  save()
  return answer
elseif work == 'peek' then
  return figures(nil, amount)
elseif work == 'usage' then
  return usage()
elseif work == 'penalty' then
  adopt()
  sliding_window.penalty(minute, now, amount, minute_rule)
  fixed_window.penalty(hour, now, amount, hour_rule)
  fixed_window.penalty(day, now, amount, day_rule)
  save()
  return usage()
elseif work == 'debit' then
  if tonumber(redis.call('HGET', KEYS[2], ARGV[8]) or '0') >= tonumber(ARGV[9]) then return { 0 } end
  adopt()
  sliding_window.penalty(minute, now, tonumber(ARGV[10]), minute_rule)
  fixed_window.penalty(hour, now, tonumber(ARGV[11]), hour_rule)
  fixed_window.penalty(day, now, tonumber(ARGV[12]), day_rule)
  -- The charge is written before its number, as in debit.lua.
  save()
  redis.call('HSET', KEYS[2], ARGV[8], ARGV[9])
  redis.call('PEXPIRE', KEYS[2], DEBITS_PX)
  return { 1 }
elseif work == 'set_plan' then
  local is_newest = struct.unpack('<I7', brought) >= kept_epoch
  if is_newest and epoch > 0 then plan, told = brought, now end
  save()
  return { is_newest and 1 or 0 }
elseif work == 'plan' then
  return { plan ~= NO_PLAN and 1 or 0, plan }
elseif work == 'take_seat' then
  adopt()
  local used, taken = seats < ANY and seats or amount, 0
  if used < math.min(allowed, ANY - 1) then used, taken = used + 1, 1 end
  seats, told = used, now
  save()
  return { taken, used, allowed }
elseif work == 'set_seats' then
  seats, told = amount, now
  save()
  return { 1 }
elseif work == 'block' then
  block = { ends = now + amount, length = amount, strikes = strikes_of(block, now, policy) }
  save()
  return { 1 }
end

-- The following operations store nothing for an unknown tenant.
if work == 'reward' then
  if before then adopt() end
  sliding_window.reward(minute, now, amount, minute_rule)
  fixed_window.reward(hour, now, amount, hour_rule)
  fixed_window.reward(day, now, amount, day_rule)
  if before then save() end
  return usage()
elseif not before then
  return { work == 'give_seat' and ANY or 0 }
elseif work == 'give_seat' then
  if seats < ANY then seats, told = math.max(seats - 1, 0), now end
  save()
  return { seats }
elseif work == 'unblock' then
  block = { ends = 0, length = 0, strikes = 0 }
  save()
  return { left > 0 and 1 or 0 }
elseif work == 'reset' then
  local used = minute.used + hour.used + day.used
  local known = (used > 0 or left > 0 or strikes_of(block, now, policy) > 0) and 1 or 0
  if plan == NO_PLAN and seats == ANY then
    redis.call('DEL', KEYS[1])
    return { known }
  end
  block = { ends = 0, length = 0, strikes = 0 }
  minute = sliding_window.read('', 1)
  hour, day = { start = 0, used = 0 }, { start = 0, used = 0 }
  save()
  return { known }
end
return redis.error_reply('ERR a tenant knows no such work')
