-- ARGV: run, lease, number, then of each that has happened its name and what is named at its function. To
-- be told twice changes nothing. What comes later than what was told after it says nothing new.
local run, number = ARGV[1], tonumber(ARGV[3])
if number < tonumber(call('HGET', key('told'), run) or 0) then return 0 end
call('HSET', key('told'), run, number)
local told = {}

-- Whether another pool was given the task, and has brought it to its end: this one, which was taken
-- for dead, tells of it once more.
local function is_over(account, id, is_new)
  return not is_new and call('ZSCORE', key('handed'), named(account, id))
    and not call('ZSCORE', of(account, 'ends'), id)
end

local proven, registered = {}, false
function told.created(account, attempt, id, text, window, reference)
  local is_new = false
  if attempt ~= '' then
    call('ZREM', of(account, 'going'), attempt)
    is_new = call('HDEL', key('intents'), attempt) == 1
    if not is_new then -- it was taken for dead too soon
      call('HDEL', key('unknown'), attempt)
      call('ZREM', key('unknown-at'), attempt)
    end
    if not proven[account] then
      call('HSETNX', of(account, 'gate'), 'proven', 1)
      proven[account] = true
    end
  end
  if is_over(account, id, is_new) then return end
  if call('ZADD', of(account, 'ends'), 'NX', exact(now + tonumber(window)), id) == 1 then
    call('HSET', owned(run), named(account, id), text)
    if not registered then -- if it dies before its next sign of life, others are to find this
      call('ZADD', key('pools'), 'NX', exact(now + tonumber(ARGV[2])), run)
      registered = true
    end
    -- What others know that it came to, they go on knowing.
    if attempt ~= '' or call('EXISTS', key('ref:' .. reference)) == 0 then
      refer(reference, 'p' .. named(account, id), tonumber(window))
    end
    if attempt ~= '' then add('created', 1) end
  end
end

function told.not_paid(account, attempt, points, reference)
  call('ZREM', of(account, 'going'), attempt)
  if call('HDEL', key('intents'), attempt) == 0 then -- or it was taken for dead too soon
    call('ZREM', key('unknown-at'), attempt)
    if call('HDEL', key('unknown'), attempt) == 0 then return end
  end
  add('spent', -tonumber(points))
  forget(reference, 'i' .. attempt)
  forget(reference, 'u' .. attempt)
end

function told.lost(account, attempt, text, reference)
  if call('HEXISTS', key('unknown'), attempt) == 0 then
    lose(attempt, intended(account, text, reference))
  end
end

-- It was written down before, and may have been forgotten since.
function told.intended(account, attempt, text, points, reference, hold)
  if call('HEXISTS', key('unknown'), attempt) == 1 then return end
  if call('HSETNX', key('intents'), attempt, intended(account, text, reference)) == 0 then return end
  call('ZADD', of(account, 'going'), exact(now + tonumber(hold)), attempt)
  add('spent', tonumber(points))
  if call('EXISTS', key('ref:' .. reference)) == 0 then refer(reference, 'i' .. attempt, DAY) end
end

-- What a task came to is what its reference stands for, unless that is another one by now.
function told.settled(account, id, reference, text, seconds)
  local known = call('GET', key('ref:' .. reference))
  if not known or known == 'p' .. named(account, id) then
    refer(reference, 'e' .. text, tonumber(seconds))
  end
end

function told.ended(account, id, reference, text, seconds)
  call('HDEL', owned(run), named(account, id))
  add('done', call('ZREM', of(account, 'ends'), id))
  if text ~= '' then
    told.settled(account, id, reference, text, seconds)
  else
    forget(reference, 'p' .. named(account, id)) -- not where it is known what it came to
  end
end

function told.delivered(reference, seconds)
  call('SET', key('delivered:' .. reference), 'd', 'PX', math.ceil(tonumber(seconds) * 1000))
end

local function extend(account, field, seconds)
  local known = tonumber(call('HGET', of(account, 'gate'), field) or 0)
  call('HSET', of(account, 'gate'), field, exact(math.max(known, now + seconds)))
end

function told.refused(account, code, name)
  call('ZADD', of(account, 'errors'), exact(now), name)
  call('HSET', of(account, 'gate'), 'shut', code)
  call('HDEL', of(account, 'gate'), 'proven')
end

function told.banned(account, seconds, seconds_of_polls)
  extend(account, 'banned', tonumber(seconds))
  extend(account, 'polls-banned', tonumber(seconds_of_polls))
  call('HDEL', of(account, 'gate'), 'proven')
end

function told.paused(account, seconds)
  extend(account, 'paused', tonumber(seconds))
end

function told.reopened(account)
  call('HDEL', of(account, 'gate'), 'shut')
  call('HINCRBY', of(account, 'gate'), 'reopened', 1)
end

-- Each begins with its name and the number of what follows.
local i = 4
while i <= #ARGV do
  local last = i + 1 + tonumber(ARGV[i + 1])
  told[ARGV[i]](unpack(ARGV, i + 2, last))
  i = last + 1
end
write_sums()
return 1
