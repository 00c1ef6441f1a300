-- Makes a job ready that is delayed, dead or cancelled. Dead and cancelled jobs get new attempts.
local function revive(id, envelope, where, token, now)
  local seq, created, _, level = head(envelope)
  local state = load_state(id)
  state.note = nil
  state.run_at = now
  add_event(now, id, 'revived')
  local joins = true
  if where ~= 'delayed' then
    -- A torn file may have kept a removal of the record that the server has forgotten.
    redis.call('HSET', K.job, id, envelope)
    if token then
      redis.call('HSET', K.latest, id, string.match(token, '^%d+') .. ' -')
    end
    state.failures, state.lost, state.furthest, state.cancel, state.percent, state.message = nil, nil, nil, nil, nil, nil
    local link = links(envelope)
    if link and link.g then
      local count = redis.call('HGET', K.groups, link.g .. ' ' .. where)
      if count and tonumber(count) > 0 then
        add_to(K.groups, link.g .. ' ' .. where, -1)
      end
    end
    joins = not (link and link.o) or join_line(link.o, id, seq, level, created)
  end
  save_state(id, state)
  if joins then
    make_ready(id, seq, level, now)
  end
  if where == 'delayed' then
    redis.call('ZREM', K.delayed, place(seq, level, id))
  else
    redis.call('ZREM', K[where], id)
  end
end
