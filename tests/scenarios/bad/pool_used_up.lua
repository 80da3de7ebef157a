-- 3: the pool of page tables is used up
-- SPDX-License-Identifier: MIT
local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
for i = 1, 100 do g:map(i << 30, 0x5000) end
