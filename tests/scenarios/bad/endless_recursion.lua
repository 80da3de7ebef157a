-- 3: the script needs more than 64 MiB
-- SPDX-License-Identifier: MIT
local function f() return 1 + f() end
f()
