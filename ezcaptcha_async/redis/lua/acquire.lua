-- ARGV: run, account, n, gap, burst, ahead, max_creates, max_in_flight (0: no limit), hold,
-- most_errors, error_window, number of the first name. Returns the seconds to wait, and how many
-- may go: RUN.NUMBER and the next ones.
local run, account, n = ARGV[1], ARGV[2], tonumber(ARGV[3])
-- Where a pool is not known, all may be forgotten; then each tells first what it has paid for.
if tonumber(call('ZSCORE', key('pools'), run) or 0) <= now or call('EXISTS', key('hush')) == 1 then
  return { '0.1', 0 }
end
local gate = call('HMGET', of(account, 'gate'), 'shut', 'banned', 'paused', 'proven')
if gate[1] then return { '1', 0 } end
for i = 2, 3 do
  local left = tonumber(gate[i] or 0) - now
  if left > 0 then return { exact(math.min(left, 1)), 0 } end
end
call('ZREMRANGEBYSCORE', of(account, 'going'), '-inf', exact(now))
call('ZREMRANGEBYSCORE', of(account, 'errors'), '-inf', exact(now - tonumber(ARGV[11])))
local going = call('ZCARD', of(account, 'going'))
local room = (gate[4] and tonumber(ARGV[7]) or 1) - going
room = math.min(room, tonumber(ARGV[10]) - call('ZCARD', of(account, 'errors')) - going)
if tonumber(ARGV[8]) > 0 then
  local in_flight = call('ZCOUNT', of(account, 'ends'), '(' .. exact(now), '+inf')
  room = math.min(room, tonumber(ARGV[8]) - in_flight - going)
end
if room < 1 then return { '0.02', 0 } end
local wait
n, wait = paced(of(account, 'creates'), math.min(n, room), tonumber(ARGV[4]), tonumber(ARGV[5]),
  tonumber(ARGV[6]))
if n < 1 then return { exact(wait), 0 } end
local members = {}
for i = 0, n - 1 do
  members[#members + 1] = exact(now + wait + tonumber(ARGV[9]))
  members[#members + 1] = run .. '.' .. ARGV[12] + i
end
call('ZADD', of(account, 'going'), unpack(members))
return { exact(wait), n }
