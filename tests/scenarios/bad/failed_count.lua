-- 1: expected invlpg = 1, saw 0
-- SPDX-License-Identifier: MIT
local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
vm:mark()
vm:counts { invlpg = 1 }
