-- ARGV: account, n, gap, burst, ahead. Returns how many polls may go, and the seconds to wait.
local n, wait = paced(of(ARGV[1], 'polls'), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]),
  tonumber(ARGV[5]))
return { n, exact(wait) }
