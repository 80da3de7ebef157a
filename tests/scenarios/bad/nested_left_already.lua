-- 3: L2 does not run
-- SPDX-License-Identifier: MIT
local vm = umbra.vm { paging = "ept", page = "4k" }
vm:slot { base = 0, size = "16M" }
local g = vm:tables("4")
local e = vm:tables("ept4", { owner = g })
e:map(0x5000, 0x805000, "rwx")
local cpu = vm:vcpu()
cpu:start(g)
cpu:enter { ept = e }
cpu:read(0x6000, { violation = true })
cpu:leave()
