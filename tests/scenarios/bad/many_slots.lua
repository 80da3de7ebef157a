-- 3: more than 32 slots
-- SPDX-License-Identifier: MIT
local vm = umbra.vm {}
for i = 0, 40 do vm:slot { id = i, base = i << 20, size = "4K" } end
