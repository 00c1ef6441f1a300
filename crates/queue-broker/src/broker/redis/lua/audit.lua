-- Reads records, and returns the jobs that should be in a list, the only kind of place that cannot
-- be searched by id.
-- KEYS  as change
-- ARGV  cursor
-- Returns the next cursor; for each such job, its id and the list: "done" or the level.
hold_audit(now_ms())
local answer = { '0' }
answer[1] = scan('HSCAN', K.job, ARGV[1], function(id, envelope)
  local list = list_of(id, envelope)
  if list then
    answer[#answer + 1] = id
    answer[#answer + 1] = list
  end
end)
return answer
