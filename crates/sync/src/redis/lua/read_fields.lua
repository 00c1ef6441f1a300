-- Reads fields of the state of a stock or a ledger.
--
-- KEYS[1] state: journal.lua
-- ARGV the fields
-- Returns a value for each field, nil if it has none
local values = {}
for i, field in ipairs(ARGV) do values[i] = get(field) end
return values
