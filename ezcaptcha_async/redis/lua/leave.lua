-- ARGV: run. What it has paid for is for others to fetch from now on.
if call('EXISTS', owned(ARGV[1])) == 0 and not intents_by_run()[ARGV[1]] then
  call('ZREM', key('pools'), ARGV[1])
  call('HDEL', key('told'), ARGV[1])
  call('DEL', base .. ':due:' .. ARGV[1])
else
  call('ZADD', key('pools'), 0, ARGV[1])
end
return 1
