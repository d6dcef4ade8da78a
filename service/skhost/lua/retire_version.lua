-- Retires one version that no alias points at; nothing happens when it is retired already.
local version = ARGV[3]

if not exists() then
  return refuse('no adapter')
end
local refused = objection(version)
if refused then
  return refused[2] == 'retired' and answer(version) or refused
end
local pointing = {}
for _, alias in ipairs(fields('alias:')) do
  if alias[2] == version then
    pointing[#pointing + 1] = alias[1]
  end
end
if #pointing > 0 then
  table.sort(pointing)
  return refuse('pointed at', table.concat(pointing, ','))
end
retire(version)
announce()
return answer(version)
