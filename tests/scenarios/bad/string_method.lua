-- 3: string.rep gives more than
-- SPDX-License-Identifier: MIT
local s = ("x"):rep(1 << 40)
