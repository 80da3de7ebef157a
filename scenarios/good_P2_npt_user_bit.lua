-- SPDX-License-Identifier: MIT
--
-- P-2, P-3: for NPT every access of the guest is a user access, also the walks of its own
-- tables, and those are writes. So all of Umbra's NPT entries have U, and a guest's page table
-- needs a writable page below it although it is only read: the first touch of a table
-- exits as a write.

local vm = umbra.vm { paging = "npt", page = "4k" }
vm:slot { base = 0, size = "4M" }
local g = vm:tables("4")
g:map(0x400000, 0x5000, "w")
local cpu = vm:vcpu()
cpu:start(g)
cpu:read(0x400000, { gpa = 0x5000 })
cpu:entry(0x5000, 1, { user = true, executable = true })
cpu:entry(g:root(), 1, { user = true, writable = true })
cpu:read(0x400000, { as = "user", pf = "P U", exits = 0 })
