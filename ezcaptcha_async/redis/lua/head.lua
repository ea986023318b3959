-- Before every script. All keys of a fleet begin with its tag, so that they lie in one slot, and
-- all times are those of the server's own clock.
local base = KEYS[1]
local call = redis.call
local time = call('TIME')
local now = time[1] + time[2] / 1e6

local function key(name) return base .. ':' .. name end
local function of(account, name) return base .. ':at:' .. account .. ':' .. name end
local function exact(seconds) return string.format('%.6f', seconds) end

-- Paid tasks that a pool sees to: account and id, to text. When each ends stands at its account.
local function owned(run) return base .. ':own:' .. run end
local function named(account, id) return account .. '\n' .. id end

-- Counted while a script runs, and written at its end.
local sums = {}
local function add(name, number) sums[name] = (sums[name] or 0) + number end
local function write_sums()
  for name, number in pairs(sums) do
    if number ~= 0 then call('HINCRBY', key('sums'), name, string.format('%.0f', number)) end
  end
end

-- What a reference stands for, beginning with a letter: i(ntended), p(aid), e(nded), u(nknown).
local function refer(reference, value, seconds)
  if reference ~= '' then
    call('SET', key('ref:' .. reference), value, 'PX', math.max(1, math.ceil(seconds * 1000)))
  end
end
local function forget(reference, value)
  if reference ~= '' and call('GET', key('ref:' .. reference)) == value then
    call('DEL', key('ref:' .. reference))
  end
end

-- That, and for how many milliseconds; d(elivered) to those who remember where nothing else stands.
local function look(reference, remembers)
  local name = key('ref:' .. reference)
  local known = call('GET', name)
  if not known and remembers then
    name = key('delivered:' .. reference)
    known = call('GET', name)
  end
  if known then return known, call('PTTL', name) end
end

local DAY = 86400
local MOST_UNKNOWN = 1000

-- What is kept of a createTask under way: its account, what is sent, and what for; neither of the
-- first two has a line end.
local function intended(account, text, reference)
  return account .. '\n' .. text .. '\n' .. reference
end

-- The answer to a createTask was lost: list it, the last ones only, and let it stand for what it
-- was sent for, unless that is something else by now.
local function lose(attempt, sent)
  local account, text, reference = sent:match('^(.-)\n(.-)\n(.*)$')
  call('ZREM', of(account, 'going'), attempt)
  call('HDEL', key('intents'), attempt)
  call('HSET', key('unknown'), attempt, text)
  call('ZADD', key('unknown-at'), now, attempt)
  local old = call('ZRANGEBYSCORE', key('unknown-at'), '-inf', exact(now - DAY))
  local excess = call('ZCARD', key('unknown-at')) - MOST_UNKNOWN
  if excess > #old then old = call('ZRANGE', key('unknown-at'), 0, excess - 1) end
  for _, name in ipairs(old) do
    call('ZREM', key('unknown-at'), name)
    call('HDEL', key('unknown'), name)
  end
  if reference == '' then return end
  local known = call('GET', key('ref:' .. reference))
  if not known or known == 'i' .. attempt then refer(reference, 'u' .. attempt, DAY) end
end

-- The createTasks under way, by the pool that sends them; there are never many.
local function intents_by_run()
  local found = {}
  for _, attempt in ipairs(call('HKEYS', key('intents'))) do
    local run = attempt:match('^(.*)%.')
    found[run] = found[run] or {}
    table.insert(found[run], attempt)
  end
  return found
end

-- What is forgotten could be bought again: first each pool is to say what it knows. It does so with
-- its next sign of life, of which there are at least five in a lease.
local function hush(lease)
  call('SET', key('hush'), 1, 'PX', math.ceil(math.min(3, tonumber(lease) / 2) * 1000))
end

-- Evenly spaced (GCRA): how many of n may go, and in how many seconds the first.
local function paced(name, n, gap, burst, ahead)
  if gap <= 0 then return n, 0 end
  local due = math.max(now, tonumber(call('GET', name) or 0))
  if due > now + (burst + 1) * gap + ahead then due = now end -- a clock was set back since
  local room = math.floor((now + burst * gap + ahead - due) / gap + 1e-9)
  if room < 1 then return 0, due + gap - burst * gap - ahead - now end
  n = math.min(n, room)
  call('SET', name, exact(due + n * gap), 'PX', math.ceil((due - now + n * gap + 60) * 1000))
  return n, math.max(0, due - burst * gap - now)
end
