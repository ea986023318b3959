-- ARGV: whether what was delivered is remembered, references. Returns for each what it stands for,
-- and for how many milliseconds.
local found = {}
for i = 2, #ARGV do
  local known, left = look(ARGV[i], ARGV[1] == '1')
  found[#found + 1] = known or ''
  found[#found + 1] = left or 0
end
return found
