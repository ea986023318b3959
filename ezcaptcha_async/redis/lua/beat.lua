-- ARGV: run, lease, the life of the server's memory that this pool knows, most legacies, number of
-- accounts, these, and those legacies that have come. Returns whether all that this pool has told is
-- known, how many pools are alive, how many creates are unknown, the state of each gate, the life of
-- the memory, and what is to be fetched from now on: account, text, seconds left, and its name.
local run, lease, most, accounts = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4]), ARGV[5] + 5
call('SET', key('life'), exact(now), 'NX')
local life = call('GET', key('life'))
local forgot = ARGV[3] ~= '' and ARGV[3] ~= life
if forgot then hush(lease) end
local known = call('ZSCORE', key('pools'), run)
call('ZADD', key('pools'), exact(now + lease), run)
local last = tonumber(call('GET', key('beat')) or now)
call('SET', key('beat'), exact(now))
if now - last > lease / 2 then
  -- Nobody could say that he lives: the server was away. So nobody is dead yet.
  for _, pool in ipairs(call('ZRANGEBYSCORE', key('pools'), '(0', exact(now + lease))) do
    call('ZADD', key('pools'), exact(now + lease), pool)
  end
end
for _, pool in ipairs(call('ZRANGEBYSCORE', key('pools'), exact(now + 400), '+inf')) do
  call('ZADD', key('pools'), exact(now + lease), pool) -- no lease is as long: a clock was set back
end
-- What a pool was given stands there until it has said that it has come.
local due = base .. ':due:' .. run
for i = accounts + 1, #ARGV do call('SREM', due, ARGV[i]) end
local mine = {}
for i = 6, accounts do mine[ARGV[i]] = true end
local function hand_over(pool, task, text)
  local account, id = task:match('^(.-)\n(.*)$')
  local ends = tonumber(call('ZSCORE', of(account, 'ends'), id) or 0)
  local is_over = ends <= now -- it is done, or lapsed
  if is_over then
    call('ZREM', of(account, 'ends'), id)
  elseif mine[account] and call('SCARD', due) < most then
    call('HSET', owned(run), task, text)
    call('SADD', due, task)
    add('adopted', 1)
  else
    return -- it is for a pool that has the account, or for the next time
  end
  call('HDEL', owned(pool), task)
  call('ZADD', key('handed'), exact(now + DAY), task) -- whom it was taken from may live
end
local dead = call('ZRANGEBYSCORE', key('pools'), '-inf', exact(now))
local under_way = #dead > 0 and intents_by_run()
call('ZREMRANGEBYSCORE', key('handed'), '-inf', exact(now))
for _, pool in ipairs(dead) do
  for _, attempt in ipairs(under_way[pool] or {}) do
    lose(attempt, call('HGET', key('intents'), attempt))
  end
  local left = call('HRANDFIELD', owned(pool), 200, 'WITHVALUES')
  for i = 1, #left, 2 do hand_over(pool, left[i], left[i + 1]) end
  if call('EXISTS', owned(pool)) == 0 then
    call('ZREM', key('pools'), pool)
    call('HDEL', key('told'), pool)
    call('DEL', base .. ':due:' .. pool)
  end
end
write_sums()
local legacies = {}
for _, task in ipairs(call('SMEMBERS', due)) do
  local account, id = task:match('^(.-)\n(.*)$')
  local text, ends = call('HGET', owned(run), task), call('ZSCORE', of(account, 'ends'), id)
  if text and ends then
    legacies[#legacies + 1] = { account, text, exact(ends - now), task }
  else
    call('SREM', due, task)
  end
end
local gates = {}
for i = 6, accounts do
  local gate = call('HMGET', of(ARGV[i], 'gate'), 'shut', 'reopened', 'banned', 'polls-banned',
    'paused')
  call('ZREMRANGEBYSCORE', of(ARGV[i], 'ends'), '-inf', exact(now - 3600)) -- nobody's any more
  gates[#gates + 1] = gate[1] or ''
  gates[#gates + 1] = gate[2] or '0'
  for j = 3, 5 do gates[#gates + 1] = exact(math.max(0, tonumber(gate[j] or 0) - now)) end
end
return {
  known and tonumber(known) > now and not forgot and 1 or 0,
  call('ZCOUNT', key('pools'), exact(now), '+inf'),
  call('HLEN', key('unknown')), gates, life, legacies,
}
