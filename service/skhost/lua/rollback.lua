-- Points an alias at what it pointed at before, past versions that were retired meanwhile.
-- A client that lost the connection sends the same token again: it is not a second rollback.
local alias, token = ARGV[3], ARGV[4]

if not exists() then
  return refuse('no adapter')
end
local current = redis.call('HGET', adapter, 'alias:' .. alias)
if not current then
  return refuse('no alias', alias)
end
if redis.call('HGET', adapter, 'rolled_back:' .. alias) == token then
  return answer(current)
end

local target, rest = nil, {}
for version in string.gmatch(redis.call('HGET', adapter, 'history:' .. alias) or '', '%d+') do
  if target then
    rest[#rest + 1] = version
  elseif version ~= current and not objection(version) then
    target = version
  end
end
if not target then
  return refuse('no history', current)
end
make_live(alias, target)
redis.call('HSET', adapter, 'history:' .. alias, table.concat(rest, ','),
  'rolled_back:' .. alias, token)
announce()
return answer(target)
