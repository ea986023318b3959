-- ARGV: run, lease, then field and value of each limit. Where no other pool is alive, they may be
-- others than before.
local run = ARGV[1]
call('ZREM', key('pools'), run)
if call('ZCOUNT', key('pools'), exact(now), '+inf') == 0 then call('DEL', key('limits')) end
for i = 3, #ARGV, 2 do
  local value = call('HGET', key('limits'), ARGV[i])
  if value and value ~= ARGV[i + 1] then return { ARGV[i], value, ARGV[i + 1] } end
end
for i = 3, #ARGV, 2 do call('HSET', key('limits'), ARGV[i], ARGV[i + 1]) end
call('ZADD', key('pools'), exact(now + tonumber(ARGV[2])), run)
return {}
