-- Has an adapter kept in memory, or lets go of it; nothing happens when it is so already.
local wanted = ARGV[3]

if not exists() then
  return refuse('no adapter')
end
if (redis.call('HGET', adapter, 'pinned') or '') ~= wanted then
  if wanted == '' then
    redis.call('HDEL', adapter, 'pinned')
  else
    redis.call('HSET', adapter, 'pinned', wanted)
  end
  announce()
end
return answer()
