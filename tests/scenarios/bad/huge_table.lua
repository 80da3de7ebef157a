-- 3: needs more than 64 MiB of memory
-- SPDX-License-Identifier: MIT
local t = {}
for i = 1, 1e8 do t[i] = i end
