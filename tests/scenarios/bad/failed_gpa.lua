-- 1: expected gpa 0x6000, saw gpa 0x5000
-- SPDX-License-Identifier: MIT
local vm = umbra.vm { paging = "shadow" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { gpa = 0x6000 })
