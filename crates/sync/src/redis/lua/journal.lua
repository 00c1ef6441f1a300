-- The state of a stock or a ledger: a HASH of which one step is undone or done as a whole, also where the append-only file
-- was torn. In front of each of their scripts.
--
-- KEYS[1] state. Its field `last` holds the fields that the last step has set. The next step writes them to their
-- own fields, and what it sets itself to `last`, with one HSET.
--
-- A torn file can bring back a step that the server did not know when it took the next one. The next step replaces
-- `last`, and with it all that the forgotten step has set. So no step may depend on an index that another one removed:
-- indexes are written before the state, and removed by a later step than the one that makes them needless.
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

-- Reads the fields that a script will need, all at once.
local function prefetch(fields)
  local values = redis.call('HMGET', KEYS[1], unpack(fields))
  for i, field in ipairs(fields) do read[field] = values[i] end
end

local function set(field, value) changes[field] = value end

local function remove(field) changes[field] = false end

-- Writes what was set and removed, if anything was.
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
    -- Also what is removed below: torn in between, a field must not go back to an older value.
    for field, value in pairs(last) do fields[#fields + 1], fields[#fields + 2] = field, value end
    redis.call('HSET', KEYS[1], 'last', cmsgpack.pack(step), unpack(fields))
  end
  if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
end
