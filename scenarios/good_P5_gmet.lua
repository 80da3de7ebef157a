-- SPDX-License-Identifier: MIT
--
-- P-5, P-8: with GMET an NPT page with U=1 cannot be executed by the guest's kernel. Data
-- accesses do not care about U any more. Umbra runs such a VM with U=0 in its direct
-- leaves, which both the kernel and user programs may execute.

local vm = umbra.vm { paging = "npt", exec_by_mode = true, page = "4k" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "wu")
g:map(0x401000, 0x6000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:fetch(0x401000, { gpa = 0x6000 })
cpu:fetch(0x400000, { as = "user", gpa = 0x5000 })
cpu:write(0x400000, { as = "user", gpa = 0x5000 })
cpu:entry(0x6000, 1, { user = false, executable = true })
