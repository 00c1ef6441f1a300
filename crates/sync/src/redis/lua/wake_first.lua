-- Notifies the first in a queue of owners that it may be its turn, on the channel of its process:
-- the prefix and the first 8 digits of the owner. The message is 16 zeros, which mean no sender,
-- and the owner. If the account may not publish, that is not an error: the first waiter sends a
-- request after a while.
local function wake_first(queue, channels)
  local first = redis.call('ZRANGE', queue, 0, 0)[1]
  if first then
    redis.pcall('PUBLISH', channels .. string.sub(first, 1, 8), '0000000000000000' .. first)
  end
end

