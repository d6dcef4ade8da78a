-- Points an alias at a version; nothing happens when it points there already.
local alias, version = ARGV[3], ARGV[4]

if not exists() then
  return refuse('no adapter')
end
local refused = objection(version)
if refused then
  return refused
end
if point(alias, version) then
  announce()
end
return answer(version)
