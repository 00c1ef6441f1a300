-- What is kept of one key, whatever its algorithm: a header of 20 bytes, what of the rule the state was kept under, then the
-- algorithm's own state.
--
--   byte 1       version of the format, 3
--   byte 2       the algorithm's letter
--   bytes 3-9    end of the block, µs since 1970
--   bytes 10-16  length of the block, µs
--   bytes 17-20  strikes
--
-- Integers are little-endian and unsigned; seven bytes hold more than the 2^53 that Lua counts exactly.
-- A version that isn't known is left alone and answered with an error: read a new version in one release, write it in
-- the next, and both can run side by side. Version 1 had no rule in it, version 2 had windows of
-- 65,535 bytes at most.
local VERSION, HEAD, BODY = 3, '<Bc1I7I7I4', 21
local MAX_STRIKES, MAX_MICROS = 4294967295, 4503599627370496

-- The block and the bytes that hold the algorithm's state, both empty for a key that isn't kept. Another algorithm's
-- state can't be read, nor can one of an earlier version, so there blocks and strikes are kept and the usage counts afresh.
local function read(bytes)
  if not bytes then return { ends = 0, length = 0, strikes = 0 }, '' end
  local version = string.byte(bytes)
  if version < 1 or version > VERSION then return nil end
  local _, found, ends, length, strikes = struct.unpack(HEAD, bytes)
  if found ~= algorithm.letter or version ~= VERSION then bytes = '' end
  return { ends = ends, length = length, strikes = strikes }, bytes
end

-- The state as it is at `now` under the rule of today. One that was kept under another is carried over: what is in use stays
-- in use.
local function state_of(bytes, now, rule)
  local at = BODY + algorithm.kept_bytes
  rule.kept = algorithm.keep(rule)
  if #bytes < at then return algorithm.read('', at, now, rule) end
  if string.sub(bytes, BODY, at - 1) == rule.kept then return algorithm.read(bytes, at, now, rule) end
  local before = algorithm.kept(bytes, BODY)
  local state = algorithm.read(bytes, at, now, before)
  algorithm.settle(state, now, before)
  return algorithm.carry(state, now, before, rule)
end

-- What is left of a block, never more than its length, wherever the clock went.
local function left_of(block, now)
  return math.max(math.min(block.ends - now, block.length), 0)
end

-- The strikes that are not forgotten yet.
local function strikes_of(block, now, policy)
  if policy.decay == 0 then return 0 end
  return math.max(block.strikes - math.floor(math.max(now - block.ends, 0) / policy.decay), 0)
end

-- A block's length with its part of the jitter, which the key and its strikes choose.
local function jittered(length, strikes, policy)
  local part = (policy.seed + strikes % 65536 * 40503) % 65536
  local longest = math.floor(length * policy.jitter / 100)
  return math.min(length + math.floor(longest * part / 65536), MAX_BLOCK)
end

-- Blocks for as long as the policy says, and returns that.
local function strike(block, now, policy)
  local length, strikes = policy.base, 0
  if policy.decay > 0 then
    strikes = strikes_of(block, now, policy)
    length = math.min(policy.base * 2 ^ math.min(strikes, 37), policy.cap)
    strikes = math.min(strikes + 1, MAX_STRIKES)
  end
  length = jittered(length, strikes, policy)
  block.ends, block.length, block.strikes = now + length, length, strikes
  return length
end

-- Keeps all that isn't kept already, for as long as any of it counts: the usage, the block, the strikes.
local function write(key, before, block, state, now, rule, policy)
  local head = struct.pack(HEAD, VERSION, algorithm.letter, block.ends, block.length, block.strikes)
  local bytes = head .. rule.kept .. algorithm.write(state)
  if bytes == before then return end
  local ends = math.max(algorithm.expires(state, rule), block.ends)
  if policy.decay > 0 then ends = math.max(ends, block.ends + block.strikes * policy.decay) end
  ends = math.min(ends, now + MAX_MICROS)
  -- Redis counts milliseconds: from the one that is now to the first one in which nothing counts any more.
  local px = math.max(math.ceil(ends / 1000) - math.floor(now / 1000), LEAST_PX)
  redis.call('SET', key, bytes, 'PX', px)
end
