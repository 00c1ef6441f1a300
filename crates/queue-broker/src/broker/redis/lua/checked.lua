local refused = refusal(redis.call('HGET', K.meta, 'layout'))
if refused then
  return refused
end
