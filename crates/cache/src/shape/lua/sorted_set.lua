-- What both scripts of sorted sets share. A set is two keys of one slot:
--   names: ZSET, the 16 bytes of a member's position, then the member; all of score 0, so that the
--     server orders them by their bytes
--   index: HASH, member -> the 16 bytes of its position; LAST -> the last order that was given out
-- The position is the score, then 2^53 less the order in which members reached theirs; both in 8
-- bytes, the highest byte first. A name counts only if the index has the same position for its
-- member.

-- The names hold an empty name as well, which belongs to no member, so that both keys have one
-- entry more than the set has members and no removal of members removes a key: a later write would
-- make one without an expiry.

-- No text has this byte, so it is no member.
local LAST = '\255'

-- Both keys of an empty set, as DUMP writes them: only RESTORE makes a key and its expiry at once.
local NO_NAMES = '\3\1\0\0010\6\0\162\169\148\182\094\143\015\138'
local NO_INDEX = '\4\1\1\255\0010\6\0\135\131\235\111\173\173\066\033'

-- Removes names that do not count, and says whether there were any. A torn append-only file leaves
-- them, or the eviction of one of the two keys.
local function mend(names, index)
  local positions, left = redis.call('HLEN', index), redis.call('ZCARD', names)
  if positions == left then
    return false
  end
  local at = 0
  while positions > 0 and at < left do
    local some, members, stale = redis.call('ZRANGE', names, at, at + 999), {}, {}
    for i, name in ipairs(some) do
      members[i] = name:sub(17)
    end
    for i, position in ipairs(redis.call('HMGET', index, unpack(members))) do
      if some[i] ~= '' and position ~= some[i]:sub(1, 16) then
        stale[#stale + 1] = some[i]
      end
    end
    if #stale > 0 then
      redis.call('ZREM', names, unpack(stale))
    end
    at, left = at + #some - #stale, left - #stale
  end
  if redis.call('HLEN', index) ~= redis.call('ZCARD', names) then
    redis.call('UNLINK', names, index)
  end
  return true
end
