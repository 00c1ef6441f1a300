-- Scans a hash or a sorted set from a cursor, until a step has read enough: 500 entries, or a
-- mebibyte of them. A call of SCAN returns whole entries, so each call requests only a few. `each`
-- gets a field and its value, and returns how many more bytes it has read. Returns the next cursor.
local MOST_ENTRIES, MOST_BYTES, AT_ONCE = 500, 1048576, 8

local function scan(command, key, cursor, each)
  local looked, bytes = 0, 0
  repeat
    local page = redis.call(command, key, cursor, 'COUNT', AT_ONCE)
    cursor = page[1]
    for at = 1, #page[2], 2 do
      bytes = bytes + #page[2][at + 1] + (each(page[2][at], page[2][at + 1]) or 0)
    end
    -- Buckets may be empty.
    looked = looked + 1 + #page[2] / 2
  until cursor == '0' or looked >= MOST_ENTRIES or bytes >= MOST_BYTES
  return cursor
end

