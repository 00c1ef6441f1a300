-- Changes a shape within its limit, and sets its expiry.
-- KEYS[1] the shape
-- ARGV[1] its lifetime in ms, ARGV[2] 1 if each write restarts it
-- ARGV[3] command that counts its items, or '', ARGV[4] command that returns whether it has
-- ARGV[7], ARGV[5] maximum number of items
-- ARGV[6] command that changes it, ARGV[7..] arguments after the key
-- Returns {1, the command's reply}; {0} if it is full, {2} if a number would leave 64 bits. In both
-- cases nothing was changed.
if ARGV[3] ~= '' and redis.call(ARGV[3], KEYS[1]) >= tonumber(ARGV[5])
  and redis.call(ARGV[4], KEYS[1], ARGV[7]) == 0 then
  return {0}
end
local answer = redis.pcall(ARGV[6], KEYS[1], unpack(ARGV, 7))
if type(answer) == 'table' and answer.err then
  if string.find(answer.err, 'overflow', 1, true) then
    return {2}
  end
  return answer
end
if ARGV[2] == '1' or redis.call('PTTL', KEYS[1]) < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return {1, answer}
