-- Changes a shape within its limit, and sees to its expiry.
-- KEYS[1] the shape
-- ARGV[1] its lifetime in ms, ARGV[2] 1 when each write begins it anew
-- ARGV[3] command that counts what it holds, or '', ARGV[4] command that tells whether it holds ARGV[7], ARGV[5] the most it may hold
-- ARGV[6] command that changes it, ARGV[7..] what follows the key
-- Returns {1, the command's answer}; {0} when it is full, {2} when a number would leave 64 bits. Then nothing was changed.
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
