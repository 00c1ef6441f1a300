-- What is kept of one key, whatever its algorithm: a header of 20 bytes, then the algorithm's own state.
--
--   byte 1       version of the format, 1
--   byte 2       the algorithm's letter
--   bytes 3-9    end of the block, µs since 1970
--   bytes 10-16  length of the block, µs
--   bytes 17-20  strikes
--
-- Integers are little-endian and unsigned; seven bytes hold more than the 2^53 that Lua counts exactly.
-- A version that isn't known is left alone and answered with an error: read a new version in one release, write it in
-- the next, and both can run side by side.
local VERSION, HEAD, BODY = 1, '<Bc1I7I7I4', 21
local MAX_STRIKES, MAX_MICROS = 4294967295, 4503599627370496

-- The block and the bytes that hold the algorithm's state, both empty for a key that isn't kept. Another algorithm's
-- state can't be read, so a limiter whose algorithm was changed keeps blocks and strikes and counts afresh.
local function read(bytes, letter)
  if not bytes then return { ends = 0, length = 0, strikes = 0 }, '' end
  if string.byte(bytes) ~= VERSION then return nil end
  local _, found, ends, length, strikes = struct.unpack(HEAD, bytes)
  if found ~= letter then bytes = '' end
  return { ends = ends, length = length, strikes = strikes }, bytes
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

-- Blocks for as long as the policy says, and returns that.
local function strike(block, now, policy)
  local length, strikes = policy.base, 0
  if policy.decay > 0 then
    strikes = strikes_of(block, now, policy)
    length = math.min(policy.base * 2 ^ math.min(strikes, 37), policy.cap)
    strikes = math.min(strikes + 1, MAX_STRIKES)
  end
  block.ends, block.length, block.strikes = now + length, length, strikes
  return length
end

-- Keeps all that isn't kept already, for as long as any of it counts: the usage, the block, the strikes.
local function write(key, before, letter, block, body, now, expires, policy)
  local bytes = struct.pack(HEAD, VERSION, letter, block.ends, block.length, block.strikes) .. body
  if bytes == before then return end
  local ends = math.max(expires, block.ends)
  if policy.decay > 0 then ends = math.max(ends, block.ends + block.strikes * policy.decay) end
  ends = math.min(ends, now + MAX_MICROS)
  -- Redis counts milliseconds: from the one that is now to the first one in which nothing counts any more.
  local px = math.max(math.ceil(ends / 1000) - math.floor(now / 1000), LEAST_PX)
  redis.call('SET', key, bytes, 'PX', string.format('%.0f', px))
end
