-- Makes a job ready that is delayed, dead or cancelled; the latter two with fresh attempts.
local function revive(id, envelope, where, token, now)
  local seq, created, _, level = head(envelope)
  local state = load_state(id)
  state.note = nil
  state.run_at = now
  tell(now, id, 'revived')
  if where == 'delayed' then
    redis.call('ZREM', K.delayed, place(seq, level, id))
  else
    redis.call('ZREM', K[where], id)
    if token then
      redis.call('HSET', K.latest, id, string.match(token, '^%d+') .. ' -')
    end
    state.failures, state.lost, state.furthest, state.cancel, state.percent, state.message = nil, nil, nil, nil, nil, nil
    local link = links(envelope)
    if link and link.g then
      local count = redis.call('HGET', K.groups, link.g .. ' ' .. where)
      if count and tonumber(count) > 0 then
        redis.call('HINCRBY', K.groups, link.g .. ' ' .. where, -1)
      end
    end
    if link and link.o and not join_line(link.o, id, seq, level, created) then
      save_state(id, state)
      return
    end
  end
  make_ready(id, seq, level, now)
  save_state(id, state)
end
