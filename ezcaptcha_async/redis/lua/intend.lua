-- ARGV: run, budget, unknown_budget (-1: none), whether what was delivered is remembered; then of
-- each createTask: account, attempt, text, points, reference, again. Points are millionths. Returns
-- for each what is known of it and for how many milliseconds, what is left of the budget, or nothing;
-- or that its leave is void: it comes late, and its pool has given it up, or much is forgotten.
local budget, risk, remembers = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local stood = call('HMGET', key('sums'), 'spent', 'risked')
local void = call('EXISTS', key('hush')) == 1 or not call('ZSCORE', key('pools'), ARGV[1])
local function total(name, before) return tonumber(before or 0) + (sums[name] or 0) end

-- The first that is written must be more than a removal: a full server refuses that alone.
local function intend(account, attempt, text, points, reference, again)
  if call('HSETNX', key('intents'), attempt, intended(account, text, reference)) == 0 then
    return {} -- said before
  end
  local answer
  if void or not call('ZSCORE', of(account, 'going'), attempt) then answer = { 'void' } end
  if not answer and reference ~= '' then
    local known, left = look(reference, remembers)
    if known and known:sub(1, 1) == 'u' and total('risked', stood[2]) + points <= risk then
      known, again = nil, true
    end
    if known then answer = { 'known', known, left } end
  end
  local left = budget - total('spent', stood[1])
  if not answer and budget >= 0 and points > left then
    answer = { 'budget', string.format('%.0f', left) }
  end
  if answer then
    call('HDEL', key('intents'), attempt)
    call('ZREM', of(account, 'going'), attempt)
    return answer
  end
  add('spent', points)
  if again then add('risked', points) end
  refer(reference, 'i' .. attempt, DAY)
  return {}
end

local answers = {}
for i = 5, #ARGV, 6 do
  answers[#answers + 1] =
    intend(ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5] == '1')
end
write_sums()
return answers
