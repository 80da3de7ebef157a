-- 3: string.rep gives more than
-- SPDX-License-Identifier: MIT
local s = string.rep("x", 1 << 40)
