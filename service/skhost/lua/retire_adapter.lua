-- Retires an adapter with all its versions and aliases. Its numbers stay taken.
if not exists() then
  return refuse('no adapter')
end
for _, state in ipairs(fields('state:')) do
  if state[2] ~= 'retired' then
    retire(state[1])
  end
end
for _, alias in ipairs(fields('alias:')) do
  forget_alias(alias[1])
end
redis.call('HDEL', adapter, 'pinned')
redis.call('HSET', adapter, 'retired', '1')
redis.call('ZREM', adapters, name)
announce()
return answer()
