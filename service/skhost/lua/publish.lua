-- Adds the next version. Once a token, and only for the holder of the job's last fence; one that is
-- to be the first, only if there is none.
local tokens, fence_key = KEYS[8], KEYS[9]
local record, digest, alias, note, token, fence, is_first = unpack(ARGV, 3)

if fence ~= '' and redis.call('GET', fence_key) ~= fence then
  return refuse('stale', redis.call('GET', fence_key) or 'none')
end
local known = token ~= '' and redis.call('HGET', tokens, token)
if known then
  return answer(known)
end

if is_first ~= '' and exists() then
  return refuse('exists')
end

local version = redis.call('HINCRBY', adapter, 'last_version', 1)
redis.call('HSET', versions, version, record)
redis.call('HDEL', adapter, 'retired')
redis.call('ZADD', adapters, 0, name)
redis.call('HINCRBY', digests, digest, 1)
redis.call('ZREM', orphans, digest)
if token ~= '' then
  redis.call('HSET', tokens, token, version)
end
if alias ~= '' then
  point(alias, version)
else
  redis.call('HSET', adapter, 'state:' .. version, 'candidate')
  if note ~= '' then
    redis.call('HSET', adapter, 'note:' .. version, note)
  end
end
announce()
return answer(version)
