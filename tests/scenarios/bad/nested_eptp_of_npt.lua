-- 3: only EPT tables have an EPT pointer
-- SPDX-License-Identifier: MIT
local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local n = vm:tables("4", { owner = g })
n:map(0x5000, 0x805000, "wu")
local cpu = vm:vcpu()
cpu:start(g)
n:eptp()
