-- The state of one key, for every algorithm: a header of 20 bytes, the part of the rule on which
-- the state depends, then the algorithm's own state.
--
--   byte 1       version of the format, 3
--   byte 2       the algorithm's letter
--   bytes 3-9    end of the block, µs since 1970
--   bytes 10-16  length of the block, µs
--   bytes 17-20  strikes
--
-- Integers are little-endian and unsigned. Seven bytes hold more than the 2^53 that Lua counts
-- exactly. A state of an unknown version is not changed, and the script returns an error. To change
-- the format, read a new version in one release and write it in the next, so that both releases can
-- run at the same time. Version 1 had no rule, and version 2 had windows of at most 65,535 bytes.
local VERSION, HEAD, BODY = 3, '<Bc1I7I7I4', 21
local MAX_STRIKES, MAX_MICROS = 4294967295, 4503599627370496

-- The block, and the bytes of the algorithm's state. Both are empty for an unknown key. The state
-- of another algorithm or of an earlier version cannot be read: blocks and strikes are then kept,
-- and the usage starts at zero.
local function read(bytes)
  if not bytes then return { ends = 0, length = 0, strikes = 0 }, '' end
  local version = string.byte(bytes)
  if version < 1 or version > VERSION then return nil end
  local _, found, ends, length, strikes = struct.unpack(HEAD, bytes)
  if found ~= algorithm.letter or version ~= VERSION then bytes = '' end
  return { ends = ends, length = length, strikes = strikes }, bytes
end

-- The state as of `now` with the current rule. A state that was kept with another rule is
-- converted, and its usage is kept.
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

-- Remaining time of a block. Never more than its length, whatever the clock does.
local function left_of(block, now)
  return math.max(math.min(block.ends - now, block.length), 0)
end

-- Strikes that have not expired.
local function strikes_of(block, now, policy)
  if policy.decay == 0 then return 0 end
  return math.max(block.strikes - math.floor(math.max(now - block.ends, 0) / policy.decay), 0)
end

-- Adds the jitter, which depends on the key and its strikes, to a block's length.
local function jittered(length, strikes, policy)
  local part = (policy.seed + strikes % 65536 * 40503) % 65536
  local longest = math.floor(length * policy.jitter / 100)
  return math.min(length + math.floor(longest * part / 65536), MAX_BLOCK)
end

-- Blocks for the time that the policy gives, and returns it.
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

-- Writes the state if it changed, with an expiry after which neither usage nor block nor strikes
-- count.
local function write(key, before, block, state, now, rule, policy)
  local head = struct.pack(HEAD, VERSION, algorithm.letter, block.ends, block.length, block.strikes)
  local bytes = head .. rule.kept .. algorithm.write(state)
  if bytes == before then return end
  local ends = math.max(algorithm.expires(state, rule), block.ends)
  if policy.decay > 0 then ends = math.max(ends, block.ends + block.strikes * policy.decay) end
  ends = math.min(ends, now + MAX_MICROS)
  -- In whole milliseconds: from the current one to the first one in which nothing counts.
  local px = math.max(math.ceil(ends / 1000) - math.floor(now / 1000), LEAST_PX)
  redis.call('SET', key, bytes, 'PX', px)
end
