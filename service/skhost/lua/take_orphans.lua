-- Removes from the orphans, and returns, those that have been ones for long enough.
local oldest = redis.call('TIME')[1] - ARGV[1]
local taken = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', oldest, 'LIMIT', 0, ARGV[2])
for _, digest in ipairs(taken) do
  redis.call('ZREM', KEYS[1], digest)
end
return taken
