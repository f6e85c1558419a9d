-- SPDX-License-Identifier: GPL-2.0-or-later
-- For wrk: asks for the site's files, popular ones more often (see make_site.py).
local paths = {}
for line in io.lines("/bench/site.requests") do
  paths[#paths + 1] = line
end
local at = 0
request = function()
  at = at % #paths + 1
  return wrk.format("GET", paths[at])
end
