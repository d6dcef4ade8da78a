-- Says of a version that a server found it changed, or, without a reason, that this is over.
local version, reason = ARGV[3], ARGV[4]

if not exists() then
  return refuse('no adapter')
end
local refused = objection(version)
if refused then
  return refused
end
local field = 'quarantine:' .. version
if (redis.call('HGET', adapter, field) or '') ~= reason then
  if reason == '' then
    redis.call('HDEL', adapter, field)
  else
    redis.call('HSET', adapter, field, reason)
  end
  announce()
end
return answer(version)
