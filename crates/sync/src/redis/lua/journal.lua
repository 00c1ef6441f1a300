-- The state of a stock or a ledger: a HASH in which each step is either undone or done as a whole,
-- even if the append-only file is torn. Prepended to each of their scripts.
--
-- KEYS[1] state. Its field `last` holds the fields that the last step has set. The next step writes
-- them to their own fields, and its own changes to `last`, with one HSET.
--
-- A torn file can restore a step that the server did not know when it executed the next one. The
-- next step replaces `last`, and with it everything that the forgotten step has set. A step must
-- therefore not depend on an index that another step removed: indexes are written before the state,
-- and removed by a later step than the one that makes them obsolete.
local last, changes, read = {}, {}, {}
do
  local fields = cmsgpack.unpack(redis.call('HGET', KEYS[1], 'last') or cmsgpack.pack({}))
  for i = 1, #fields, 2 do last[fields[i]] = fields[i + 1] end
end

-- The value of a field, false if it has none.
local function get(field)
  local value = changes[field]
  if value == nil then value = last[field] end
  if value == nil then value = read[field] end
  if value == nil then value = redis.call('HGET', KEYS[1], field) end
  return value
end

-- Reads all fields that a script will need at once.
local function prefetch(fields)
  local values = redis.call('HMGET', KEYS[1], unpack(fields))
  for i, field in ipairs(fields) do read[field] = values[i] end
end

local function set(field, value) changes[field] = value end

local function remove(field) changes[field] = false end

-- Writes the changes, if there are any.
local function commit()
  local step, gone, fields, removes_last = {}, {}, {}, false
  for field, value in pairs(changes) do
    if value then
      step[#step + 1], step[#step + 2] = field, value
    else
      gone[#gone + 1] = field
      removes_last = removes_last or last[field] ~= nil
    end
  end
  if #step > 0 or removes_last then
    -- Also clears fields that are removed below: if the file is torn in between, a field must not
    -- return to an older value.
    for field, value in pairs(last) do fields[#fields + 1], fields[#fields + 2] = field, value end
    redis.call('HSET', KEYS[1], 'last', cmsgpack.pack(step), unpack(fields))
  end
  if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
end
