-- Adds members to sorted sets or removes them, and sees to the limit and the expiry. At each point
-- of its effects every member is in the range once at most, and every key has an expiry.
-- KEYS[1], KEYS[2] names and index of the first set, KEYS[3], KEYS[4] of the second, ...; one set
-- alone for 'remove'
-- ARGV[1] lifetime in ms, ARGV[2] 1 when each write begins it anew, ARGV[3] the most members
-- ARGV[4] 'add', 'improve', 'increment' or 'remove'; ARGV[5..] member, score, member, score, ... of
-- different members
-- Returns a number for each set: how many members are new (add), have a better score (improve) or
-- are removed, or the new score; none when that would leave the range of scores, and then nothing
-- was changed.
local HIGHEST, CHUNK = 2 ^ 53 - 1, 500
local now, life, renews, most, step = now_us(), ARGV[1], ARGV[2] == '1', tonumber(ARGV[3]), ARGV[4]

local function position_of(score, order)
  local sign = score < 0 and '\0' or '\1'
  return sign .. struct.pack('>i8', score):sub(2) .. struct.pack('>i8', 2 ^ 53 - order)
end

local function score_of(position)
  local sign = position:byte(1) == 0 and '\255' or '\0'
  return (struct.unpack('>i8', sign .. position:sub(2, 8)))
end

local function make(names, index)
  if redis.pcall('RESTORE', names, life, NO_NAMES, 'REPLACE').ok
    and redis.pcall('RESTORE', index, life, NO_INDEX, 'REPLACE').ok then
    return
  end
  -- The account may not run RESTORE, or the server does not read its format.
  redis.call('UNLINK', names, index)
  redis.call('ZADD', names, 0, '')
  redis.call('PEXPIRE', names, life)
  redis.call('HSET', index, LAST, 0)
  redis.call('PEXPIRE', index, life)
end

-- Members and scores from the `at`th argument on, and the positions that the members have.
local function chunk(index, at)
  local members, scores = {}, {}
  for i = at, math.min(at + 2 * CHUNK, #ARGV + 1) - 2, 2 do
    members[#members + 1], scores[#scores + 1] = ARGV[i], tonumber(ARGV[i + 1])
  end
  return members, scores, redis.call('HMGET', index, unpack(members))
end

-- Returns the members that are new or better, and the last score.
local function add(names, index)
  local is_new, counted, score = redis.call('ZCARD', names) == 0, {}, 0
  local last = tonumber(redis.call('HGET', index, LAST) or 0)
  for at = 5, #ARGV, 2 * CHUNK do
    local members, scores, positions = chunk(index, at)
    local added, fields, gone = {}, {}, {}
    for i, member in ipairs(members) do
      local before = positions[i] and score_of(positions[i]) or nil
      score = scores[i]
      if step == 'increment' then
        score = score + (before or 0)
        if math.abs(score) > HIGHEST then
          return nil
        end
      elseif step == 'improve' then
        score = math.max(score, before or score)
      end
      if score ~= before then
        last = math.max(now, last + 1)
        local position = position_of(score, last)
        added[#added + 1], added[#added + 2] = 0, position .. member
        fields[#fields + 1], fields[#fields + 2] = member, position
        if before then
          gone[#gone + 1] = positions[i] .. member
        end
        counted[member] = step == 'improve' or not before or nil
      end
    end
    if #added > 0 then
      if is_new then
        make(names, index)
        is_new = false
      end
      -- The new names first, and the old ones last: in between the index says which of the two
      -- counts.
      redis.call('ZADD', names, unpack(added))
      redis.call('HSET', index, LAST, string.format('%.0f', last), unpack(fields))
      if #gone > 0 then
        redis.call('ZREM', names, unpack(gone))
      end
    end
  end
  return counted, score
end

local function trim(names, index, counted)
  local over = redis.call('ZCARD', names) - 1 - most
  while over > 0 do
    -- Behind the empty name, which comes before all others.
    local gone, members = redis.call('ZRANGE', names, 1, math.min(over, CHUNK)), {}
    for i, name in ipairs(gone) do
      members[i] = name:sub(17)
      counted[members[i]] = nil
    end
    redis.call('HDEL', index, unpack(members))
    redis.call('ZREM', names, unpack(gone))
    over = over - #gone
  end
end

local function remove(names, index, is_mended)
  local count, chunks = 0, {}
  for at = 5, #ARGV, 2 * CHUNK do
    local members, _, positions = chunk(index, at)
    local known, gone = {}, {}
    for i, member in ipairs(members) do
      if positions[i] then
        known[#known + 1], gone[#gone + 1] = member, positions[i] .. member
      end
    end
    count = count + #known
    if #known > 0 then
      chunks[#chunks + 1] = {known, gone}
    end
  end
  if count > 0 and count == redis.call('HLEN', index) - 1 and not is_mended then
    -- Alone, so that no file can be torn behind it: a script that knew nothing of it would make
    -- keys without an expiry.
    redis.call('UNLINK', names, index)
    return count
  end
  for _, some in ipairs(chunks) do
    redis.call('HDEL', index, unpack(some[1]))
    redis.call('ZREM', names, unpack(some[2]))
  end
  return count
end

local function write(names, index)
  local is_mended = mend(names, index)
  if step == 'remove' then
    return remove(names, index, is_mended)
  end
  local counted, score = add(names, index)
  if not counted then
    return false
  end
  trim(names, index, counted)
  if renews then
    redis.call('PEXPIRE', names, life)
    redis.call('PEXPIRE', index, life)
  end
  if step == 'increment' then
    return score
  end
  local count = 0
  for _ in pairs(counted) do
    count = count + 1
  end
  return count
end

local answers = {}
for i = 1, #KEYS, 2 do
  answers[#answers + 1] = write(KEYS[i], KEYS[i + 1])
end
return answers
