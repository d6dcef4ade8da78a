-- Removes an alias and its history.
local alias = ARGV[3]

if not exists() then
  return refuse('no adapter')
end
if redis.call('HEXISTS', adapter, 'alias:' .. alias) == 0 then
  return refuse('no alias', alias)
end
forget_alias(alias)
announce()
return answer()
