-- What the catalogue's scripts share; it is put before each of them.
local adapter, versions, adapters, revision, changes, digests, orphans = unpack(KEYS)
local name, channel = ARGV[1], ARGV[2]
local MAX_HISTORY = 100

local function refuse(reason, detail)
  return {'refused', reason, detail or ''}
end

-- The whole adapter as it is now, and the version that the script was about.
local function answer(version)
  return {'ok', version or '', redis.call('HGETALL', adapter), redis.call('HGETALL', versions)}
end

local function exists()
  return redis.call('HEXISTS', adapter, 'last_version') == 1
    and redis.call('HEXISTS', adapter, 'retired') == 0
end

local function announce()
  local now = redis.call('INCR', revision)
  redis.call('HSET', adapter, 'revision', now)
  redis.call('ZADD', changes, now, name)
  redis.call('PUBLISH', channel, cjson.encode({name = name, revision = now}))
end

-- Why a version cannot be used, or nil.
local function objection(version)
  local state = redis.call('HGET', adapter, 'state:' .. version)
  if not state then
    return refuse('no version', version)
  elseif state == 'retired' then
    return refuse('retired', version)
  end
end

local function make_live(alias, version)
  redis.call('HSET', adapter, 'alias:' .. alias, version, 'state:' .. version, 'live')
  redis.call('HDEL', adapter, 'note:' .. version)
end

-- Moves an alias and remembers where it pointed; false when it points there already.
local function point(alias, version)
  local before = redis.call('HGET', adapter, 'alias:' .. alias)
  if before == tostring(version) then
    return false
  end
  if before then
    local kept = {before}
    local history = redis.call('HGET', adapter, 'history:' .. alias) or ''
    for older in string.gmatch(history, '%d+') do
      if #kept < MAX_HISTORY then
        kept[#kept + 1] = older
      end
    end
    redis.call('HSET', adapter, 'history:' .. alias, table.concat(kept, ','))
  end
  make_live(alias, version)
  return true
end

local function forget_alias(alias)
  redis.call('HDEL', adapter, 'alias:' .. alias, 'history:' .. alias, 'rolled_back:' .. alias)
end

-- Retires one version; its artifact becomes an orphan when no other version uses it.
local function retire(version)
  local digest = cjson.decode(redis.call('HGET', versions, version)).digest
  redis.call('HSET', adapter, 'state:' .. version, 'retired')
  redis.call('HDEL', adapter, 'note:' .. version, 'quarantine:' .. version)
  if redis.call('HINCRBY', digests, digest, -1) <= 0 then
    redis.call('HDEL', digests, digest)
    redis.call('ZADD', orphans, redis.call('TIME')[1], digest)
  end
end

-- Each field of the adapter that starts with the prefix: what follows it, and the value.
local function fields(prefix)
  local found, flat = {}, redis.call('HGETALL', adapter)
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, #prefix) == prefix then
      found[#found + 1] = {string.sub(flat[i], #prefix + 1), flat[i + 1]}
    end
  end
  return found
end
